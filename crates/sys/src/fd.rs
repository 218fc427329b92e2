//! File descriptors: pipes, numbers, waiting, and closing all others.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, IntoRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// A pipe whose two ends close on execute: reading end, writing end.
///
/// # Errors
/// The process or the system has no descriptors left.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// `/dev/null`, opened for reading and writing.
///
/// # Errors
/// The host has no usable `/dev/null`.
pub fn null() -> io::Result<OwnedFd> {
    Ok(File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?
        .into())
}

/// Another descriptor for the same open file, closing on execute.
///
/// # Errors
/// No descriptors are left.
pub fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)
}

/// Another descriptor for the same open file, numbered `minimum` or above, closing on execute.
///
/// # Errors
/// No descriptors are left above `minimum`.
pub fn duplicate_above(fd: impl AsFd, minimum: i32) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, minimum)?)
}

/// Lets reads and writes return at once, or wait.
///
/// # Errors
/// The descriptor does not allow it.
pub fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    let wanted = if nonblocking {
        flags | rustix::fs::OFlags::NONBLOCK
    } else {
        flags.difference(rustix::fs::OFlags::NONBLOCK)
    };
    Ok(rustix::fs::fcntl_setfl(fd, wanted)?)
}

/// Makes `fd` appear at exactly `number`, open across execute, and gives up ownership.
///
/// # Errors
/// `number` is out of range.
pub fn place(fd: impl AsFd, number: i32) -> io::Result<()> {
    // SAFETY: dup2 touches no memory; `number` is deliberately handed to the program that is executed
    // next, so nothing in this process owns it.
    let result = unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) };
    if result != number {
        return Err(io::Error::last_os_error());
    }
    if fd.as_fd().as_raw_fd() == number {
        // dup2 onto itself keeps close-on-execute.
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
    }
    Ok(())
}

/// Marks every descriptor from `first` to `last` to close on execute.
///
/// # Errors
/// The kernel is older than 5.11.
pub fn close_on_execute(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: close_range with CLOEXEC only sets flags.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Closes every descriptor but these and the three standard ones.
///
/// For a new process that is about to execute or exit: whatever owned a closed descriptor here is
/// never dropped.
///
/// # Errors
/// The kernel is older than 5.9.
pub fn close_all_but(keep: &[i32]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|number| u32::try_from(*number).ok())
        .collect();
    keep.sort_unstable();
    let mut first = 3_u32;
    for number in keep
        .into_iter()
        .filter(|number| *number > 2)
        .chain([u32::MAX])
    {
        if number > first {
            let last = if number == u32::MAX {
                number
            } else {
                number - 1
            };
            // SAFETY: the caller is a process of its own that uses none of these any more.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = number.saturating_add(1);
    }
    Ok(())
}

/// This process's standard input.
#[must_use]
pub fn standard_input() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

/// Leaves a descriptor open for the rest of the process's life.
pub fn leak(fd: OwnedFd) {
    let _number = fd.into_raw_fd();
}

/// The number of a descriptor, for `/proc/self/fd` and for log lines.
#[must_use]
pub fn number(fd: impl AsFd) -> i32 {
    fd.as_fd().as_raw_fd()
}

/// Waits until `fd` is readable or its other end is gone; `false` when the time is over first.
///
/// # Errors
/// The descriptor cannot be waited for.
pub fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.map(|duration| Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    });
    loop {
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes a small kernel file (`/proc`, cgroup) in one call.
///
/// # Errors
/// The kernel's refusal.
pub fn write_once(fd: OwnedFd, content: &[u8]) -> io::Result<()> {
    let written = File::from(fd).write(content)?;
    if written == content.len() {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::WriteZero,
            "the kernel took only a part",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_other_end() {
        let (reader, writer) = pipe().unwrap();
        assert!(!wait_readable(reader.as_fd(), Some(Duration::ZERO)).unwrap());
        drop(writer);
        assert!(wait_readable(reader.as_fd(), Some(Duration::from_secs(5))).unwrap());
    }

    #[test]
    fn duplicates_close_on_execute() {
        let high = duplicate_above(null().unwrap(), 50).unwrap();
        assert!(number(&high) >= 50);
        let flags = rustix::io::fcntl_getfd(&high).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}
