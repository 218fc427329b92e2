//! Copying what comes from elsewhere into the staging place, hashed on the way.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use berth_contract::{Digest, Error, Result};

use super::Transaction;
use crate::layer::Hashing;

/// A file in the staging place.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Transaction {
    /// Copies a stream aside. That it cannot be read is told by `unreadable`; a full disk is no fault of it.
    pub(crate) fn spool(
        &self,
        source: impl Read,
        unreadable: impl FnOnce(io::Error) -> Error,
    ) -> Result<Spooled> {
        let (mut file, path) = self.new_file()?;
        let mut hashing = Hashing::new(source);
        let sum = hashing.sum();
        let mut buffer = vec![0_u8; 128 << 10];
        loop {
            let length = match hashing.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            file.write_all(&buffer[..length])
                .map_err(|error| unwritable(&path, error))?;
        }
        Ok(Spooled {
            path,
            digest: sum.digest(),
            size: sum.bytes(),
        })
    }
}

/// What keeps a staged file from being written is told of the data directory, which the user knows.
fn unwritable(path: &Path, error: io::Error) -> Error {
    let data = path.ancestors().nth(3).unwrap_or(path);
    let is_full = error.kind() == io::ErrorKind::StorageFull;
    let message = format!("cannot write to {}", data.display());
    let failure = Error::new(berth_sys::error::class(&error), message).caused_by(error);
    match is_full {
        true => failure.hint("berth image prune"),
        false => failure,
    }
}
