//! What a process is: user, limits, priorities, session, signals, and the program it becomes.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Gid, Pid, Signal, Uid};

/// This process's pid in its own pid namespace.
#[must_use]
pub fn id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Asks the kernel to kill this process when its parent dies.
///
/// A change of credentials clears it, so it is set again afterwards (man 2 `prctl`).
///
/// # Errors
/// Never in practice.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}

/// Hides this process from those that may not trace it: no ptrace, no `/proc/PID/{exe,fd,root}`.
///
/// # Errors
/// Never in practice.
pub fn set_hidden(hidden: bool) -> io::Result<()> {
    let behaviour = if hidden {
        DumpableBehavior::NotDumpable
    } else {
        DumpableBehavior::Dumpable
    };
    Ok(rustix::process::set_dumpable_behavior(behaviour)?)
}

/// Calls this process by another name (`comm`), of which the kernel keeps 15 bytes.
///
/// # Errors
/// Never in practice.
pub fn set_name(name: &CStr) -> io::Result<()> {
    Ok(rustix::thread::set_name(name)?)
}

/// Gives up every way to gain privileges by executing a program.
///
/// # Errors
/// Never in practice.
pub fn forbid_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Replaces the supplementary groups.
///
/// # Errors
/// `CAP_SETGID` is missing, or a user namespace has given it up.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    Ok(rustix::thread::set_thread_groups(&groups)?)
}

/// Becomes this user and group: real, effective and saved.
///
/// # Errors
/// An id is not mapped in the user namespace, or a capability is missing.
pub fn set_user(user: u32, group: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    rustix::thread::set_thread_res_gid(group, group, group)?;
    Ok(rustix::thread::set_thread_res_uid(user, user, user)?)
}

/// Sets the file mode creation mask.
pub fn set_mask(mask: u32) {
    rustix::process::umask(Mode::from_raw_mode(mask & 0o777));
}

/// A resource limit, by its number in `asm-generic/resource.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Which resource.
    pub resource: u32,
    /// What counts now.
    pub soft: u64,
    /// How far the soft limit can be raised.
    pub hard: u64,
}

/// Reads a limit of this process.
///
/// # Errors
/// There is no such resource.
pub fn limit(resource: u32) -> io::Result<Limit> {
    limit_of(0, resource)
}

/// Reads a limit of a process; 0 is this one.
///
/// # Errors
/// There is no such resource or process, or we may not look.
pub fn limit_of(pid: i32, resource: u32) -> io::Result<Limit> {
    let mut value = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit64 into `value`, which lives across the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            resource,
            std::ptr::null::<libc::rlimit64>(),
            &raw mut value,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Limit {
        resource,
        soft: value.rlim_cur,
        hard: value.rlim_max,
    })
}

/// Sets a limit of this process.
///
/// # Errors
/// The hard limit would be raised without `CAP_SYS_RESOURCE`.
pub fn set_limit(limit: Limit) -> io::Result<()> {
    set_limit_of(0, limit)
}

/// Sets a limit of a process; 0 is this one.
///
/// # Errors
/// The hard limit would be raised without `CAP_SYS_RESOURCE`, or the process is another user's.
pub fn set_limit_of(pid: i32, limit: Limit) -> io::Result<()> {
    let value = libc::rlimit64 {
        rlim_cur: limit.soft,
        rlim_max: limit.hard,
    };
    // SAFETY: the kernel reads one rlimit64 from `value`, which lives across the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            limit.resource,
            &raw const value,
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `RLIMIT_NOFILE`.
pub const OPEN_FILES: u32 = 7;

/// The limit of open files this process was started with, once it has raised it.
static OPEN_FILES_AT_START: OnceLock<Limit> = OnceLock::new();

/// Lets this process open as many files as its hard limit allows; its children are to get back what
/// [`open_files_at_start`] says, for some programs still cannot live with numbers past 1023.
///
/// # Errors
/// Whatever `prlimit(2)` says.
pub fn raise_open_files() -> io::Result<()> {
    let limit = limit(OPEN_FILES)?;
    let raised = Limit {
        soft: limit.hard,
        ..limit
    };
    set_limit(raised)?;
    OPEN_FILES_AT_START.get_or_init(|| limit);
    Ok(())
}

/// The limit of open files before [`raise_open_files`]; `None` where that was not called.
#[must_use]
pub fn open_files_at_start() -> Option<Limit> {
    OPEN_FILES_AT_START.get().copied()
}

/// Begins a new session, without a controlling terminal.
///
/// # Errors
/// This process leads a group already.
pub fn new_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Makes a terminal the controlling one of this session.
///
/// # Errors
/// It belongs to another session, or this process leads none.
pub fn control_terminal(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

/// Lets the slave of a new pty be opened.
///
/// # Errors
/// It is no pty master.
pub fn unlock_terminal(master: impl AsFd) -> io::Result<()> {
    Ok(rustix::pty::unlockpt(master)?)
}

/// Gives this process a keyring of its own, so that it does not share the host session's keys.
///
/// # Errors
/// The kernel has no keyrings, or a quota is used up.
pub fn new_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: joining an anonymous keyring takes no pointer but null.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) };
    if result >= 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Changes the execution domain.
///
/// # Errors
/// The kernel does not know it.
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: only sets flags of this process.
    let result = unsafe { libc::personality(libc::c_ulong::from(domain)) };
    if result >= 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets the I/O priority: class 1 real time, 2 best effort, 3 idle; level 0 (first) to 7.
///
/// # Errors
/// The class needs a capability.
pub fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: only numbers are passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_ioprio_set,
            IOPRIO_WHO_PROCESS,
            0,
            (class << 13) | (level & 0x1fff),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How the kernel schedules a process: `struct sched_attr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    size: u32,
    /// `SCHED_OTHER` 0, FIFO 1, RR 2, BATCH 3, IDLE 5, DEADLINE 6.
    pub policy: u32,
    /// `SCHED_FLAG_…`.
    pub flags: u64,
    /// For OTHER and BATCH.
    pub nice: i32,
    /// For FIFO and RR.
    pub priority: u32,
    /// For DEADLINE, in nanoseconds.
    pub runtime: u64,
    /// For DEADLINE, in nanoseconds.
    pub deadline: u64,
    /// For DEADLINE, in nanoseconds.
    pub period: u64,
}

/// Sets how the kernel schedules this process.
///
/// # Errors
/// The policy needs `CAP_SYS_NICE`, or a value is out of range.
pub fn set_scheduling(scheduling: Scheduling) -> io::Result<()> {
    let mut scheduling = scheduling;
    scheduling.size = u32::try_from(size_of::<Scheduling>()).unwrap_or(0);
    // SAFETY: the kernel reads `size` bytes from the structure, which lives across the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const scheduling, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends a signal by pid; for children of this process, whose pids cannot be reused.
///
/// # Errors
/// There is no such process.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: only numbers are passed.
    let result = unsafe { libc::kill(pid, signal) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Collects one ended child, if any: its pid, and its status as a shell shows it (128 + signal).
#[must_use]
pub fn reap_any() -> Option<(i32, u8)> {
    let options = rustix::process::WaitOptions::NOHANG;
    let (pid, status) = rustix::process::wait(options).ok().flatten()?;
    let shown = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        (None, None) => return None,
    };
    Some((Pid::as_raw(Some(pid)), shown))
}

/// Changes the working directory to an open one.
///
/// # Errors
/// It is no directory, or may not be searched.
pub fn change_directory(directory: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::fchdir(directory)?)
}

/// The working directory as the kernel names it; it begins with `(unreachable)` outside the root.
///
/// # Errors
/// It was removed.
pub fn working_directory() -> io::Result<CString> {
    Ok(rustix::process::getcwd(Vec::new())?)
}

/// Makes an open directory the root and the working directory.
///
/// # Errors
/// `CAP_SYS_CHROOT` is missing.
pub fn change_root(directory: impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(directory)?;
    Ok(rustix::process::chroot(".")?)
}

/// A program's path, arguments and environment, ready for the kernel.
#[derive(Debug)]
pub struct Image {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Image {
    /// Converts arguments and environment.
    ///
    /// # Errors
    /// One of them has a NUL in it.
    pub fn new<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
        environment: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<Self> {
        let convert = |text: &str| CString::new(text).map_err(io::Error::from);
        Ok(Self {
            arguments: arguments
                .into_iter()
                .map(convert)
                .collect::<io::Result<_>>()?,
            environment: environment
                .into_iter()
                .map(convert)
                .collect::<io::Result<_>>()?,
        })
    }

    /// Becomes the program at a path. Returns only a failure.
    #[must_use]
    pub fn execute(&self, path: &str) -> io::Error {
        let Ok(path) = CString::new(path) else {
            return io::ErrorKind::InvalidInput.into();
        };
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        // SAFETY: all three are terminated: the path by NUL, the lists by a null pointer; what they
        // point to lives across the call.
        unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }

    /// Becomes the program in an open file. Returns only a failure.
    #[must_use]
    pub fn execute_file(&self, file: BorrowedFd<'_>) -> io::Error {
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        // SAFETY: as in `execute`; the empty path with AT_EMPTY_PATH names the file itself.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                file.as_raw_fd(),
                c"".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        io::Error::last_os_error()
    }
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}
