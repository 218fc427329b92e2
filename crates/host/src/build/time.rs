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

/// A time in seconds that can be written as images write times: with a year of four digits.
///
/// # Errors
/// It is no number, or too large a one.
pub fn epoch_of(text: &str) -> Result<i64, String> {
    let seconds = text
        .trim()
        .parse::<i64>()
        .map_err(|error| error.to_string())?;
    let is_written =
        Timestamp::from_second(seconds).is_ok_and(|time| !time.to_string().starts_with('-'));
    if is_written {
        return Ok(seconds);
    }
    Err("a year has four digits".to_owned())
}
