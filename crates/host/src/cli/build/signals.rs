//! The signals that end a build, and work that they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_contract::{Class, Error, Result, Signal};
use berth_image::Interrupt;
use berth_sys::epoll::{Interest, Poller};
use berth_sys::signals::Signals;

/// Takes the signals that end a build.
pub(super) fn ending_signals() -> Result<Signals> {
    let signals: Vec<Signal> = ["INT", "TERM", "HUP"]
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    Signals::take(&signals)
        .map_err(|error| Error::new(Class::Internal, "cannot take signals").caused_by(error))
}

/// Does work over the network before a build, which the signals end as they end the build itself.
pub(super) fn interruptible<T>(
    interrupt: &Interrupt,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let signals = ending_signals()?;
    watched(&signals, &|| interrupt.ask(), work)
}

/// Does work, and does something else for each signal that arrives meanwhile.
pub(super) fn watched<T>(
    signals: &Signals,
    act: &(dyn Fn() + Sync),
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let over = Arc::new(AtomicBool::new(false));
    let (woken, waker) = berth_sys::pipe::pair()
        .map_err(|error| Error::new(Class::Internal, "cannot make a pipe").caused_by(error))?;
    std::thread::scope(|scope| {
        scope.spawn(|| watch(signals, act, (&woken, &over)));
        let done = work();
        over.store(true, Ordering::SeqCst);
        drop(waker);
        done
    })
}

/// Waits for a signal or for the end.
fn watch(
    signals: &Signals,
    act: &(dyn Fn() + Sync),
    (woken, over): (&impl std::os::fd::AsFd, &AtomicBool),
) {
    let wait = || -> std::io::Result<()> {
        let mut poller = Poller::new()?;
        poller.add(signals, 0, Interest::READ)?;
        poller.add(woken, 1, Interest::READ)?;
        while !over.load(Ordering::SeqCst) {
            poller.wait(None)?.for_each(drop);
            while signals.next()?.is_some() {
                act();
            }
        }
        Ok(())
    };
    // Without the watcher the work still ends, only not at a signal.
    drop(wait());
}
