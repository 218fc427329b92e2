//! Sizes and durations as Docker words them.

use std::time::Duration;

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// A size in powers of 1000 with three significant digits: `5.58MB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    with_unit(bytes, 1000.0, &DECIMAL, 3)
}

/// A size in powers of 1024 with four significant digits: `7.637GiB`.
#[must_use]
pub fn binary_size(bytes: u64) -> String {
    with_unit(bytes, 1024.0, &BINARY, 4)
}

#[expect(clippy::cast_precision_loss, reason = "at most four digits are shown")]
fn with_unit(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let mut text = significant(value, digits);
    // 999.9 rounds up to 1000, which Go would write as 1e+03; the next unit reads better.
    if base < 1001.0 && text == "1000" && unit + 1 < units.len() {
        text = "1".to_owned();
        unit += 1;
    }
    format!("{text}{}", units[unit])
}

/// A number with so many significant digits and without trailing zeros (C's `%g`).
fn significant(value: f64, digits: usize) -> String {
    let before_point = if value >= 1000.0 {
        4
    } else if value >= 100.0 {
        3
    } else if value >= 10.0 {
        2
    } else {
        1
    };
    let decimals = digits.saturating_sub(before_point);
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A duration in words: `3 minutes`, `About an hour`, `Less than a second`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    // Docker rounds hours to the nearest one and everything else down.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// How long ago a moment was: `3 minutes ago`; both in nanoseconds since the Unix epoch.
#[must_use]
pub fn ago(then: u64, now: u64) -> String {
    format!(
        "{} ago",
        duration(Duration::from_nanos(now.saturating_sub(then)))
    )
}

/// A text shortened to `width` characters, the last of them `…`.
#[must_use]
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    if width <= 1 {
        return text.chars().take(width).collect();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (bytes, expected) in [
            (0, "0B"),
            (13, "13B"),
            (999, "999B"),
            (1000, "1kB"),
            (1234, "1.23kB"),
            (5_580_000, "5.58MB"),
            (72_800_000, "72.8MB"),
            (13_256, "13.3kB"),
            (187_000_000, "187MB"),
            (999_900_000, "1GB"),
            (1_000_000_000, "1GB"),
            (1_240_000_000, "1.24GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(binary_size(8_200_000_000), "7.637GiB");
        assert_eq!(binary_size(1023 * 1024), "1023KiB");
        assert_eq!(binary_size(0), "0B");
    }

    #[test]
    fn durations_are_dockers() {
        for (seconds, expected) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (180, "3 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5399, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (13 * 86_400, "13 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (729 * 86_400, "24 months"),
            (730 * 86_400, "2 years"),
        ] {
            assert_eq!(
                duration(Duration::from_secs(seconds)),
                expected,
                "{seconds}"
            );
        }
        assert_eq!(ago(0, 2 * 3_600_000_000_000), "2 hours ago");
        assert_eq!(ago(5, 0), "Less than a second ago");
    }

    #[test]
    fn shortening_counts_characters() {
        assert_eq!(ellipsis("sleep 1000", 20), "sleep 1000");
        assert_eq!(ellipsis("äöüäöü", 3), "äö…");
        assert_eq!(ellipsis("ab", 1), "a");
    }
}
