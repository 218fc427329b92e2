//! Ending work on the network from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use tokio::sync::Notify;

/// Whether work that goes on is to end; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    asked: AtomicBool,
    /// For what waits on the network.
    notify: Notify,
    /// For threads that wait for each other.
    lock: Mutex<()>,
    changed: Condvar,
}

impl Interrupt {
    /// Asks for the end.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
        drop(self.0.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Waits at most so long; whether the end was asked for.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> bool {
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_asked() {
            return true;
        }
        drop(self.0.changed.wait_timeout(guard, limit));
        self.is_asked()
    }

    /// Does work unless it is to end; `None` if it was.
    pub(crate) async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut asked = std::pin::pin!(self.0.notify.notified());
        // From here on nothing is missed, whatever the other thread does.
        asked.as_mut().enable();
        if self.is_asked() {
            return None;
        }
        tokio::select! {
            value = work => Some(value),
            () = asked => None,
        }
    }

    /// Waits for work on a runtime of its own, unless it is to end; `what` could not be done then.
    pub(crate) fn block_on<T>(&self, what: &str, work: impl Future<Output = T>) -> Result<T> {
        let done = super::transport::runtime()?.block_on(self.unless(work));
        done.ok_or_else(|| self.error(what))
    }

    /// What work says that was ended.
    pub(crate) fn error(&self, what: &str) -> Error {
        Error::new(Class::Unavailable, what.to_owned()).caused_by("it was interrupted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_when_it_is_asked_to() {
        let runtime = crate::registry::transport::runtime().unwrap();
        let interrupt = Interrupt::default();
        assert_eq!(
            runtime.block_on(interrupt.unless(async { 1 })),
            Some(1),
            "nobody asked"
        );
        let other = interrupt.clone();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| interrupt.wait(Duration::from_secs(60)));
            let endless = interrupt.unless(std::future::pending::<()>());
            scope.spawn(move || other.ask());
            assert_eq!(runtime.block_on(endless), None);
            assert!(waiting.join().unwrap());
        });
        let late = interrupt.unless(async { 1 });
        assert_eq!(runtime.block_on(late), None);
        assert!(interrupt.wait(Duration::from_secs(60)));
    }
}
