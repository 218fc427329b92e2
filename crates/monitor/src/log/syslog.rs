//! An entry as a syslog message: RFC 3164, RFC 5424, or what goes to the host's own socket.
//!
//! ```text
//! <PRI>Nov 23 18:15:24 TAG[PID]: TEXT                               local
//! <PRI>Nov 23 18:15:24 HOST TAG[PID]: TEXT                          rfc3164
//! <PRI>1 2026-11-23T18:15:24.123456Z HOST TAG PID TAG - TEXT        rfc5424, here with microseconds
//!        └────────── time ─────────┘└ before ┘   └ after ┘
//! ```

use super::{Entry, Stream, time};
use crate::launch::{Syslog, SyslogTime};

/// Severities of RFC 5424, section 6.2.1.
const ERROR: u8 = 3;
const INFORMATIONAL: u8 = 6;

pub(super) fn append(out: &mut Vec<u8>, format: &Syslog, entry: &Entry<'_>) {
    let severity = match entry.stream {
        Stream::Stdout => INFORMATIONAL,
        Stream::Stderr => ERROR,
    };
    out.push(b'<');
    decimal(out, u32::from((format.facility << 3) | severity));
    out.push(b'>');
    let seconds = entry.time / 1_000_000_000;
    let offset = offset(&format.offsets, seconds);
    let local = seconds.saturating_add_signed(i64::from(offset));
    match format.time {
        SyslogTime::Stamp => time::stamp(out, local),
        SyslogTime::Seconds => {
            out.extend(b"1 ");
            time::seconds(out, local);
            time::zone(out, offset);
        }
        SyslogTime::Microseconds => {
            out.extend(b"1 ");
            time::seconds(out, local);
            out.push(b'.');
            time::number(out, entry.time % 1_000_000_000 / 1000, 6);
            time::zone(out, offset);
        }
    }
    out.extend(format.before_pid.as_bytes());
    decimal(out, std::process::id());
    out.extend(format.after_pid.as_bytes());
    out.extend(entry.text());
    out.push(b'\n');
}

/// The zone's distance from UTC at a moment; before the first known change that one counts as well.
fn offset(changes: &[(u64, i32)], seconds: u64) -> i32 {
    let known = changes.iter().rev().find(|(since, _)| *since <= seconds);
    known.or(changes.first()).map_or(0, |(_, offset)| *offset)
}

pub(super) fn decimal(out: &mut Vec<u8>, value: u32) {
    let width = value.checked_ilog10().unwrap_or(0) as usize + 1;
    time::number(out, u64::from(value), width);
}
