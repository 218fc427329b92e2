//! The mount API of Linux 5.2 and later: file systems are configured, then mounted, by descriptor.
//!
//! ```text
//! FileSystem::new("overlay") ── string/flag/fd ── mount() ─► detached mount (OwnedFd)
//! clone_tree(place)         ────────────────────────────────►      │ set_attributes
//!                                                                   ▼ attach(mount, target O_PATH fd)
//! ```
//! No path of a container is ever passed as a string, and no option list has a length limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

pub use rustix::mount::MountAttrFlags as Attributes;

/// A file system being configured.
#[derive(Debug)]
pub struct FileSystem {
    context: OwnedFd,
}

impl FileSystem {
    /// Begins to configure a file system of this type.
    ///
    /// # Errors
    /// The kernel does not know the type, or may not mount it here.
    pub fn new(kind: &str) -> io::Result<Self> {
        Ok(Self {
            context: rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?,
        })
    }

    /// Sets a key to a text.
    ///
    /// # Errors
    /// The file system does not know the key or refuses the value.
    pub fn string(&self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> io::Result<()> {
        rustix::mount::fsconfig_set_string(&self.context, key, value.as_ref())
            .map_err(|e| self.explain(e))
    }

    /// Sets a key that takes no value.
    ///
    /// # Errors
    /// The file system does not know the key.
    pub fn flag(&self, key: &str) -> io::Result<()> {
        rustix::mount::fsconfig_set_flag(&self.context, key).map_err(|e| self.explain(e))
    }

    /// Sets a key to an open file.
    ///
    /// # Errors
    /// The file system does not know the key or refuses the file.
    pub fn file(&self, key: &str, file: impl AsFd) -> io::Result<()> {
        rustix::mount::fsconfig_set_fd(&self.context, key, file).map_err(|e| self.explain(e))
    }

    /// Creates it and returns a detached mount of it.
    ///
    /// # Errors
    /// The file system's own refusal, with its words where it gives any.
    pub fn mount(self, attributes: Attributes) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(&self.context).map_err(|e| self.explain(e))?;
        rustix::mount::fsmount(&self.context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|e| self.explain(e))
    }

    /// The kernel writes its reasons into the context; they say far more than `EINVAL`.
    fn explain(&self, error: rustix::io::Errno) -> io::Error {
        let mut words = Vec::new();
        let mut buffer = [0_u8; 512];
        if let Ok(copy) = crate::fd::duplicate(&self.context) {
            let mut log = File::from(copy);
            while let Ok(length @ 1..) = log.read(&mut buffer) {
                let line = buffer.get(..length).unwrap_or_default();
                let text = String::from_utf8_lossy(line);
                let text = text
                    .strip_prefix("e ")
                    .or_else(|| text.strip_prefix("w "))
                    .unwrap_or(&text);
                words.push(text.trim_end().to_owned());
            }
        }
        let error = io::Error::from(error);
        if words.is_empty() {
            error
        } else {
            io::Error::new(error.kind(), format!("{} ({error})", words.join("; ")))
        }
    }
}

/// A detached bind mount of a path of the host; `recursive` takes the mounts beneath along.
///
/// # Errors
/// The path does not exist.
pub fn clone_path(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(
        rustix::fs::CWD,
        path,
        tree_flags(recursive),
    )?)
}

/// A detached bind mount of what a descriptor refers to.
///
/// # Errors
/// The descriptor's mount cannot be cloned from this namespace.
pub fn clone_tree(place: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(
        place,
        "",
        tree_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH,
    )?)
}

/// A detached bind mount of the root that a process sees, without what is mounted beneath it.
///
/// # Errors
/// The process has ended, or its mount namespace may not be joined.
pub fn clone_root_of(pid: i32) -> io::Result<OwnedFd> {
    let namespace = File::open(format!("/proc/{pid}/ns/mnt"))?;
    // Only in its own namespace can a mount be cloned, and only a thread with a root and a current
    // directory of its own may join one.
    let joined = std::thread::scope(|scope| {
        let clone = || {
            crate::namespace::unshare_directories()?;
            crate::namespace::join(&namespace, crate::namespace::Namespaces::MOUNT)?;
            clone_path(Path::new("/"), false)
        };
        scope.spawn(clone).join()
    });
    joined.unwrap_or_else(|_panicked| Err(io::Error::other("the thread that joined it is lost")))
}

fn tree_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags | OpenTreeFlags::AT_RECURSIVE
    } else {
        flags
    }
}

/// The type of the file system a path of the host lies on, for people: `ext4`, `overlay`, …
#[must_use]
pub fn file_system_of(path: &Path) -> Option<String> {
    let wanted = rustix::fs::statx(
        rustix::fs::CWD,
        path,
        rustix::fs::AtFlags::empty(),
        rustix::fs::StatxFlags::MNT_ID,
    )
    .ok()?;
    let wanted = wanted.stx_mnt_id.to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts
        .lines()
        .find(|line| line.split(' ').next() == Some(&wanted))?;
    // The number of fields before the hyphen varies (man 5 proc).
    let (_, rest) = line.split_once(" - ")?;
    rest.split(' ').next().map(str::to_owned)
}

/// Mounts a detached mount on what `target` (`O_PATH`) refers to.
///
/// # Errors
/// The one is a directory and the other is not, or the kernel refuses.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// A detached overlay by the interface that kernels before 6.7 have: all layers in one page of options.
///
/// That interface mounts on a path; `place`, a directory nobody else uses, is covered for a moment.
///
/// # Errors
/// The options do not fit into a page, or the file system refuses them.
pub fn overlay_by_options(options: &[u8], place: &Path) -> io::Result<OwnedFd> {
    const PAGE: usize = 4096;
    if options.len() >= PAGE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this kernel takes fewer layers: their names do not fit into a page",
        ));
    }
    let options = std::ffi::CString::new(options)?;
    rustix::mount::mount(
        "berth",
        place,
        "overlay",
        rustix::mount::MountFlags::empty(),
        options.as_c_str(),
    )?;
    let cloned = clone_path(place, false);
    rustix::mount::unmount(place, UnmountFlags::DETACH)?;
    cloned
}

/// How mounts made in one place appear in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// From the source only.
    Slave,
    /// Not at all.
    Private,
    /// Not at all, and it cannot be bound elsewhere.
    Unbindable,
}

impl Propagation {
    fn bits(self) -> u64 {
        match self {
            Self::Shared => libc::MS_SHARED,
            Self::Slave => libc::MS_SLAVE,
            Self::Private => libc::MS_PRIVATE,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// What [`set_attributes`] changes.
#[derive(Debug, Default)]
pub struct Change<'a> {
    /// Set these.
    pub set: u64,
    /// Clear these.
    pub clear: u64,
    /// Change the propagation.
    pub propagation: Option<Propagation>,
    /// Map ids as this user namespace does.
    pub mapping: Option<BorrowedFd<'a>>,
    /// Change the mounts beneath as well.
    pub recursive: bool,
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
/// The field of the access-time attributes, cleared before one is set.
const MOUNT_ATTR_ATIME: u64 = 0x70;

/// Changes a mount's attributes, for a detached or an attached mount (`mount_setattr`, Linux 5.12).
///
/// # Errors
/// The kernel refuses.
pub fn set_attributes(mount: impl AsFd, change: &Change<'_>) -> io::Result<()> {
    let mut attr = MountAttr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation.map_or(0, Propagation::bits),
        userns_fd: 0,
    };
    if change.set & MOUNT_ATTR_ATIME != 0 {
        attr.attr_clr |= MOUNT_ATTR_ATIME;
    }
    if let Some(mapping) = change.mapping {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = u64::try_from(mapping.as_raw_fd()).map_err(io::Error::other)?;
    }
    let flags = libc::AT_EMPTY_PATH
        | if change.recursive {
            libc::AT_RECURSIVE
        } else {
            0
        };
    // SAFETY: `attr` lives across the call, its size is passed along, and the empty path is a
    // terminated string.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw mut attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes a mount read-only: what it shows cannot be changed, nor its mode and owner. A device can be read and
/// written to all the same.
///
/// # Errors
/// As for [`set_attributes`].
pub fn make_read_only(mount: impl AsFd) -> io::Result<()> {
    let set = u64::from(Attributes::MOUNT_ATTR_RDONLY.bits());
    set_attributes(
        mount,
        &Change {
            set,
            ..Change::default()
        },
    )
}

/// Changes the propagation of everything this namespace sees, so that nothing we mount leaks out.
///
/// # Errors
/// `/` is not a mount point (a chroot).
pub fn set_root_propagation(propagation: Propagation) -> io::Result<()> {
    let root = rustix::fs::open(
        "/",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let change = Change {
        propagation: Some(propagation),
        recursive: true,
        ..Change::default()
    };
    set_attributes(root, &change)
}

/// Whether something is mounted on a trusted path of the host (`STATX_ATTR_MOUNT_ROOT`, Linux 5.8).
///
/// # Errors
/// The path does not exist.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    let status = rustix::fs::statx(
        rustix::fs::CWD,
        path,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        rustix::fs::StatxFlags::empty(),
    )?;
    let root = rustix::fs::StatxAttributes::MOUNT_ROOT;
    Ok(status.stx_attributes.contains(root))
}

/// Takes away the mount whose root is the current directory.
///
/// # Errors
/// The current directory is not a mount point.
pub fn unmount_here() -> io::Result<()> {
    Ok(rustix::mount::unmount(".", UnmountFlags::DETACH)?)
}

/// Makes the current directory the root and drops the old one.
///
/// `pivot_root(".", ".")` stacks the old root on the new one, so no directory for it is needed
/// (man 2 `pivot_root`).
///
/// # Errors
/// The current directory is not a mount point.
pub fn pivot_here() -> io::Result<()> {
    rustix::process::pivot_root(".", ".")?;
    unmount_here()
}

/// Unmounts a trusted path of the host, at once, with everything beneath it.
///
/// # Errors
/// Nothing is mounted there.
pub fn unmount(path: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, UnmountFlags::DETACH)?)
}

/// A descriptor of a host file, open for execution only through a private read-only mount.
///
/// A guest that finds this file as its own `/proc/self/exe` cannot open it for writing, whatever its
/// privileges are: the mount is read-only and detached (CVE-2019-5736).
///
/// # Errors
/// The file does not exist, or the kernel refuses to clone its mount.
pub fn read_only_clone(path: &Path) -> io::Result<OwnedFd> {
    let mount = clone_path(path, false)?;
    let set = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let change = Change {
        set: u64::from(set.bits()),
        ..Change::default()
    };
    set_attributes(&mount, &change)?;
    crate::path::reopen(&mount, rustix::fs::OFlags::RDONLY)
}
