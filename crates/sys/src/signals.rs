//! Receiving signals as data (`signalfd(2)`), so that a loop waits for them like for anything else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use berth_contract::Signal;
use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals this thread no longer suffers but reads; dropping it restores the mask that was before.
///
/// A blocked signal stays blocked across `execve`: whoever starts a program resets the mask
/// ([`crate::spawn`] does).
#[derive(Debug)]
pub struct Signals {
    signals: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Blocks these signals (1 to 31) for this thread and reads them from now on.
    ///
    /// # Errors
    /// A number is above 31, or no file is left.
    pub fn take(signals: &[Signal]) -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in signals {
            set.add(Number::try_from(i32::from(signal.number()))?);
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor = SignalFd::with_flags(&set, flags)?;
        let before = set.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
        Ok(Self {
            signals: descriptor,
            before,
        })
    }

    /// The next signal that has arrived, if any. Never blocks.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn next(&self) -> io::Result<Option<Signal>> {
        loop {
            let Some(information) = self.signals.read_signal()? else {
                return Ok(None);
            };
            let number = u8::try_from(information.ssi_signo).unwrap_or_default();
            if let Ok(signal) = Signal::try_from(number) {
                return Ok(Some(signal));
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // What is still pending would strike now, although it was meant to be read.
        while let Ok(Some(_)) = self.signals.read_signal() {}
        self.before.thread_set_mask().ok();
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    #[test]
    fn a_signal_is_read_instead_of_suffered() {
        let user = "USR1".parse::<Signal>().unwrap();
        let signals = Signals::take(&[user]).unwrap();
        assert_eq!(signals.next().unwrap(), None);
        raise(Number::SIGUSR1).unwrap();
        assert_eq!(signals.next().unwrap(), Some(user));
        raise(Number::SIGUSR1).unwrap();
        drop(signals);
        assert!(!SigSet::thread_get_mask().unwrap().contains(Number::SIGUSR1));
    }
}
