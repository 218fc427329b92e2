//! What a build tells while it goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use berth_image::Progress;
use berth_sys::clock;

use super::request::Cancel;
use super::shell::FailedPlace;

/// Hears how a build goes on, from several stages at once.
pub trait Report: Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);

    /// A command failed, and where it did can be entered until this returns. Asked only of builds that say so
    /// ([`OnFailure::Shell`](super::OnFailure::Shell)), once, before the build ends as it would have.
    fn failed(&self, _place: &FailedPlace<'_>) {}
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
    /// An image that a step needs is on its way.
    Pull {
        /// The step.
        step: usize,
        /// How that goes on.
        event: &'a berth_image::Event<'a>,
    },
    /// A step was given up: the build ends before it is done.
    Cancelled {
        /// The step.
        step: usize,
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
    cancel: &'a Cancel,
    next: AtomicUsize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(report: &'a dyn Report, cancel: &'a Cancel) -> Self {
        Self {
            report,
            cancel,
            next: AtomicUsize::new(1),
        }
    }

    pub(super) fn begin(&self, name: &str) -> Step<'a> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        self.report.event(&Event::Begin { step: number, name });
        Step {
            report: self.report,
            cancel: self.cancel,
            number,
            began: clock::monotonic(),
        }
    }

    pub(super) fn failed(&self, place: &FailedPlace<'_>) {
        self.report.failed(place);
    }

    pub(super) fn warnings(&self, text: &str) {
        self.report.event(&Event::Warnings { text });
    }
}

impl Progress for Step<'_> {
    fn event(&self, event: &berth_image::Event<'_>) {
        let step = self.number;
        self.report.event(&Event::Pull { step, event });
    }
}

/// One step while it goes on.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    report: &'a dyn Report,
    cancel: &'a Cancel,
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
            Err(_) if self.cancel.is_over() => {
                self.report.event(&Event::Cancelled { step: self.number });
            }
            Err(error) => self.report.event(&Event::Failed {
                step: self.number,
                reason: &error.to_string(),
            }),
        }
        result
    }
}
