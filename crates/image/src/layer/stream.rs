//! Readers that hash, count and inflate.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use berth_contract::Digest;
use sha2::{Digest as _, Sha256, Sha512};

/// Inflated bytes allowed whatever the ratio; tests need not make a bomb of real size.
const FREE: u64 = if cfg!(test) { 8 << 20 } else { 256 << 20 };
/// Inflated bytes per received byte beyond that. Gzip cannot reach it; a zstd bomb can (security.md 27).
const RATIO: u64 = 1100;

/// A reader that hashes and counts what passes.
#[derive(Debug)]
pub(crate) struct Hashing<R> {
    shared: Rc<RefCell<R>>,
    sum: Sum,
    limit: Option<Sum>,
}

/// The digest and number of the bytes that passed so far.
#[derive(Debug, Clone)]
pub(crate) struct Sum(Rc<RefCell<(Hasher, u64)>>);

#[derive(Debug, Clone)]
enum Hasher {
    Short(Sha256),
    Long(Sha512),
}

impl Sum {
    pub(crate) fn digest(&self) -> Digest {
        match self.0.borrow().0.clone() {
            Hasher::Short(hasher) => Digest::sha256(hasher.finalize().into()),
            Hasher::Long(hasher) => crate::store::sha512(hasher),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.borrow().1
    }
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self::like(None, inner)
    }

    /// Hashes with the algorithm of the digest that is expected, so that the two can be compared.
    pub(crate) fn like(expected: Option<&Digest>, inner: R) -> Self {
        let hasher = match expected {
            Some(expected) if expected.algorithm() == "sha512" => Hasher::Long(Sha512::new()),
            _ => Hasher::Short(Sha256::new()),
        };
        Self {
            shared: Rc::new(RefCell::new(inner)),
            sum: Sum(Rc::new(RefCell::new((hasher, 0)))),
            limit: None,
        }
    }

    /// Fails once far more comes out than went in.
    pub(crate) fn limited_by(mut self, received: &Sum) -> Self {
        self.limit = Some(received.clone());
        self
    }

    pub(crate) fn sum(&self) -> Sum {
        self.sum.clone()
    }

    /// A second handle on the same stream, to read what its first owner leaves.
    pub(crate) fn handle(&self) -> Self {
        let limit = self.limit.clone();
        Self {
            shared: Rc::clone(&self.shared),
            sum: self.sum.clone(),
            limit,
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.shared.borrow_mut().read(buffer)?;
        let total = {
            let mut sum = self.sum.0.borrow_mut();
            match &mut sum.0 {
                Hasher::Short(hasher) => hasher.update(&buffer[..length]),
                Hasher::Long(hasher) => hasher.update(&buffer[..length]),
            }
            sum.1 += length as u64;
            sum.1
        };
        if let Some(received) = &self.limit
            && total > FREE.saturating_add(received.bytes().saturating_mul(RATIO))
        {
            return Err(io::Error::other("it inflates to absurdly many bytes"));
        }
        Ok(length)
    }
}

/// How much memory an xz stream may ask for: `xz -9` asks for 65 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;

/// The plain bytes of a stream that is gzip, zstd, xz, bzip2 or not compressed: told from its first
/// bytes, since media types are often wrong.
pub(crate) fn decompress<'a>(source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let (head, source) = peek(source)?;
    match head {
        [0x1f, 0x8b, ..] => {
            let buffered = io::BufReader::with_capacity(64 << 10, source);
            Ok(Box::new(flate2::bufread::MultiGzDecoder::new(buffered)))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Ok(Box::new(zstd::Decoder::new(source)?))
        }
        _ => rare(head, source),
    }
}

/// As [`decompress`], but leaves gzip and zstd as they are: what a layer may be compressed with.
pub(crate) fn decompress_rare<'a>(source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let (head, source) = peek(source)?;
    rare(head, source)
}

type Head = [u8; 6];

/// The first bytes of a stream, and the whole stream.
fn peek(mut source: impl Read) -> io::Result<(Head, impl Read)> {
    let mut head = Head::default();
    let mut filled = 0;
    while filled < head.len() {
        match source.read(&mut head[filled..])? {
            0 => break,
            length => filled += length,
        }
    }
    Ok((
        head,
        io::Cursor::new(head).take(filled as u64).chain(source),
    ))
}

fn rare<'a>(head: Head, source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match head {
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::read::MultiBzDecoder::new(source)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let buffered = io::BufReader::with_capacity(64 << 10, source);
            Box::new(lzma_rust2::XzReader::new_mem_limit(
                buffered,
                true,
                XZ_MEMORY_KIB,
            ))
        }
        _ => Box::new(source),
    })
}
