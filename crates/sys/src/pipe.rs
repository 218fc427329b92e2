//! Pipes, and reading and writing a file without blocking on it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::mount;

/// A pipe: its reading and its writing end, both closed on exec.
///
/// # Errors
/// The process or the system has no file left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// A reading end of the pipe that this file is an end of; `None` when it is no pipe.
///
/// # Errors
/// The process has no file left.
pub fn reader(file: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
    if kind != FileType::Fifo {
        return Ok(None);
    }
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(Some(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Makes reading and writing return `WouldBlock` instead of waiting.
///
/// The flag belongs to the open file, not to the descriptor: never set it on a file that a guest or
/// another program shares (its own reads would fail).
///
/// # Errors
/// Never for an open file.
pub fn set_nonblocking(file: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags | OFlags::NONBLOCK)?;
    Ok(())
}

/// `/dev/null` for a guest, for reading and writing.
///
/// It is opened through a read-only mount of its own: whoever has it open could give the host's device another
/// mode and owner else.
///
/// # Errors
/// This root has no `/dev/null` or no `/proc`, or the process may not mount.
pub fn null() -> io::Result<OwnedFd> {
    let view = mount::clone_path(Path::new("/dev/null"), false)?;
    mount::make_read_only(&view)?;
    let null = rustix::fs::open(
        format!("/proc/self/fd/{}", view.as_raw_fd()),
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let status = fstat(&null)?;
    if crate::path::is_node(&status, crate::path::Node::Character(1, 3)) {
        return Ok(null);
    }
    Err(io::Error::other("/dev/null is not the null device"))
}

/// Reads what is there into `buffer`; 0 is the end.
///
/// # Errors
/// `WouldBlock` when nothing is there, else the file's own error.
pub fn read(file: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(&file, &mut *buffer) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Writes as much as fits and says how much that was.
///
/// # Errors
/// `WouldBlock` when nothing fits, else the file's own error.
pub fn write(file: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(&file, bytes) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Writes as much of several pieces as fits and says how much that was.
///
/// # Errors
/// As for [`write()`].
pub fn write_pieces(file: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match rustix::io::writev(&file, pieces) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// A second descriptor of the same open file, closed on exec.
///
/// # Errors
/// The process has no descriptor left.
pub fn duplicate(file: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(file, 3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_reader_keeps_the_pipe_open() {
        let (reader, writer) = pair().unwrap();
        let second = super::reader(&writer).unwrap().unwrap();
        drop(reader);
        assert_eq!(write(&writer, b"ab").unwrap(), 2);
        assert_eq!(read(&second, &mut [0; 8]).unwrap(), 2);
        let other = std::fs::File::open("/dev/null").unwrap();
        assert!(super::reader(other).unwrap().is_none());
    }

    #[test]
    fn an_empty_pipe_would_block_and_a_closed_one_ends() {
        let (reader, writer) = pair().unwrap();
        set_nonblocking(&reader).unwrap();
        let mut buffer = [0_u8; 8];
        let empty = read(&reader, &mut buffer).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(
            write_pieces(&writer, &[IoSlice::new(b"ab"), IoSlice::new(b"c")]).unwrap(),
            3
        );
        assert_eq!(read(&reader, &mut buffer).unwrap(), 3);
        drop(writer);
        assert_eq!(read(&reader, &mut buffer).unwrap(), 0);
    }
}
