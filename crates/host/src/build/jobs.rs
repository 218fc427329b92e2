//! How many steps go on at once.

use std::sync::{Condvar, Mutex, PoisonError};

use super::builder::{NOTICE, lock};
use super::request::Cancel;

/// Lets steps begin.
#[derive(Debug)]
pub(super) struct Jobs {
    /// At most so many; 0 for any number.
    limit: usize,
    busy: Mutex<usize>,
    freed: Condvar,
}

/// A step that goes on; the next one may begin when it is dropped.
#[derive(Debug)]
pub(super) struct Job<'a>(&'a Jobs);

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.0.give();
    }
}

impl Jobs {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            busy: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits until a step may begin; a build that is over lets all begin, and each of them sees it.
    pub(super) fn begin(&self, cancel: &Cancel) -> Job<'_> {
        self.take(cancel);
        Job(self)
    }

    /// What takes time because of others, who may need this one's turn for it.
    pub(super) fn aside<T>(&self, cancel: &Cancel, wait: impl FnOnce() -> T) -> T {
        self.give();
        let value = wait();
        self.take(cancel);
        value
    }

    fn take(&self, cancel: &Cancel) {
        let mut busy = lock(&self.busy);
        while self.limit > 0 && *busy >= self.limit && !cancel.is_over() {
            let waited = self.freed.wait_timeout(busy, NOTICE);
            (busy, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *busy += 1;
    }

    fn give(&self) {
        *lock(&self.busy) -= 1;
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_so_many_go_on_at_once() {
        for limit in [1, 2] {
            let (jobs, cancel) = (Jobs::new(limit), Cancel::default());
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            let job = jobs.begin(&cancel);
                            let count = now.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(count, Ordering::SeqCst);
                            std::thread::yield_now();
                            now.fetch_sub(1, Ordering::SeqCst);
                            drop(job);
                        }
                    });
                }
            });
            assert_eq!(most.into_inner(), limit);
        }
    }

    #[test]
    fn whoever_waits_for_others_is_not_in_their_way() {
        let (jobs, cancel) = (Jobs::new(1), Cancel::default());
        let first = jobs.begin(&cancel);
        jobs.aside(&cancel, || drop(jobs.begin(&cancel)));
        drop(first);
        assert_eq!(*lock(&jobs.busy), 0);
    }

    #[test]
    fn nobody_waits_once_it_is_over() {
        let (jobs, cancel) = (Jobs::new(1), Cancel::default());
        let held = jobs.begin(&cancel);
        drop(cancel.cancel());
        drop(jobs.begin(&cancel));
        drop(held);
    }
}
