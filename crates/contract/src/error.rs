//! The one error of the engine: a class, one sentence, its source, and hints as data.
//!
//! `Display` prints the sentence alone and never the source, so that whoever walks the chain prints
//! each cause once. A [`Report`] is the same thing as plain data, for crossing a process boundary.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A result whose failure is an [`struct@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is: the same class gives the same exit code and the same HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The named thing does not exist.
    NotFound,
    /// The request contradicts the present state: name taken, port taken, already running.
    Conflict,
    /// The request itself is wrong: bad flag value, malformed document.
    Invalid,
    /// This build, kernel or host cannot do it.
    Unsupported,
    /// Permission is missing.
    Denied,
    /// Something outside is not answering now; trying again may help.
    Unavailable,
    /// The guest's program exists but cannot be executed: exit code 126.
    CannotInvoke,
    /// The guest's program does not exist: exit code 127.
    CommandNotFound,
    /// A bug or a broken machine.
    Internal,
}

impl Class {
    /// The exit code of `run`, `create`, `start` and `exec` when the engine fails with this class.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::CannotInvoke => 126,
            Self::CommandNotFound => 127,
            _ => 125,
        }
    }
}

/// What the user wanted that did not happen, why, and what to do about it.
#[expect(
    clippy::error_impl_error,
    reason = "it is the one error: every crate names it by this word"
)]
#[derive(Debug)]
pub struct Error {
    class: Class,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync + 'static>>,
    hints: Vec<String>,
}

impl Error {
    /// An error with one sentence: lower case, no full stop, what the user wanted that did not happen.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            source: None,
            hints: Vec::new(),
        }
    }

    /// Names the cause; its text must not be repeated in the sentence.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync + 'static>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds one thing the user can do: a command, or the flag to add.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// What can be done about it, in the order it was added.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Puts a new sentence in front and keeps the class and the hints.
    #[must_use]
    pub fn context(self, message: impl Into<String>) -> Self {
        let class = self.class;
        let hints = self.hints.clone();
        Self {
            class,
            message: message.into(),
            source: Some(Box::new(self)),
            hints,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// An [`struct@Error`] as plain data: what crosses a socket or is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The class of the failure.
    pub class: Class,
    /// The sentence.
    pub message: String,
    /// The causes, outermost first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What can be done about it.
    #[serde(default)]
    pub hints: Vec<String>,
}

impl Report {
    /// The sentence and its causes in one line, as `inspect` shows them in `State.Error`.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.message.clone();
        for cause in &self.causes {
            line.push_str(": ");
            line.push_str(cause);
        }
        line
    }
}

impl From<&Error> for Report {
    fn from(error: &Error) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self {
            class: error.class,
            message: error.message.clone(),
            causes,
            hints: error.hints.clone(),
        }
    }
}

/// One cause out of a report, standing in for the original error.
#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<Box<Self>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Report> for Error {
    fn from(report: Report) -> Self {
        let mut source: Option<Box<Cause>> = None;
        for message in report.causes.into_iter().rev() {
            source = Some(Box::new(Cause { message, source }));
        }
        Self {
            class: report.class,
            message: report.message,
            source: source.map(|cause| cause as Box<dyn StdError + Send + Sync>),
            hints: report.hints,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_keeps_the_whole_chain() {
        let inner = Error::new(Class::Internal, "bind 8080").caused_by("address in use");
        let outer = inner.context("cannot start web").hint("use -p 8081:80");
        let report = Report::from(&outer);
        assert_eq!(report.causes, ["bind 8080", "address in use"]);
        assert_eq!(report.line(), "cannot start web: bind 8080: address in use");
        let back = Error::from(report.clone());
        assert_eq!(Report::from(&back), report);
        assert_eq!(back.to_string(), "cannot start web");
    }

    #[test]
    fn classes_map_to_dockers_exit_codes() {
        assert_eq!(Class::CommandNotFound.exit_code(), 127);
        assert_eq!(Class::CannotInvoke.exit_code(), 126);
        assert_eq!(Class::Conflict.exit_code(), 125);
    }
}
