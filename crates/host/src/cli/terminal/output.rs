//! Writing a guest's bytes out: unbuffered, complete, and quiet about a reader that has left.

use std::io;
use std::os::fd::AsFd;

use berth_sys::epoll::{Interest, Poller};
use berth_sys::pipe;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of it was taken.
    All,
    /// Nobody reads any more.
    Closed,
}

/// Writes all of `bytes`, waiting as long as it takes.
///
/// # Errors
/// The file's own error, except that its reader has left or its terminal is gone.
pub(crate) fn write_all(file: impl AsFd, mut bytes: &[u8]) -> io::Result<Written> {
    while !bytes.is_empty() {
        match pipe::write(&file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) => match error.kind() {
                io::ErrorKind::BrokenPipe => return Ok(Written::Closed),
                // Another program of the same terminal or pipe made the open file non-blocking.
                io::ErrorKind::WouldBlock => wait_writable(&file)?,
                _ if is_gone(&error) => return Ok(Written::Closed),
                _ => return Err(error),
            },
        }
    }
    Ok(Written::All)
}

fn wait_writable(file: impl AsFd) -> io::Result<()> {
    let mut poller = Poller::new()?;
    poller.add(file, 0, Interest::WRITE)?;
    poller.wait(None).map(|_| ())
}

/// Whether an error means that the terminal was hung up (`EIO`).
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_error() {
        let (reader, writer) = pipe::pair().unwrap();
        assert_eq!(write_all(&writer, b"hello").unwrap(), Written::All);
        drop(reader);
        assert_eq!(write_all(&writer, b"hello").unwrap(), Written::Closed);
    }
}
