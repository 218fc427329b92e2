//! Moments and spans as people write them for `--since`, `--until` and `--filter until=`.

use berth_contract::{Class, Error, Result};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const NANOSECONDS: u64 = 1_000_000_000;

/// A Go duration in nanoseconds: `1h30m`, `1.5h`, `300ms`, `42s`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let scale: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1000,
            "ms" => 1_000_000,
            "s" => NANOSECONDS,
            "m" => 60 * NANOSECONDS,
            "h" => 3600 * NANOSECONDS,
            "d" => 24 * 3600 * NANOSECONDS,
            _ => return None,
        };
        total = total.checked_add(scaled(number, scale)?)?;
        rest = tail;
    }
    Some(total)
}

/// A decimal number times a scale, without rounding through floats.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(total)
}

/// A moment in nanoseconds since the Unix epoch: RFC 3339 in full or in part, seconds since the epoch
/// with or without a fraction, or a Go duration before `now`.
///
/// A date and time without an offset is meant in `zone`.
///
/// # Errors
/// The text is none of these.
pub fn parse_moment(text: &str, now: u64, zone: &TimeZone) -> Result<u64> {
    let text = text.trim();
    if let Some(past) = parse_duration(text) {
        return Ok(now.saturating_sub(past));
    }
    if let Some(future) = text.strip_prefix('-').and_then(parse_duration) {
        return Ok(now.saturating_add(future));
    }
    let bare = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let moment = if bare {
        scaled(text, NANOSECONDS)
    } else {
        calendar(text, zone)
    };
    moment.ok_or_else(|| {
        Error::new(Class::Invalid, format!("invalid time {text:?}"))
            .hint("write it as 2006-01-02T15:04:05Z, as 10m (ago), or as seconds since 1970")
    })
}

fn calendar(text: &str, zone: &TimeZone) -> Option<u64> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return u64::try_from(timestamp.as_nanosecond()).ok();
    }
    let (date_time, utc) = match text.strip_suffix(['Z', 'z']) {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let zone = if utc { &TimeZone::UTC } else { zone };
    // jiff reads seconds and minutes; the hour alone and the date alone are Docker's.
    let completed = match date_time.split_once(['T', ' ']) {
        None => format!("{date_time}T00:00:00"),
        Some((date, time)) if time.len() == 2 => format!("{date}T{time}:00:00"),
        Some((date, time)) => format!("{date}T{time}"),
    };
    let civil: DateTime = completed.parse().ok()?;
    let timestamp = zone.to_timestamp(civil).ok()?;
    u64::try_from(timestamp.as_nanosecond()).ok()
}

/// What Docker shows for a moment that never was.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// A moment in RFC 3339 with nanoseconds, as `inspect` and `logs -t` show it: always nine decimals.
#[must_use]
pub fn rfc3339(nanoseconds: u64) -> String {
    match Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(timestamp) => format!("{timestamp:.9}"),
        Err(_) => NEVER.to_owned(),
    }
}

/// A moment as Go prints a time: `2026-11-23 18:15:24 +0000 UTC`, the `CreatedAt` of listings.
#[must_use]
pub fn go_time(seconds: i64, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_second(seconds) else {
        return "0001-01-01 00:00:00 +0000 UTC".to_owned();
    };
    let zoned = timestamp.to_zoned_datetime(zone.clone());
    zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("0", Some(0)),
            ("42s", Some(42 * NANOSECONDS)),
            ("1h30m", Some(5400 * NANOSECONDS)),
            ("1.5h", Some(5400 * NANOSECONDS)),
            (".5s", Some(NANOSECONDS / 2)),
            ("300ms", Some(300_000_000)),
            ("1us", Some(1000)),
            ("", None),
            ("5", None),
            ("1x", None),
            ("s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn moments_are_dockers() {
        let now = 2_000_000_000 * NANOSECONDS;
        let utc = TimeZone::UTC;
        let day = 1_136_160_000 * NANOSECONDS; // 2006-01-02
        let fixed = TimeZone::fixed(jiff::tz::offset(2));
        for (text, expected) in [
            ("10m", now - 600 * NANOSECONDS),
            ("1136160000", day),
            ("1136160000.000000001", day + 1),
            ("2006-01-02", day),
            ("2006-01-02Z", day),
            ("2006-01-02T15", day + 15 * 3600 * NANOSECONDS),
            ("2006-01-02T15:04", day + (15 * 3600 + 240) * NANOSECONDS),
            ("2006-01-02T15:04:05", day + (15 * 3600 + 245) * NANOSECONDS),
            (
                "2006-01-02T15:04:05.5Z",
                day + (15 * 3600 + 245) * NANOSECONDS + 500_000_000,
            ),
            (
                "2006-01-02T15:04:05+01:00",
                day + (14 * 3600 + 245) * NANOSECONDS,
            ),
        ] {
            assert_eq!(parse_moment(text, now, &utc).unwrap(), expected, "{text}");
        }
        assert_eq!(parse_moment("2006-01-02T02:00", now, &fixed).unwrap(), day);
        for wrong in ["", "yesterday", "2006-13-01", "1.2.3", "2006-01-02T25"] {
            assert!(parse_moment(wrong, now, &utc).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_print_as_docker_prints_them() {
        assert_eq!(
            rfc3339(1_136_160_000 * NANOSECONDS + 5),
            "2006-01-02T00:00:00.000000005Z"
        );
        assert_eq!(
            go_time(1_136_160_000, &TimeZone::UTC),
            "2006-01-02 00:00:00 +0000 UTC"
        );
    }
}
