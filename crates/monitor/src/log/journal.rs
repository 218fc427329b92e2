//! An entry in the journal's native protocol (systemd's `JOURNAL_NATIVE_PROTOCOL`), one datagram each.
//!
//! A field is `NAME=value\n`, or, when the value holds a line's end, `NAME\n`, its length as 64 bits with
//! the least significant byte first, the value, `\n`.

use std::collections::BTreeMap;

use super::syslog::decimal;
use super::{Entry, Stream, time};

pub(super) fn append(out: &mut Vec<u8>, fields: &BTreeMap<String, String>, entry: &Entry<'_>) {
    field(out, "MESSAGE", entry.text());
    let priority = match entry.stream {
        Stream::Stdout => b"6",
        Stream::Stderr => b"3",
    };
    field(out, "PRIORITY", priority);
    out.extend(b"SYSLOG_TIMESTAMP=");
    time::append(out, entry.time);
    out.push(b'\n');
    if entry.piece > 0 {
        let stream = match entry.stream {
            Stream::Stdout => b'1',
            Stream::Stderr => b'2',
        };
        out.extend(b"CONTAINER_PARTIAL_ID=");
        // All pieces carry the time of the first one.
        time::number(out, entry.time, 20);
        out.push(stream);
        out.extend(b"\nCONTAINER_PARTIAL_ORDINAL=");
        decimal(out, entry.piece);
        out.push(b'\n');
        let last: &[u8] = if entry.last { b"true" } else { b"false" };
        field(out, "CONTAINER_PARTIAL_LAST", last);
        if !entry.last {
            field(out, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
    }
    for (name, value) in fields {
        field(out, name, value.as_bytes());
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend(name.as_bytes());
    if memchr::memchr(b'\n', value).is_some() {
        out.push(b'\n');
        out.extend((value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend(value);
    out.push(b'\n');
}
