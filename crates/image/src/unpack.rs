//! Archives that are no layers: what `ADD` unpacks, and what a volume is carried in.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use berth_contract::Result;
use berth_sys::error::Explain as _;
use berth_sys::file::Directory;

use crate::layer::{WriteOptions, decompress, unpack_files, write};

/// Whether a file is a tar archive, plain or compressed: told from its content alone.
///
/// # Errors
/// It cannot be read.
pub fn is_archive(file: &mut File) -> io::Result<bool> {
    let mut block = [0_u8; 512];
    let mut filled = 0;
    // What cannot be inflated is no archive, whatever its first bytes say.
    if let Ok(mut stream) = decompress(&mut *file) {
        while filled < block.len() {
            match stream.read(&mut block[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(length) => filled += length,
            }
        }
    }
    file.seek(SeekFrom::Start(0))?;
    if filled < block.len() {
        return Ok(false);
    }
    let is_empty = block.iter().all(|byte| *byte == 0);
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&block);
    let stated = header.cksum().ok();
    header.set_cksum();
    // An archive of nothing is only zeros, and so may be any other file.
    Ok(!is_empty && stated.is_some() && stated == header.cksum().ok())
}

/// Writes everything in a directory as a plain tar.
///
/// # Errors
/// The directory cannot be read, or `sink` takes no more.
pub fn pack_archive(from: &Path, sink: impl Write) -> Result<()> {
    let explain = || format!("cannot write an archive of {}", from.display());
    let directory = Directory::open(from).explain(explain)?;
    let options = WriteOptions {
        with_root: true,
        ..WriteOptions::default()
    };
    write(&directory, sink, options).explain(explain).map(drop)
}

/// Unpacks an archive into an empty directory, as a layer is: nothing leaves the directory. What would be a layer's
/// mark of something removed is refused.
///
/// # Errors
/// Class `Invalid` for what is no archive, a hostile one, or one with names that begin with `.wh.`.
pub fn unpack_archive(source: impl Read, into: &Path) -> Result<()> {
    let directory = Directory::open(into).explain(|| format!("cannot open {}", into.display()))?;
    unpack_files(source, &directory)
}
