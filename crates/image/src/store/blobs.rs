//! Reading small blobs, verified each time: hashing a manifest costs a few microseconds.

use std::fs::File;
use std::io::{self, Read as _};

use berth_contract::{Class, Digest, Error, Result};
use sha2::Digest as _;

use super::Store;
use crate::documents::{Configuration, Descriptor, Document, MANIFEST_LIMIT};

impl Store {
    /// A blob's bytes, or `None` if it is not here.
    ///
    /// # Errors
    /// It is larger than `limit`, or not what its digest says; it is set aside then.
    pub(crate) fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = self.blob_path(digest);
        let cannot = |error: io::Error| {
            Error::new(Class::Internal, format!("cannot read {}", path.display())).caused_by(error)
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error)),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(cannot)?;
        if bytes.len() as u64 > limit {
            let reason = format!("it is larger than {limit} bytes");
            return Err(
                Error::new(Class::Invalid, format!("cannot read blob {digest}")).caused_by(reason),
            );
        }
        if digest_of(digest, &bytes) != *digest {
            return Err(self.quarantine(&path, &format!("blob {digest}")));
        }
        Ok(Some(bytes))
    }

    /// A manifest or index, or `None` if it is not here.
    pub(crate) fn document(&self, descriptor: &Descriptor) -> Result<Option<Document>> {
        let Some(bytes) = self.read_blob(&descriptor.digest, MANIFEST_LIMIT)? else {
            return Ok(None);
        };
        Document::parse(&bytes, Some(&descriptor.media_type)).map(Some)
    }

    /// An image's config.
    pub(crate) fn configuration(&self, digest: &Digest) -> Result<Option<Configuration>> {
        match self.read_blob(digest, crate::documents::CONFIG_LIMIT)? {
            Some(bytes) => Configuration::parse(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Whether a blob is here.
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).exists()
    }
}

/// The SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::sha256(sha2::Sha256::digest(bytes).into())
}

/// The digest of some bytes with the algorithm of `like`.
pub(crate) fn digest_of(like: &Digest, bytes: &[u8]) -> Digest {
    if like.algorithm() != "sha512" {
        return sha256(bytes);
    }
    sha512(sha2::Sha512::new().chain_update(bytes))
}

/// The digest of a stream with the algorithm of `like`.
pub(crate) fn digest_of_reader(like: &Digest, reader: &mut dyn io::Read) -> io::Result<Digest> {
    let mut buffer = vec![0_u8; 128 << 10];
    let (mut short, mut long) = (sha2::Sha256::new(), sha2::Sha512::new());
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            length if like.algorithm() == "sha512" => long.update(&buffer[..length]),
            length => short.update(&buffer[..length]),
        }
    }
    Ok(if like.algorithm() == "sha512" {
        sha512(long)
    } else {
        Digest::sha256(short.finalize().into())
    })
}

pub(crate) fn sha512(hasher: sha2::Sha512) -> Digest {
    let mut text = String::from("sha512:");
    for byte in hasher.finalize() {
        text.extend(
            [byte >> 4, byte & 15]
                .map(|nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0')),
        );
    }
    // 128 hexadecimal digits are a digest; the other arm cannot be reached.
    text.parse()
        .unwrap_or_else(|_invalid: Error| sha256(text.as_bytes()))
}
