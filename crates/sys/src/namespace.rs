//! Namespaces: make, join, and what is set per namespace.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};

/// Kinds of namespaces, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces(u32);

impl Namespaces {
    /// Time: clocks since boot.
    pub const TIME: Self = Self(0x80);
    /// Mount points.
    pub const MOUNT: Self = Self(0x2_0000);
    /// The root of the cgroup tree.
    pub const CGROUP: Self = Self(0x200_0000);
    /// Host and domain name.
    pub const UTS: Self = Self(0x400_0000);
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(0x800_0000);
    /// Users, groups and capabilities.
    pub const USER: Self = Self(0x1000_0000);
    /// Process ids.
    pub const PID: Self = Self(0x2000_0000);
    /// Network devices, addresses, ports.
    pub const NETWORK: Self = Self(0x4000_0000);

    /// No namespace.
    #[must_use]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every kind of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no kind is in this set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The `CLONE_NEW…` bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// Moves this process into new namespaces.
///
/// # Errors
/// A kind is not available or not permitted.
pub fn unshare(namespaces: Namespaces) -> io::Result<()> {
    // SAFETY: only namespace bits are ever in `Namespaces`; none of them unshares descriptors, memory
    // or signal handlers of another thread.
    let result =
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::from_bits_retain(namespaces.0)) };
    Ok(result?)
}

/// Gives this thread a root and a current directory of its own.
///
/// # Errors
/// The kernel is out of memory.
pub fn unshare_directories() -> io::Result<()> {
    // SAFETY: neither descriptors, memory nor signal handlers of other threads are unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?)
}

/// Joins one namespace by its file; the kind is checked by the kernel.
///
/// # Errors
/// It is no namespace of that kind, or may not be joined.
pub fn join(namespace: impl AsFd, kind: Namespaces) -> io::Result<()> {
    let kind = match kind {
        Namespaces::MOUNT => LinkNameSpaceType::Mount,
        Namespaces::CGROUP => LinkNameSpaceType::ControlGroup,
        Namespaces::UTS => LinkNameSpaceType::HostNameAndNISDomainName,
        Namespaces::IPC => LinkNameSpaceType::InterProcessCommunication,
        Namespaces::USER => LinkNameSpaceType::User,
        Namespaces::PID => LinkNameSpaceType::ProcessID,
        Namespaces::NETWORK => LinkNameSpaceType::Network,
        Namespaces::TIME => LinkNameSpaceType::Time,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    Ok(rustix::thread::move_into_link_name_space(
        namespace.as_fd(),
        Some(kind),
    )?)
}

/// Joins several namespaces of a process at once, in the order the kernel wants.
///
/// # Errors
/// The process has ended, or one of them may not be joined.
pub fn join_process(pidfd: impl AsFd, kinds: Namespaces) -> io::Result<()> {
    let kinds = ThreadNameSpaceType::from_bits_retain(kinds.0);
    Ok(rustix::thread::move_into_thread_name_spaces(
        pidfd.as_fd(),
        kinds,
    )?)
}

/// Names the host, in this UTS namespace.
///
/// # Errors
/// The name is longer than 64 bytes, or the namespace is not ours.
pub fn set_host_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}

/// Names the NIS domain, in this UTS namespace.
///
/// # Errors
/// The name is longer than 64 bytes, or the namespace is not ours.
pub fn set_domain_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::setdomainname(name.as_bytes())?)
}

/// One line of an id map: first id inside, first id outside, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The first id inside the namespace.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A user namespace with these maps and no process in it, for id-mapped mounts.
///
/// # Errors
/// User namespaces are not available, or we may not map these ids.
pub fn mapped_users(users: &[Mapping], groups: &[Mapping]) -> io::Result<OwnedFd> {
    let (reader, writer) = crate::fd::pipe()?;
    let child = crate::clone::spawn(Namespaces::USER, None, || {
        // The namespace needs a process until its file is open; the end of the pipe is the end of both.
        match crate::fd::close_all_but(&[crate::fd::number(&reader)]) {
            Ok(()) => {
                drop(crate::fd::wait_readable(reader.as_fd(), None));
                0
            }
            Err(_) => 1,
        }
    })?;
    let namespace = map_ids(child.pid, users, groups).and_then(|()| {
        Ok(OwnedFd::from(std::fs::File::open(format!(
            "/proc/{}/ns/user",
            child.pid
        ))?))
    });
    drop(writer);
    crate::pidfd::wait(child.pidfd.as_fd())?;
    namespace
}

/// The maps of users and of groups of a user namespace, as this process's one sees them.
///
/// # Errors
/// It is no user namespace, or may not be joined.
pub fn maps_of(namespace: impl AsFd) -> io::Result<(Vec<Mapping>, Vec<Mapping>)> {
    // Only a process inside has files that show them.
    let (ours, theirs) = crate::channel::Channel::pair()?;
    let mut unneeded = Some(ours);
    let child = crate::clone::spawn(Namespaces::empty(), None, || {
        drop(unneeded.take());
        let joined = crate::process::set_hidden(true)
            .and_then(|()| join(&namespace, Namespaces::USER))
            .and_then(|()| theirs.send(b".", None));
        // The end of the channel is the end of this process.
        match joined.and_then(|()| theirs.receive(1)) {
            Ok(_) => 0,
            Err(_) => 1,
        }
    })?;
    drop(theirs);
    let ours = unneeded.take();
    let maps = match ours.as_ref().map(|ours| ours.receive(1)) {
        Some(Ok(Some(_))) => read_map(&format!("/proc/{}/uid_map", child.pid))
            .and_then(|users| Ok((users, read_map(&format!("/proc/{}/gid_map", child.pid))?))),
        _ => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the user namespace cannot be joined",
        )),
    };
    drop(ours);
    crate::pidfd::wait(child.pidfd.as_fd())?;
    maps
}

fn read_map(path: &str) -> io::Result<Vec<Mapping>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().filter_map(mapping).collect())
}

fn mapping(line: &str) -> Option<Mapping> {
    let mut numbers = line.split_ascii_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Mapping {
        inside: next()?,
        outside: next()?,
        count: next()?,
    })
}

/// Writes a process's user and group maps (man 7 `user_namespaces`).
///
/// # Errors
/// The maps overlap, or we may not map these ids.
pub fn map_ids(pid: i32, users: &[Mapping], groups: &[Mapping]) -> io::Result<()> {
    write_map(&format!("/proc/{pid}/uid_map"), users)?;
    let path = format!("/proc/{pid}/gid_map");
    match write_map(&path, groups) {
        Err(error) if crate::error::is(&error, rustix::io::Errno::PERM) => {
            // Without CAP_SETGID outside, one's own group may be mapped once setgroups is given up.
            write_file(&format!("/proc/{pid}/setgroups"), "deny")?;
            write_map(&path, groups)
        }
        result => result,
    }
}

fn write_map(path: &str, lines: &[Mapping]) -> io::Result<()> {
    let text: String = lines
        .iter()
        .map(|line| format!("{} {} {}\n", line.inside, line.outside, line.count))
        .collect();
    write_file(path, &text)
}

fn write_file(path: &str, text: &str) -> io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_maps_can_be_read_back() {
        if !crate::user::is_root() {
            eprintln!("SKIPPED: needs root");
            return;
        }
        let line = |inside, outside, count| Mapping {
            inside,
            outside,
            count,
        };
        let users = [line(0, 100_000, 10), line(10, 7, 1)];
        let groups = [line(0, 200_000, 5)];
        let namespace = mapped_users(&users, &groups).unwrap();
        let (read_users, read_groups) = maps_of(&namespace).unwrap();
        assert_eq!(read_users, users);
        assert_eq!(read_groups, groups);
        assert!(maps_of(crate::fd::null().unwrap()).is_err());
    }
}
