//! GNU tar's sparse files: the old format, and 0.0, 0.1 and 1.0 in PAX archives (GNU tar manual, "Sparse
//! Formats").
//!
//! ```text
//!  old        the map is in the header and those that extend it
//!  0.0, 0.1   the map is in the PAX header, the content is the data blocks one after the other
//!  1.0        the content begins with the map: decimal lines (count, then offset and length of each
//!             block), padded to 512 bytes
//! ```

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};

/// More blocks than any real file has.
const BLOCK_LIMIT: u64 = 1 << 20;
const TAR_BLOCK: usize = 512;
/// ext4 holds no larger file; a size alone, without content, costs nothing to claim.
const SIZE_LIMIT: u64 = 16 << 40;

/// What an archive says about a sparse file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// The file's real name.
    pub(super) name: Option<Vec<u8>>,
    major: u32,
    size: Option<u64>,
    blocks: Vec<(u64, u64)>,
    offset: u64,
}

impl Sparse {
    /// A file of this size without any content yet.
    pub(super) fn new(size: u64) -> Self {
        Self {
            size: Some(size),
            ..Self::default()
        }
    }

    /// Adds a block of content.
    pub(super) fn push(&mut self, offset: u64, length: u64) {
        self.blocks.push((offset, length));
    }

    /// How many bytes the blocks hold, where the map is not part of the content.
    pub(crate) fn stored(&self) -> u64 {
        let lengths = self.blocks.iter().map(|(_, length)| *length);
        lengths.fold(0, u64::saturating_add)
    }

    pub(super) fn is_sparse(&self) -> bool {
        *self != Self::default()
    }

    /// Takes in one key, without its prefix `GNU.sparse.`.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(value);
        let number = |text: &str| {
            text.parse::<u64>()
                .ok()
                .ok_or_else(|| "its sparse map is damaged".to_owned())
        };
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"major" => self.major = u32::from(text != "0"),
            b"size" | b"realsize" => self.size = Some(number(&text)?),
            b"offset" => self.offset = number(&text)?,
            b"numbytes" => self.blocks.push((self.offset, number(&text)?)),
            b"map" => {
                let numbers: Vec<u64> = text.split(',').map(number).collect::<Result<_, _>>()?;
                self.blocks = numbers
                    .chunks_exact(2)
                    .map(|pair| (pair[0], pair[1]))
                    .collect();
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes the file with its holes; bytes it has.
    pub(super) fn write(self, content: &mut dyn Read, file: &mut File) -> io::Result<u64> {
        let size = self.size.filter(|size| *size <= SIZE_LIMIT);
        let size = size.ok_or_else(|| io::Error::other("its size is missing or absurd"))?;
        let mut content = BufReader::with_capacity(64 << 10, content);
        let blocks = if self.major > 0 {
            read_map(&mut content)?
        } else {
            self.blocks
        };
        let mut end = 0;
        for (offset, length) in blocks {
            let next = offset
                .checked_add(length)
                .filter(|next| *next <= size && offset >= end);
            end = next.ok_or_else(|| io::Error::other("its sparse map is damaged"))?;
            file.seek(SeekFrom::Start(offset))?;
            if io::copy(&mut (&mut content).take(length), file)? != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        file.set_len(size)?;
        Ok(size)
    }
}

/// The map at the beginning of a 1.0 file's content.
fn read_map(content: &mut BufReader<impl Read>) -> io::Result<Vec<(u64, u64)>> {
    let mut consumed = 0;
    let mut number = || {
        let mut line = String::new();
        consumed += content.take(32).read_line(&mut line)?;
        line.trim_end()
            .parse::<u64>()
            .ok()
            .ok_or_else(|| io::Error::other("its sparse map is damaged"))
    };
    let count = number()?;
    if count > BLOCK_LIMIT {
        return Err(io::Error::other("its sparse map has too many blocks"));
    }
    let mut blocks = Vec::new();
    for _ in 0..count {
        blocks.push((number()?, number()?));
    }
    let padding = consumed.next_multiple_of(TAR_BLOCK) - consumed;
    io::copy(&mut content.take(padding as u64), &mut io::sink())?;
    Ok(blocks)
}
