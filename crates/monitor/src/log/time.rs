//! Moments as RFC 3339 text with nanoseconds, as Go's `time.RFC3339Nano` prints them in UTC.

const DAY: u64 = 86_400;
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// Appends `2026-11-23T18:15:24.1234Z`: trailing zeros of the fraction are left out, and the whole
/// fraction when it is zero.
pub(super) fn append(out: &mut Vec<u8>, nanoseconds: u64) {
    let fraction = nanoseconds % 1_000_000_000;
    seconds(out, nanoseconds / 1_000_000_000);
    if fraction > 0 {
        out.push(b'.');
        number(out, fraction, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

/// Appends `2026-11-23T18:15:24`.
pub(super) fn seconds(out: &mut Vec<u8>, seconds: u64) {
    let (year, month, day) = civil(seconds / DAY);
    number(out, year, 4);
    out.push(b'-');
    number(out, month, 2);
    out.push(b'-');
    number(out, day, 2);
    out.push(b'T');
    clock(out, seconds % DAY);
}

/// Appends `Nov  3 18:15:24`, as RFC 3164 has it.
pub(super) fn stamp(out: &mut Vec<u8>, seconds: u64) {
    let (_, month, day) = civil(seconds / DAY);
    let at = usize::try_from(month - 1).unwrap_or(0) * 3;
    out.extend(&MONTHS[at..at + 3]);
    out.push(b' ');
    number(out, day, 2);
    let tens = out.len() - 2;
    if out[tens] == b'0' {
        out[tens] = b' ';
    }
    out.push(b' ');
    clock(out, seconds % DAY);
}

/// Appends `Z`, or `+02:00`.
pub(super) fn zone(out: &mut Vec<u8>, offset: i32) {
    if offset == 0 {
        return out.push(b'Z');
    }
    out.push(if offset < 0 { b'-' } else { b'+' });
    let minutes = u64::from(offset.unsigned_abs() / 60);
    number(out, minutes / 60, 2);
    out.push(b':');
    number(out, minutes % 60, 2);
}

/// Appends `18:15:24`.
fn clock(out: &mut Vec<u8>, seconds: u64) {
    number(out, seconds / 3600, 2);
    out.push(b':');
    number(out, seconds / 60 % 60, 2);
    out.push(b':');
    number(out, seconds % 60, 2);
}

/// Appends a number with zeros before it.
pub(super) fn number(out: &mut Vec<u8>, value: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    let mut rest = value;
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year; 400 years are one era of
/// 146 097 days (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_go_prints_them() {
        for (nanoseconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_000_000_001, "2000-02-28T23:59:59.000000001Z"),
            (951_782_400_500_000_000, "2000-02-29T00:00:00.5Z"),
            (1_795_457_724_123_456_780, "2026-11-23T18:15:24.12345678Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00Z"),
        ] {
            let mut out = Vec::new();
            append(&mut out, nanoseconds);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
