//! Small JSON files: read whole, replaced whole.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a document; `None` when the file is missing.
///
/// # Errors
/// The file cannot be read, or is not what it should be (class `Internal`).
pub fn read_document<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).explain(|| format!("cannot read {}", path.display())),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Error::new(Class::Internal, format!("{} is damaged", path.display())).caused_by(error)
    })
}

/// Writes a document aside and renames it into place.
///
/// # Errors
/// The directory cannot be written to.
pub fn write_document<T: Serialize>(path: &Path, document: &T) -> Result<()> {
    let bytes = serde_json::to_vec(document).map_err(|error| {
        Error::new(Class::Internal, format!("cannot write {}", path.display())).caused_by(error)
    })?;
    let aside = path.with_extension("new");
    write_file(&aside, &bytes, 0o600)?;
    fs::rename(&aside, path).explain(|| format!("cannot write {}", path.display()))
}

/// Writes a file that nobody reads yet.
///
/// # Errors
/// The directory cannot be written to.
pub(crate) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .explain(|| format!("cannot write {}", path.display()))
}
