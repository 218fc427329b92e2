//! Files in memory: for content that nobody can change any more, and for output that blocks nobody.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, SealFlags};

/// A sealed file with this content: it cannot grow, shrink or be written, by anyone.
///
/// # Errors
/// There is no memory for it.
pub fn sealed(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(name, flags)?);
    file.write_all(content)?;
    let file = OwnedFd::from(file);
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file)
}

/// An empty file to write into.
///
/// # Errors
/// There is no memory for it.
pub fn empty(name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?)
}

/// Writes behind what was written.
///
/// # Errors
/// There is no memory for it.
pub fn append(file: &OwnedFd, content: &[u8]) -> io::Result<()> {
    File::from(crate::fd::duplicate(file)?).write_all(content)
}

/// The beginning of a file's content, wherever it was written last.
///
/// # Errors
/// It is no file in memory.
pub fn read(file: &OwnedFd, limit: usize) -> io::Result<Vec<u8>> {
    let mut content = vec![0; limit];
    let length = File::from(crate::fd::duplicate(file)?).read_at(&mut content, 0)?;
    content.truncate(length);
    Ok(content)
}
