//! Waiting for many files at once (`epoll(7)`, level-triggered).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

/// What to wait for on a file. Errors and hang-ups are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Something can be read, or the other end has closed.
    pub readable: bool,
    /// Something can be written.
    pub writable: bool,
}

impl Interest {
    /// Only errors and hang-ups.
    pub const NOTHING: Self = Self {
        readable: false,
        writable: false,
    };
    /// Reading.
    pub const READ: Self = Self {
        readable: true,
        writable: false,
    };
    /// Writing.
    pub const WRITE: Self = Self {
        readable: false,
        writable: true,
    };
    /// Both.
    pub const BOTH: Self = Self {
        readable: true,
        writable: true,
    };

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        if self.readable {
            flags |= epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        }
        if self.writable {
            flags |= epoll::EventFlags::OUT;
        }
        flags
    }
}

/// What has become possible on a file.
#[expect(
    clippy::struct_excessive_bools,
    reason = "the kernel's flags, each true independently"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The number the file was added with.
    pub token: u64,
    /// Reading gives bytes, the end, or the file's error.
    pub readable: bool,
    /// Writing takes bytes or gives the file's error.
    pub writable: bool,
    /// The other end is gone altogether; reported whether asked for or not.
    pub hangup: bool,
}

/// An epoll instance.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Poller").field(&self.epoll).finish()
    }
}

impl Poller {
    /// An instance that waits for nothing yet.
    ///
    /// # Errors
    /// The process or the system has no file left.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(16),
        })
    }

    /// Waits for `file` from now on; it is reported as `token`.
    ///
    /// # Errors
    /// The file is there already, or is of a kind that cannot be waited for (a regular file).
    pub fn add(&self, file: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::add(
            &self.epoll,
            file,
            epoll::EventData::new_u64(token),
            interest.flags(),
        )?;
        Ok(())
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// The file was never added.
    pub fn modify(&self, file: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::modify(
            &self.epoll,
            file,
            epoll::EventData::new_u64(token),
            interest.flags(),
        )?;
        Ok(())
    }

    /// Waits for `file` no more. Closing a file that has no duplicate does the same.
    ///
    /// # Errors
    /// The file was never added.
    pub fn remove(&self, file: impl AsFd) -> io::Result<()> {
        epoll::delete(&self.epoll, file)?;
        Ok(())
    }

    /// Waits until something is possible or `timeout` has passed (`None`: without end), and reports it.
    ///
    /// # Errors
    /// The kernel refuses; never because of a signal.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = Readiness> + use<'_>> {
        let timeout = timeout.map(|duration| Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(duration.subsec_nanos()),
        });
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| {
            let flags = event.flags;
            let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            let read = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
            Readiness {
                token: event.data.u64(),
                readable: broken || flags.intersects(read),
                writable: broken || flags.contains(epoll::EventFlags::OUT),
                hangup: broken,
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_pipe_becomes_readable_and_hangs_up() {
        let (reader, writer) = crate::pipe::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&reader, 7, Interest::READ).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap().count(), 0);
        let mut writer = std::fs::File::from(writer);
        writer.write_all(b"x").unwrap();
        let first = poller.wait(None).unwrap().next().unwrap();
        assert!(first.token == 7 && first.readable && !first.hangup);
        drop(writer);
        assert!(poller.wait(None).unwrap().next().unwrap().hangup);
        poller.remove(&reader).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap().count(), 0);
    }
}
