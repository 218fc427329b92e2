//! Whether and when a container that ended is started again: Docker's rules and its back-off.

use std::time::Duration;

use crate::launch::RestartPolicy;

/// The first delay, and the one after a run that lasted.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(60);
/// A run this long counts as a success.
const LASTED: Duration = Duration::from_secs(10);

/// How one run of the guest ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: u8,
    /// How long it ran.
    pub(crate) ran: Duration,
    /// Whether a person stopped it.
    pub(crate) stopped_by_user: bool,
}

/// Remembers what the policy needs to know between runs.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    delay: Option<Duration>,
    count: u32,
}

impl Restarts {
    /// How often the policy has started the container again.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How long to wait before the next start, or `None` if there is none.
    pub(crate) fn after(&mut self, policy: RestartPolicy, ended: Ended) -> Option<Duration> {
        if ended.ran >= LASTED {
            self.delay = None;
        }
        let again = match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { maximum } => {
                ended.status != 0 && (maximum == 0 || self.count < maximum)
            }
        };
        if !again || ended.stopped_by_user {
            return None;
        }
        let delay = self.delay.map_or(FIRST, |delay| (delay * 2).min(LONGEST));
        self.delay = Some(delay);
        self.count += 1;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Ended = Ended {
        status: 1,
        ran: Duration::from_secs(1),
        stopped_by_user: false,
    };

    #[test]
    fn the_delay_doubles_to_a_minute_and_starts_over_after_ten_seconds() {
        let mut restarts = Restarts::default();
        let mut delays = Vec::new();
        for _ in 0..12 {
            delays.push(
                restarts
                    .after(RestartPolicy::Always, SHORT)
                    .unwrap()
                    .as_millis(),
            );
        }
        let expected = [
            100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000,
        ];
        assert_eq!(delays, expected);
        let long = Ended {
            ran: Duration::from_secs(10),
            ..SHORT
        };
        assert_eq!(restarts.after(RestartPolicy::Always, long), Some(FIRST));
        assert_eq!(restarts.count(), 13);
    }

    #[test]
    fn policies_differ_in_what_they_start_again() {
        let success = Ended { status: 0, ..SHORT };
        let stopped = Ended {
            stopped_by_user: true,
            ..SHORT
        };
        let failure = RestartPolicy::OnFailure { maximum: 0 };
        for (policy, ended, again) in [
            (RestartPolicy::No, SHORT, false),
            (RestartPolicy::Always, success, true),
            (RestartPolicy::Always, stopped, false),
            (RestartPolicy::UnlessStopped, SHORT, true),
            (RestartPolicy::UnlessStopped, stopped, false),
            (failure, SHORT, true),
            (failure, success, false),
            (failure, stopped, false),
        ] {
            let delay = Restarts::default().after(policy, ended);
            assert_eq!(delay.is_some(), again, "{policy:?} {ended:?}");
        }
    }

    #[test]
    fn on_failure_counts() {
        let mut restarts = Restarts::default();
        let policy = RestartPolicy::OnFailure { maximum: 2 };
        assert!(restarts.after(policy, SHORT).is_some());
        assert!(restarts.after(policy, SHORT).is_some());
        assert!(restarts.after(policy, SHORT).is_none());
        assert_eq!(restarts.count(), 2);
    }
}
