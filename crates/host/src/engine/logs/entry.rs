//! One line of a json-file log → a [`LogLine`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::engine::{LogLine, Stream};

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// Parses a line without its end; `None` if it is no entry.
pub(super) fn parse(line: &[u8]) -> Option<LogLine> {
    let entry: Entry<'_> = serde_json::from_slice(line).ok()?;
    let stream = match entry.stream.as_ref() {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    Some(LogLine {
        stream,
        time: entry.time.into_owned(),
        attributes: entry.attrs,
        text: entry.log.into_owned().into_bytes(),
    })
}

/// The time of an unparsed line.
pub(super) fn time_of(line: &[u8]) -> Option<u64> {
    let entry: Entry<'_> = serde_json::from_slice(line).ok()?;
    Some(nanoseconds(&entry.time))
}

/// An entry's time in nanoseconds since the Unix epoch; 0 if it is none.
pub(super) fn nanoseconds(time: &str) -> u64 {
    let parsed = time.parse::<Timestamp>().ok();
    parsed
        .and_then(|time| u64::try_from(time.as_nanosecond()).ok())
        .unwrap_or(0)
}
