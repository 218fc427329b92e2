//! Times as images write them.

use jiff::Timestamp;

/// Now, or the time that is given: RFC 3339.
pub(super) fn rfc3339(epoch: Option<i64>) -> String {
    let time = match epoch {
        Some(seconds) => Timestamp::from_second(seconds),
        None => Timestamp::from_nanosecond(i128::from(berth_sys::clock::realtime())),
    };
    time.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
