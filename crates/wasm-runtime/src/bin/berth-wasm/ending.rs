//! How the guest ended, told twice: as exit status and on the report pipe.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use berth_contract::{Class, Error, Report};
use berth_wasm_runtime::configuration::{Ending, REFUSED_STATUS, TRAP_STATUS};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

/// How the guest ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With this status.
    Status(u8),
    /// It trapped.
    Trapped {
        /// The trap's name.
        reason: String,
        /// What is written to its standard error.
        backtrace: String,
    },
    /// It could not be run.
    Refused(Error),
}

impl Outcome {
    /// What a failed call of guest code means.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            return Self::Status(truncated(*status));
        }
        let reason = match error.downcast_ref::<Trap>() {
            Some(trap) => trap
                .to_string()
                .trim_start_matches("wasm trap: ")
                .to_owned(),
            None => error.root_cause().to_string(),
        };
        Self::Trapped {
            reason,
            backtrace: format!("{error:?}"),
        }
    }

    /// Writes what has to be written and returns the exit status.
    pub(crate) fn announce(self, report: Option<OwnedFd>) -> u8 {
        let (status, text, ending) = match self {
            Self::Status(status) => return status,
            Self::Trapped { reason, backtrace } => {
                let text = trap(&reason, &backtrace);
                (TRAP_STATUS, text, Ending::Trapped(reason))
            }
            Self::Refused(error) => {
                let report = Report::from(&error);
                (
                    REFUSED_STATUS,
                    format!("berth-wasm: {}\n", report.line()),
                    Ending::Refused(report),
                )
            }
        };
        std::io::stderr().write_all(text.as_bytes()).ok();
        if let (Some(report), Ok(document)) = (report, serde_json::to_vec(&ending)) {
            File::from(report).write_all(&document).ok();
        }
        status
    }
}

/// What went wrong, for the log of a guest that goes on.
pub(crate) fn description(error: &wasmtime::Error) -> String {
    match Outcome::of(error) {
        Outcome::Trapped { reason, backtrace } => trap(&reason, &backtrace),
        _ => String::new(),
    }
}

fn trap(reason: &str, backtrace: &str) -> String {
    format!("wasm trap: {reason}\n{}", backtrace_only(backtrace))
}

/// A parent sees eight bits of a status, natively too.
pub(crate) fn truncated(status: i32) -> u8 {
    status.to_le_bytes()[0]
}

/// The frames of wasmtime's description, without the sentence around them and the repeated trap.
fn backtrace_only(description: &str) -> String {
    let frames: Vec<&str> = description
        .lines()
        .skip_while(|line| !line.contains("wasm backtrace"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty() && !line.starts_with("Caused by"))
        .collect();
    if frames.is_empty() {
        return String::new();
    }
    format!("wasm backtrace:\n{}\n", frames.join("\n"))
}

/// Turns wasmtime's error, which is no `std::error::Error`, into a refusal with this sentence.
pub(crate) fn refusal(sentence: &str) -> impl FnOnce(wasmtime::Error) -> Error + '_ {
    move |error| Error::new(Class::CannotInvoke, sentence).caused_by(format!("{error:#}"))
}

/// A function is not there, but others are.
pub(crate) fn absent(sentence: &str, exports: &[&str]) -> Error {
    let there = if exports.is_empty() {
        "nothing".to_owned()
    } else {
        exports.join(", ")
    };
    Error::new(Class::CannotInvoke, sentence).caused_by(format!("it exports {there}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_keep_eight_bits() {
        for (full, seen) in [(0, 0), (255, 255), (256, 0), (-1, 255), (259, 3)] {
            assert_eq!(truncated(full), seen);
        }
    }

    #[test]
    fn only_frames_remain_of_a_backtrace() {
        let text = "error while executing at wasm backtrace:\n    0:  0x2a - a!b\n    1:  0x2b - a!c\n\nCaused by:\n    wasm trap: x";
        assert_eq!(
            backtrace_only(text),
            "wasm backtrace:\n    0:  0x2a - a!b\n    1:  0x2b - a!c\n"
        );
        assert_eq!(backtrace_only("something else"), "");
    }
}
