//! From a layer's compressed stream to a directory, hashing on the way.
//!
//! ```text
//!  source ─► SHA-256 (blob) ─► inflate ─► SHA-256 (diff id), limits ─► tar ─► files beneath a directory fd
//! ```
//!
//! Both digests are compared at the end; until then the directory is nobody's but the caller's.

mod apply;
mod entry;
mod mark;
mod sparse;
mod stage;
mod stream;
mod tape;
#[cfg(test)]
mod tests;
mod write;

use std::io::Read;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{self, Directory, Links};

use apply::Marks;
pub(crate) use mark::{WHITEOUT, is_mark, is_opaque};
pub(crate) use sparse::Sparse;
pub(crate) use stage::{stage_layer, unpack_missing, unpack_new};
pub(crate) use stream::{Hashing, decompress, decompress_rare};
pub(crate) use tape::Tape;
pub(crate) use write::{WriteOptions, write};

/// What must come out of a layer's stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// The blob's digest as received.
    pub(crate) blob: Option<Digest>,
    /// The digest of the archive before compression.
    pub(crate) diff_id: Option<Digest>,
}

/// A layer that was unpacked.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) diff_id: Digest,
    /// Bytes of its files.
    pub(crate) size: u64,
    /// Directories the archive needed but did not describe; the layers below know their attributes.
    pub(crate) implied: Vec<PathBuf>,
}

/// Unpacks a layer into an empty directory.
pub(crate) fn unpack(source: impl Read, into: &Directory, expected: &Expected) -> Result<Unpacked> {
    unpack_marked(source, into, expected, Marks::Meant)
}

/// Unpacks an archive that is no layer into an empty directory.
pub(crate) fn unpack_files(source: impl Read, into: &Directory) -> Result<()> {
    unpack_marked(source, into, &Expected::default(), Marks::Refused).map(drop)
}

fn unpack_marked(
    source: impl Read,
    into: &Directory,
    expected: &Expected,
    marks: Marks,
) -> Result<Unpacked> {
    let blob = Hashing::like(expected.blob.as_ref(), source);
    let blob_sum = blob.sum();
    let mut rest = blob.handle();
    let archive = decompress(blob).map_err(damaged)?;
    let archive = Hashing::like(expected.diff_id.as_ref(), archive).limited_by(&blob_sum);
    let archive_sum = archive.sum();
    let mut drain = archive.handle();
    let mut applied = match apply::apply(archive, into, marks) {
        // What does not unpack is most often not what was asked for: then that is the better reason.
        Err(error) if error.class() == Class::Invalid && expected.blob.is_some() => {
            if std::io::copy(&mut rest, &mut std::io::sink()).is_ok() {
                compare("layer", expected.blob.as_ref(), &blob_sum.digest())?;
            }
            return Err(error);
        }
        other => other?,
    };
    // The zero blocks after the archive's end belong to the diff id, whatever follows the compressed
    // stream to the blob's digest.
    std::io::copy(&mut drain, &mut std::io::sink()).map_err(damaged)?;
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(damaged)?;
    compare("layer", expected.blob.as_ref(), &blob_sum.digest())?;
    let diff_id = archive_sum.digest();
    compare("unpacked layer", expected.diff_id.as_ref(), &diff_id)?;
    applied.finish(into)?;
    Ok(Unpacked {
        diff_id,
        size: applied.size,
        implied: applied.implied.into_iter().collect(),
    })
}

fn compare(what: &str, expected: Option<&Digest>, found: &Digest) -> Result<()> {
    match expected {
        Some(expected) if expected != found => Err(Error::new(
            Class::Invalid,
            format!("{what} {expected} is damaged"),
        )
        .caused_by(format!("its content has the digest {found}"))),
        _ => Ok(()),
    }
}

/// What an archive says, short enough to be told.
fn shown(text: &str) -> String {
    const LENGTH: usize = 200;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An unreadable stream is the layer's fault unless the system says otherwise.
fn damaged(error: std::io::Error) -> Error {
    match (error.raw_os_error(), error.kind()) {
        (Some(_), _) => Error::new(berth_sys::error::class(&error), "cannot read the layer"),
        (None, std::io::ErrorKind::ConnectionAborted) => {
            Error::new(Class::Unavailable, "cannot read the layer")
        }
        (None, _) => Error::new(Class::Invalid, "the layer is damaged"),
    }
    .caused_by(error)
}

/// Gives directories that an archive implied the attributes they have in the layers below, nearest first.
pub(crate) fn inherit(layer: &Directory, implied: &[PathBuf], below: &[Directory]) -> Result<()> {
    for path in implied {
        let relative = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let cannot = || format!("cannot set the attributes of {}", path.display());
        let mut lowers = below
            .iter()
            .filter_map(|lower| lower.directory(relative, Links::Refused).ok());
        let Some(lower) = lowers.next() else { continue };
        let inherit = || {
            let own = layer.directory(relative, Links::Refused)?;
            let metadata = lower.own_metadata()?;
            file::set_owner_and_mode(&own, metadata.uid, metadata.gid, metadata.mode)?;
            for (key, value) in lower.attributes(".".as_ref())? {
                if !is_mark(&key) {
                    file::set_attribute(&own, &key, &value)?;
                }
            }
            file::set_times(&own, metadata.accessed, metadata.modified)
        };
        inherit().explain(cannot)?;
    }
    Ok(())
}
