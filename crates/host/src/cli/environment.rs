//! The process environment as a value: read once by `main`, handed down from there.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The environment variables and the working directory berth was started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
        }
    }

    /// An environment with just these variables.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Self {
            variables: variables.collect(),
        }
    }

    /// A variable, if it is set.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// A variable that is set and UTF-8, as its own string.
    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.variable(name)
            .and_then(OsStr::to_str)
            .map(str::to_owned)
    }

    /// A variable that is set, not empty, and UTF-8.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.variable(name)
            .and_then(OsStr::to_str)
            .filter(|value| !value.is_empty())
    }

    /// A variable that is set and not empty, as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }
}
