//! One cgroup directory and its control files, always reached relative to the directory's descriptor.

use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// No control file the kernel writes is longer; `memory.numa_stat` of a large machine stays below it.
const LONGEST_FILE: usize = 1 << 20;

/// An open cgroup directory of one hierarchy.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens an existing directory.
    pub(super) fn open(path: PathBuf) -> Result<Self, Failure> {
        // O_PATH suffices for *at calls and for clone3's CLONE_INTO_CGROUP.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(errno) => Err(Failure::new("open", path, errno)),
        }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its descriptor, for good.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Opens one of its files.
    pub(super) fn open_file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Failure> {
        rustix::fs::openat(
            &self.fd,
            name,
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .map_err(|errno| Failure::new("open", self.path.join(name), errno))
    }

    /// Writes a value to one of its files, in the single write(2) the kernel expects.
    pub(super) fn write(&self, name: &str, value: &str) -> Result<(), Failure> {
        let file = self.open_file(name, OFlags::WRONLY)?;
        rustix::io::write(&file, value.as_bytes())
            .map(drop)
            .map_err(|errno| self.write_failure(name, value, errno))
    }

    /// The failure of a write to one of its files.
    pub(super) fn write_failure(&self, name: &str, value: &str, errno: Errno) -> Failure {
        let mut failure = Failure::new("write", self.path.join(name), errno);
        failure.value = Some(value.trim_end().to_owned());
        failure
    }

    /// Makes a user the owner of one of its files, or of itself when the name is empty.
    pub(super) fn give(&self, name: &str, user: u32) -> Result<(), Failure> {
        let owner = Some(rustix::fs::Uid::from_raw(user));
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        rustix::fs::chownat(&self.fd, name, owner, None, flags)
            .map_err(|errno| Failure::new("give away", self.path.join(name), errno))
    }

    /// Reads one of its files.
    pub(super) fn read(&self, name: &str) -> Result<String, Failure> {
        let file = self.open_file(name, OFlags::RDONLY)?;
        let failed = |errno| Failure::new("read", self.path.join(name), errno);
        let mut bytes = Vec::new();
        let mut chunk = [0_u8; 4096];
        loop {
            match rustix::io::read(&file, &mut chunk) {
                Ok(0) => break,
                Ok(count) if bytes.len() + count > LONGEST_FILE => {
                    return Err(failed(Errno::FBIG));
                }
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads a file that holds one number; `max` gives `None`.
    pub(super) fn read_number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let text = self.read(name)?;
        Ok(text.trim().parse().ok())
    }

    /// Whether it has a file of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether there are cgroups beneath it: each adds a link, as a directory does.
    pub(super) fn has_children(&self) -> bool {
        rustix::fs::fstat(&self.fd).is_ok_and(|status| status.st_nlink > 2)
    }

    /// The names of the cgroups beneath it.
    pub(super) fn children(&self) -> Result<Vec<String>, Failure> {
        let failed = |errno| Failure::new("list", self.path.clone(), errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listing = rustix::fs::openat(&self.fd, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(listing).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if entry.file_type() == rustix::fs::FileType::Directory
                && name != c"."
                && name != c".."
                && let Ok(name) = name.to_str()
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Opens a cgroup beneath it.
    pub(super) fn child(&self, name: &str) -> Result<Self, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let path = self.path.join(name);
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(errno) => Err(Failure::new("open", path, errno)),
        }
    }
}

/// What the kernel refused on one file of a cgroup.
#[derive(Debug)]
pub(super) struct Failure {
    action: &'static str,
    path: PathBuf,
    value: Option<String>,
    /// The kernel's reason.
    pub(super) errno: Errno,
}

impl Failure {
    /// A failure of `action` on `path`.
    pub(super) fn new(action: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        Self {
            action,
            path: path.into(),
            value: None,
            errno,
        }
    }

    /// The class a person's error has for it.
    pub(super) fn class(&self) -> Class {
        match self.errno {
            Errno::ROFS | Errno::ACCESS | Errno::PERM => Class::Denied,
            Errno::NOENT | Errno::OPNOTSUPP | Errno::NODEV => Class::Unsupported,
            Errno::INVAL | Errno::RANGE => Class::Invalid,
            Errno::BUSY | Errno::EXIST => Class::Conflict,
            _ => Class::Internal,
        }
    }

    /// The engine's error for it: `what` did not happen.
    pub(super) fn explain(self, what: impl Into<String>) -> Error {
        let hint = match self.errno {
            Errno::ROFS => Some(
                "run the engine where /sys/fs/cgroup is mounted writable (in a container: --privileged)",
            ),
            Errno::ACCESS | Errno::PERM => {
                Some("run as root, or in a cgroup that was delegated to this user")
            }
            _ => None,
        };
        let error = Error::new(self.class(), what).caused_by(self);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(
                formatter,
                "cannot {} {value:?} to {}",
                self.action,
                self.path.display()
            ),
            None => write!(formatter, "cannot {} {}", self.action, self.path.display()),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.errno)
    }
}
