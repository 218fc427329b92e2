//! Locks that die with their holder: open-file-description locks (`F_OFD_SETLK`, Linux 3.15).
//!
//! The lock belongs to the open file, so it is released by the kernel when the last descriptor of it is
//! closed, `kill -9` included. Asking whether it is held (`F_OFD_GETLK`) takes nothing and disturbs nobody.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

/// An exclusive lock on a file; released when dropped.
#[derive(Debug)]
pub struct Lock {
    file: OwnedFd,
}

impl Lock {
    /// Takes the lock on `name` in `directory`, making the file if it is missing; `None` if another
    /// holds it.
    ///
    /// A holder may remove the file while it holds the lock: a lock on a removed file is never
    /// returned, because nobody else could see it.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn take(directory: impl AsFd, name: &str) -> io::Result<Option<Self>> {
        Self::acquire(directory.as_fd(), name, false)
    }

    /// As [`Lock::take`], but waits for its holder.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn wait(directory: impl AsFd, name: &str) -> io::Result<Self> {
        loop {
            if let Some(lock) = Self::acquire(directory.as_fd(), name, true)? {
                return Ok(lock);
            }
        }
    }

    fn acquire(directory: BorrowedFd<'_>, name: &str, wait: bool) -> io::Result<Option<Self>> {
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
            let request = whole_file(libc::F_WRLCK);
            let locked = if wait {
                fcntl(&file, FcntlArg::F_OFD_SETLKW(&request))
            } else {
                fcntl(&file, FcntlArg::F_OFD_SETLK(&request))
            };
            match locked {
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            let ours = rustix::fs::fstat(&file)?;
            match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(visible) if (visible.st_dev, visible.st_ino) == (ours.st_dev, ours.st_ino) => {
                    return Ok(Some(Self { file }));
                }
                Ok(_) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether somebody else holds the lock on this file.
///
/// # Errors
/// The file cannot be asked.
pub fn is_held(file: impl AsFd) -> io::Result<bool> {
    let mut answer = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut answer))?;
    Ok(i32::from(answer.l_type) != libc::F_UNLCK)
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn one_holder_and_everybody_can_ask() {
        let folder = std::env::temp_dir().join(format!("berth-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let directory = File::open(&folder).unwrap();
        let path = folder.join("lock");
        let held = || is_held(File::open(&path).unwrap()).unwrap();
        File::create(&path).unwrap();
        assert!(!held());
        let lock = Lock::take(&directory, "lock").unwrap().unwrap();
        assert!(held());
        assert!(Lock::take(&directory, "lock").unwrap().is_none());
        drop(lock);
        assert!(!held());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
