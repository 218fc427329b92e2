//! What a build tells while it goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use berth_sys::clock;

/// Hears how a build goes on, from several stages at once.
pub trait Report: Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Report for Quiet {
    fn event(&self, _event: &Event<'_>) {}
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A step begins.
    Begin {
        /// Its number.
        step: usize,
        /// What it does.
        name: &'a str,
    },
    /// A step's command wrote something.
    Output {
        /// The step.
        step: usize,
        /// How long it has been at work.
        elapsed: Duration,
        /// What it wrote.
        bytes: &'a [u8],
        /// Whether to standard error.
        error: bool,
    },
    /// A step says something itself.
    Note {
        /// The step.
        step: usize,
        /// What.
        text: &'a str,
    },
    /// A step's result is known already.
    Cached {
        /// The step.
        step: usize,
    },
    /// A step is done.
    Done {
        /// The step.
        step: usize,
        /// How long it took.
        elapsed: Duration,
    },
    /// A step failed.
    Failed {
        /// The step.
        step: usize,
        /// Why.
        reason: &'a str,
    },
    /// What the checks found.
    Warnings {
        /// One line each.
        text: &'a str,
    },
}

/// Numbers the steps of a build.
pub(super) struct Steps<'a> {
    report: &'a dyn Report,
    next: AtomicUsize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(report: &'a dyn Report) -> Self {
        Self {
            report,
            next: AtomicUsize::new(1),
        }
    }

    pub(super) fn begin(&self, name: &str) -> Step<'a> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        self.report.event(&Event::Begin { step: number, name });
        Step {
            report: self.report,
            number,
            began: clock::monotonic(),
        }
    }

    pub(super) fn warnings(&self, text: &str) {
        self.report.event(&Event::Warnings { text });
    }
}

/// One step while it goes on.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    report: &'a dyn Report,
    number: usize,
    began: Duration,
}

impl Step<'_> {
    fn elapsed(&self) -> Duration {
        clock::monotonic().saturating_sub(self.began)
    }

    pub(super) fn output(&self, bytes: &[u8], error: bool) {
        self.report.event(&Event::Output {
            step: self.number,
            elapsed: self.elapsed(),
            bytes,
            error,
        });
    }

    pub(super) fn note(&self, text: &str) {
        self.report.event(&Event::Note {
            step: self.number,
            text,
        });
    }

    pub(super) fn cached(&self) {
        self.report.event(&Event::Cached { step: self.number });
    }

    /// Tells how the step ended.
    pub(super) fn end<T>(&self, result: berth_contract::Result<T>) -> berth_contract::Result<T> {
        match &result {
            Ok(_) => self.report.event(&Event::Done {
                step: self.number,
                elapsed: self.elapsed(),
            }),
            Err(error) => self.report.event(&Event::Failed {
                step: self.number,
                reason: &error.to_string(),
            }),
        }
        result
    }
}
