//! Terminals: size, raw mode that is always undone, and pty pairs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_contract::TerminalSize;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// Whether a file is a terminal.
#[must_use]
pub fn is_terminal(file: impl AsFd) -> bool {
    isatty(file)
}

/// A terminal's size.
///
/// # Errors
/// The file is not a terminal.
pub fn size(file: impl AsFd) -> io::Result<TerminalSize> {
    let size = tcgetwinsize(file)?;
    Ok(TerminalSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Sets a terminal's size; its foreground processes are told by `SIGWINCH`.
///
/// # Errors
/// The file is not a terminal.
pub fn set_size(file: impl AsFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(file, size)?)
}

/// Keeps a terminal in raw mode; dropping it restores what was before.
///
/// It restores on every way out that runs destructors, panics included. The holder must therefore take
/// the signals that would end it ([`crate::signals::Signals`]) and leave by returning.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Switches `terminal` to raw mode.
    ///
    /// # Errors
    /// The file is not a terminal.
    pub fn enter(terminal: impl AsFd) -> io::Result<Self> {
        let terminal = crate::pipe::duplicate(terminal)?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }

    /// Restores the mode now: for the panic hook of a program that aborts.
    pub fn restore(&self) {
        // A terminal that is gone needs no restoring.
        tcsetattr(&self.terminal, OptionalActions::Now, &self.before).ok();
    }

    /// Restores the mode for as long as `during` runs, and then goes back to raw mode: for being
    /// suspended (`SIGTSTP`) and continued.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn suspended<T>(&self, during: impl FnOnce() -> T) -> io::Result<T> {
        tcsetattr(&self.terminal, OptionalActions::Now, &self.before)?;
        let result = during();
        let mut raw = self.before.clone();
        raw.make_raw();
        tcsetattr(&self.terminal, OptionalActions::Now, &raw)?;
        Ok(result)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring, and there is nobody left to tell.
        tcsetattr(&self.terminal, OptionalActions::Now, &self.before).ok();
    }
}

/// A new pty of this process's devpts: its master and its slave.
///
/// # Errors
/// No devpts, or no pty left.
pub fn open_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let slave = open_peer(master.as_fd())?;
    Ok((master, slave))
}

/// Opens the slave of a master by the master itself (`TIOCGPTPEER`), whatever its devpts' path shows
/// now (CVE-2025-52565).
///
/// # Errors
/// The master's pty is locked or gone.
pub fn open_peer(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    Ok(ioctl_tiocgptpeer(master, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::termios::LocalModes;

    #[test]
    fn raw_mode_is_undone_even_by_a_panic() {
        let (_master, slave) = open_pair().unwrap();
        let echoes = || {
            tcgetattr(&slave)
                .unwrap()
                .local_modes
                .contains(LocalModes::ECHO)
        };
        assert!(echoes());
        let raw = RawMode::enter(&slave).unwrap();
        assert!(!echoes());
        assert!(raw.suspended(echoes).unwrap());
        assert!(!echoes());
        drop(raw);
        assert!(echoes());
        let panicked = std::panic::catch_unwind(|| {
            let _raw = RawMode::enter(&slave).unwrap();
            assert!(echoes(), "this panic is the test");
        });
        assert!(panicked.is_err());
        assert!(echoes());
    }

    #[test]
    fn a_size_is_kept() {
        let (master, slave) = open_pair().unwrap();
        let wanted = TerminalSize {
            rows: 33,
            columns: 111,
        };
        set_size(&master, wanted).unwrap();
        assert_eq!(size(&slave).unwrap(), wanted);
        assert!(is_terminal(&slave));
        assert!(!is_terminal(crate::pipe::null().unwrap()));
    }
}
