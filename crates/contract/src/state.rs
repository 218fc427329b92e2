//! A container's states and the one function that says which event is allowed in which state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a container stands; the names are Docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Made, never started.
    Created,
    /// Its guest runs.
    Running,
    /// Its guest is frozen.
    Paused,
    /// Its guest ended and the restart policy waits to start it again.
    Restarting,
    /// Its guest ended.
    Exited,
    /// It is being removed.
    Removing,
    /// It could not be removed completely; only `rm` is left.
    Dead,
}

/// What happens to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The guest was started.
    Started,
    /// The guest was frozen.
    Paused,
    /// The guest was thawed.
    Unpaused,
    /// The guest ended and stays ended.
    Exited,
    /// The guest ended and the restart policy will start it again.
    WillRestart,
    /// Removal began.
    Removing,
    /// Removal failed half way.
    RemovalFailed,
}

/// An event that its state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Where the container stands.
    pub state: State,
    /// What was asked.
    pub event: Event,
}

impl State {
    /// The state after `event`, or why it cannot happen now.
    ///
    /// # Errors
    /// [`Refused`] names the state and the event.
    pub fn after(self, event: Event) -> Result<Self, Refused> {
        let next = match (self, event) {
            (Self::Created | Self::Exited | Self::Restarting, Event::Started) => Self::Running,
            (Self::Running, Event::Paused) => Self::Paused,
            (Self::Paused, Event::Unpaused) => Self::Running,
            (Self::Created | Self::Running | Self::Paused | Self::Restarting, Event::Exited) => {
                Self::Exited
            }
            (Self::Running | Self::Paused, Event::WillRestart) => Self::Restarting,
            (Self::Created | Self::Exited | Self::Dead, Event::Removing) => Self::Removing,
            (Self::Removing, Event::RemovalFailed) => Self::Dead,
            (state, event) => return Err(Refused { state, event }),
        };
        Ok(next)
    }

    /// Docker's word for the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }

    /// Whether a monitor is looking after it.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.event {
            Event::Started => "started",
            Event::Paused => "paused",
            Event::Unpaused => "unpaused",
            Event::Exited | Event::WillRestart => "ended",
            Event::Removing | Event::RemovalFailed => "removed",
        };
        write!(
            formatter,
            "a container that is {} cannot be {verb}",
            self.state
        )
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 7] = [
        State::Created,
        State::Running,
        State::Paused,
        State::Restarting,
        State::Exited,
        State::Removing,
        State::Dead,
    ];

    #[test]
    fn every_live_state_can_end_and_only_they_and_created() {
        for state in STATES {
            let can_end = state.after(Event::Exited).is_ok();
            assert_eq!(
                can_end,
                state.is_live() || state == State::Created,
                "{state}"
            );
        }
    }

    #[test]
    fn a_live_container_is_never_removed() {
        for state in STATES.into_iter().filter(|state| state.is_live()) {
            assert!(state.after(Event::Removing).is_err(), "{state}");
        }
    }

    #[test]
    fn pausing_is_undone_by_unpausing() {
        let paused = State::Running.after(Event::Paused).unwrap();
        assert_eq!(paused.after(Event::Unpaused), Ok(State::Running));
        assert_eq!(
            paused.after(Event::Paused).unwrap_err().to_string(),
            "a container that is paused cannot be paused"
        );
    }
}
