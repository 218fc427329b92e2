//! How a guest ended, and the one mapping of that to an exit status.

use serde::{Deserialize, Serialize};

use crate::error::Report;
use crate::signal::Signal;

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this status itself.
    Code {
        /// 0 to 255.
        code: u8,
    },
    /// A signal ended it.
    Signalled {
        /// The signal.
        signal: Signal,
    },
    /// The kernel killed it because its cgroup had no memory left.
    OutOfMemory,
    /// A wasm guest trapped.
    Trapped {
        /// What trapped: `unreachable`, `out of bounds memory access`, …
        reason: String,
    },
    /// It never ran.
    NeverStarted {
        /// Why not; the class decides between 125, 126 and 127.
        report: Report,
    },
    /// Its supervisor was lost while it ran, so how it ended is not known.
    Lost,
}

impl Exit {
    /// The exit status that `wait`, `run`, `ps -a` and `inspect` show: 0 to 255.
    ///
    /// A lost guest was killed with its supervisor, so it shows 137 and never 0.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Code { code } => *code,
            Self::Signalled { signal } => 128_u8.saturating_add(signal.number()),
            Self::OutOfMemory | Self::Lost => 137,
            Self::Trapped { .. } => 134,
            Self::NeverStarted { report } => report.class.exit_code(),
        }
    }

    /// What `State.Error` of `inspect` says: empty for a guest that ended by itself.
    #[must_use]
    pub fn error(&self) -> String {
        match self {
            Self::Code { .. } | Self::Signalled { .. } | Self::OutOfMemory => String::new(),
            Self::Trapped { reason } => format!("wasm trap: {reason}"),
            Self::NeverStarted { report } => report.line(),
            Self::Lost => {
                "the container's monitor was lost; how its guest ended is not known".into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_dockers() {
        assert_eq!(Exit::Code { code: 3 }.status(), 3);
        assert_eq!(
            Exit::Signalled {
                signal: Signal::TERM
            }
            .status(),
            143
        );
        assert_eq!(Exit::OutOfMemory.status(), 137);
        assert_eq!(
            Exit::Trapped {
                reason: "unreachable".into()
            }
            .status(),
            134
        );
        assert_ne!(Exit::Lost.status(), 0);
    }
}
