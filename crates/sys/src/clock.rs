//! The two clocks: the one people read and the one that only goes forward.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the Unix epoch (`CLOCK_REALTIME`).
#[must_use]
pub fn realtime() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    nanoseconds(now.tv_sec, now.tv_nsec)
}

/// Time since boot without suspension (`CLOCK_MONOTONIC`): for deadlines, never for people.
#[must_use]
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::from_nanos(nanoseconds(now.tv_sec, now.tv_nsec))
}

/// A clock set before 1970 counts as 1970.
fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let nanoseconds = u64::try_from(nanoseconds).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes() {
        // 2020-01-01: a machine older than berth has a broken clock.
        assert!(realtime() > 1_577_836_800_000_000_000);
        let before = monotonic();
        assert!(monotonic() >= before);
    }
}
