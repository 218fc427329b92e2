//! The time zone in which times are read and shown: the host's, or one the user names.

use std::path::Path;

use jiff::tz::TimeZone;

/// Where the host's zone lies, in the format of RFC 9636.
const LOCALTIME: &str = "/etc/localtime";
/// Where named zones lie.
const DATABASE: &str = "/usr/share/zoneinfo";
/// Zone files are a few kilobytes; more than this is something else.
const LARGEST: u64 = 1 << 20;

/// The zone that `name` (the user's `TZ`) names, else the host's, else UTC.
#[must_use]
pub fn local(name: Option<&str>) -> TimeZone {
    let named = name.map(|name| name.strip_prefix(':').unwrap_or(name));
    let found = match named {
        Some("" | "UTC" | "UTC0" | "GMT") => return TimeZone::UTC,
        Some(path) if path.starts_with('/') => read(Path::new(path)),
        Some(name) if name.split('/').any(|part| part == "..") => None,
        Some(name) => read(&Path::new(DATABASE).join(name)).or_else(|| TimeZone::posix(name).ok()),
        None => read(Path::new(LOCALTIME)),
    };
    found.unwrap_or(TimeZone::UTC)
}

fn read(path: &Path) -> Option<TimeZone> {
    let size = std::fs::metadata(path)
        .ok()
        .filter(std::fs::Metadata::is_file)?
        .len();
    if size > LARGEST {
        return None;
    }
    TimeZone::tzif("local", &std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_zone_is_utc() {
        assert_eq!(local(Some("")), TimeZone::UTC);
        assert_eq!(local(Some("Nowhere/Land")), TimeZone::UTC);
        assert_eq!(local(Some("../../etc/passwd")), TimeZone::UTC);
    }

    #[test]
    fn a_posix_zone_needs_no_database() {
        let zone = local(Some("XYZ-2"));
        let then = jiff::Timestamp::UNIX_EPOCH;
        assert_eq!(zone.to_offset(then).seconds(), 7200);
    }
}
