//! Processes by descriptor: wait, signal, and nothing that a reused pid could confuse.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use berth_contract::{Exit, Signal};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};

/// Refers to a process by its pid.
///
/// # Errors
/// There is no such process.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(no_such_process)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// The pid of a process in this one's pid namespace.
///
/// # Errors
/// It is no pidfd, or the process has been collected, or cannot be seen from here.
pub fn pid(pidfd: impl AsFd) -> io::Result<i32> {
    let path = format!("/proc/self/fdinfo/{}", crate::fd::number(pidfd));
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    match line.and_then(|pid| pid.trim().parse().ok()) {
        Some(pid @ 1..) => Ok(pid),
        _ => Err(no_such_process()),
    }
}

/// Sends a signal.
///
/// # Errors
/// The process has ended, or is not ours to signal.
pub fn signal(pidfd: impl AsFd, signal: Signal) -> io::Result<()> {
    // SAFETY: 1 to 64 are valid signal numbers, and the kernel checks the number again.
    let signal = unsafe { rustix::process::Signal::from_raw_unchecked(i32::from(signal.number())) };
    Ok(rustix::process::pidfd_send_signal(pidfd, signal)?)
}

/// Collects an ended child, or says `None` while it runs. Never blocks.
///
/// # Errors
/// It is not our child, or was collected already.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    wait_with(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// Says how a child ended without collecting it, or `None` while it runs. Never blocks.
///
/// # Errors
/// It is not our child, or was collected already.
pub fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    wait_with(
        pidfd,
        WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
    )
}

/// Waits for a child's end and collects it.
///
/// # Errors
/// It is not our child, or was collected already.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<Exit> {
    loop {
        if let Some(exit) = wait_with(pidfd, WaitIdOptions::EXITED)? {
            return Ok(exit);
        }
    }
}

/// Waits until the process has ended; `false` when the time is over first.
///
/// # Errors
/// The descriptor is no pidfd.
pub fn wait_ended(pidfd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    crate::fd::wait_readable(pidfd, timeout)
}

/// A duplicate of another process's descriptor.
///
/// # Errors
/// We may not inspect that process, or it has no such descriptor.
pub fn duplicate_of(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_getfd(
        pidfd,
        number,
        rustix::process::PidfdGetfdFlags::empty(),
    )?)
}

fn wait_with(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<Option<Exit>> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), options) {
            Ok(status) => return Ok(status.map(|status| exit(&status))),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn exit(status: &WaitIdStatus) -> Exit {
    if let Some(code) = status.exit_status() {
        // The kernel keeps the low eight bits of what a program passes to exit.
        return Exit::Code {
            code: u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        };
    }
    let signal = status
        .terminating_signal()
        .and_then(|number| u8::try_from(number).ok());
    Exit::Signalled {
        signal: signal
            .and_then(|number| number.try_into().ok())
            .unwrap_or(Signal::KILL),
    }
}

fn no_such_process() -> io::Error {
    rustix::io::Errno::SRCH.into()
}
