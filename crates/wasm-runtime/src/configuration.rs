//! What the executor is told, and what it tells back.
//!
//! ```text
//! fd 0 1 2   the guest's standard streams
//! fd 3       this configuration as JSON, a sealed memory file
//! fd 4       the compiled module, open for reading
//! fd 5       the report: a pipe's writing end; one JSON document, or nothing
//! ```

use std::time::Duration;

use berth_contract::Report;
use serde::{Deserialize, Serialize};

/// The number of the file that holds the [`Configuration`].
pub const CONFIGURATION_FILE: i32 = 3;
/// The number of the file that holds the compiled module.
pub const MODULE_FILE: i32 = 4;
/// The number of the pipe for the [`Ending`].
pub const REPORT_FILE: i32 = 5;

/// The exit status of a guest that trapped: 128 + SIGABRT, as a native program that aborts.
pub const TRAP_STATUS: u8 = 134;
/// The exit status of a module that cannot be run.
pub const REFUSED_STATUS: u8 = 126;

/// Everything the executor needs to know about its guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The guest's arguments, its own name first.
    pub arguments: Vec<String>,
    /// The guest's environment: every name once.
    pub environment: Vec<(String, String)>,
    /// The working directory, absolute.
    pub working_directory: String,
    /// The function that is called in place of the program's own entry; `INTERFACE#FUNCTION` is one of an
    /// interface that a component exports.
    #[serde(default)]
    pub function: Option<String>,
    /// The directory that the guest has as `/`; `None` is the process's own root.
    #[serde(default)]
    pub root: Option<String>,
    /// How many bytes all linear memories and tables may have together.
    #[serde(default)]
    pub memory_limit: Option<u64>,
    /// The exposed TCP ports in order: listeners of a preview 1 module, the first one for HTTP.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// How long a client may take for a request's head, and keep a connection without a request.
    #[serde(default = "a_minute")]
    pub head_patience: Duration,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            working_directory: String::new(),
            function: None,
            root: None,
            memory_limit: None,
            ports: Vec::new(),
            head_patience: a_minute(),
        }
    }
}

/// What nginx and others give a client.
fn a_minute() -> Duration {
    Duration::from_secs(60)
}

/// How a guest ended when its exit status alone does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It trapped; the text is the trap's name.
    Trapped(String),
    /// It cannot be run at all.
    Refused(Report),
}

/// Splits `NAME=value` lines; of equal names the last wins and keeps the place of the first.
///
/// The engine hands a list to the guest as it is, and C libraries take the first of two equal names.
#[must_use]
pub fn environment(lines: &[String]) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::with_capacity(lines.len());
    for line in lines {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        if name.is_empty() {
            continue;
        }
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => variables.push((name.to_owned(), value.to_owned())),
        }
    }
    variables
}

/// How much linear memory a guest may have under a cgroup's limit, so that `memory.grow` fails before
/// the kernel kills.
///
/// The engine itself, its page tables and its share of the module's pages need an eighth, at least 4 MiB
/// and at most 64 MiB; a limit too small for that is split in half.
#[must_use]
pub fn memory_limit(cgroup_limit: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    let engine = (cgroup_limit / 8)
        .clamp(4 * MIB, 64 * MIB)
        .min(cgroup_limit / 2);
    cgroup_limit - engine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_names_wins() {
        let lines = ["A=1", "B=2", "A=3=4", "C", "=x"].map(str::to_owned);
        let expected = [("A", "3=4"), ("B", "2"), ("C", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(environment(&lines), expected);
    }

    #[test]
    fn the_engine_keeps_some_memory() {
        const MIB: u64 = 1 << 20;
        assert_eq!(memory_limit(64 * MIB), 56 * MIB);
        assert_eq!(memory_limit(16 * MIB), 12 * MIB);
        assert_eq!(memory_limit(6 * MIB), 3 * MIB);
        assert_eq!(memory_limit(8192 * MIB), 8128 * MIB);
    }
}
