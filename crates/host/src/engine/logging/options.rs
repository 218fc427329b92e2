//! The options of the log drivers: which there are, and how their values read.

use berth_contract::{Class, Error, Result};

use super::refuse;
use crate::api::types::LogConfig;

/// Rotation is on unless it is switched off: 3 files of 10 MB.
const MAX_SIZE: &str = "10m";
const MAX_FILES: &str = "3";

/// What every driver that keeps or sends anything knows.
const COMMON: [&str; 8] = [
    "mode",
    "max-buffer-size",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "compress",
];
const FILE: [&str; 2] = ["max-size", "max-file"];
const CACHE: [&str; 4] = [
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
];
const SYSLOG: [&str; 3] = ["syslog-address", "syslog-facility", "syslog-format"];

/// The log's configuration as `inspect` shows it, defaults filled in.
///
/// # Errors
/// The driver or an option of it is unknown, or a value is wrong.
pub(in crate::engine) fn settle(asked: &LogConfig) -> Result<LogConfig> {
    let kind = match asked.kind.as_str() {
        "" => "json-file",
        known @ ("json-file" | "local" | "none" | "syslog" | "journald") => known,
        other => {
            return Err(Error::new(
                Class::Unsupported,
                format!("cannot use the log driver {other:?}"),
            )
            .hint("json-file, local, syslog, journald and none are there"));
        }
    };
    let mut log = LogConfig {
        kind: kind.to_owned(),
        config: asked.config.clone(),
    };
    for key in log.config.keys() {
        if key.starts_with("syslog-tls-") && kind == "syslog" {
            return Err(Error::new(
                Class::Unsupported,
                format!("cannot use the log option {key}"),
            )
            .caused_by("logs are not sent over TLS")
            .hint("send them to a syslog on this host, which passes them on"));
        }
        if !knows(kind, key) {
            return Err(refuse(format!(
                "unknown log option {key} for the log driver {kind}"
            )));
        }
    }
    check(&log)?;
    if matches!(kind, "json-file" | "local") {
        for (key, value) in [("max-size", MAX_SIZE), ("max-file", MAX_FILES)] {
            log.config
                .entry(key.to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
    Ok(log)
}

fn knows(kind: &str, key: &str) -> bool {
    let file = matches!(kind, "json-file" | "local");
    match key {
        _ if kind == "none" => false,
        "compress" => file,
        _ if COMMON.contains(&key) => true,
        _ if FILE.contains(&key) => file,
        _ if CACHE.contains(&key) => !file,
        _ => kind == "syslog" && SYSLOG.contains(&key),
    }
}

fn check(log: &LogConfig) -> Result<()> {
    match text(log, "mode") {
        "" | "blocking" if log.config.contains_key("max-buffer-size") => {
            return Err(refuse("max-buffer-size is for the mode non-blocking")
                .hint("--log-opt mode=non-blocking"));
        }
        "" | "blocking" | "non-blocking" => {}
        other => {
            return Err(refuse(format!("invalid log option mode={other}"))
                .hint("blocking and non-blocking are there"));
        }
    }
    for key in ["compress", "cache-compress"] {
        if flag(log, key)? == Some(true) {
            return Err(
                Error::new(Class::Unsupported, "cannot compress a container's log")
                    .hint(format!("leave {key} out, or give it a smaller size")),
            );
        }
    }
    flag(log, "cache-disabled")?;
    bytes(log, "max-buffer-size", 1024)?;
    for prefix in ["", "cache-"] {
        bytes(log, &format!("{prefix}max-size"), 1000)?;
        count(log, &format!("{prefix}max-file"))?;
    }
    Ok(())
}

/// How large a driver's file grows and how many there are, when nobody says: for what is kept of a
/// receiver's log Docker's `local` decides, 5 files of 20 MB.
pub(super) fn defaults(kind: &str) -> (u64, u32) {
    match kind {
        "json-file" | "local" => (10_000_000, 3),
        _ => (20_000_000, 5),
    }
}

/// An option's value; one that was not given is empty.
pub(super) fn text<'a>(log: &'a LogConfig, key: &str) -> &'a str {
    log.config.get(key).map(String::as_str).unwrap_or_default()
}

fn invalid(log: &LogConfig, key: &str) -> Error {
    refuse(format!("invalid log option {key}={}", text(log, key)))
}

/// A yes or no, as Go's `strconv.ParseBool` reads it.
pub(super) fn flag(log: &LogConfig, key: &str) -> Result<Option<bool>> {
    match text(log, key) {
        "" => Ok(None),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
        _ => Err(invalid(log, key)),
    }
}

/// How many; at least one.
pub(super) fn count(log: &LogConfig, key: &str) -> Result<Option<u32>> {
    if text(log, key).is_empty() {
        return Ok(None);
    }
    let count = text(log, key).parse().ok().filter(|count| *count > 0);
    count.map(Some).ok_or_else(|| invalid(log, key))
}

/// `10m`, `1g`, `4096`, where a `k` is `step` bytes; -1 means without end and is 0 here.
pub(super) fn bytes(log: &LogConfig, key: &str, step: u64) -> Result<Option<u64>> {
    match text(log, key) {
        "" => Ok(None),
        "-1" => Ok(Some(0)),
        value => size(value, step).map(Some).ok_or_else(|| invalid(log, key)),
    }
}

fn size(text: &str, step: u64) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let power = "kmgt".find(lower.chars().last()?);
    let digits = match power {
        Some(_) => &lower[..lower.len() - 1],
        None => lower,
    };
    let number: u64 = digits.parse().ok().filter(|number| *number > 0)?;
    let power = u32::try_from(power.map_or(0, |power| power + 1)).ok()?;
    number.checked_mul(step.pow(power))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("10m", Some(10_000_000)),
            ("1GB", Some(1_000_000_000)),
            ("4096", Some(4096)),
            ("0", None),
            ("x", None),
            ("k", None),
            ("", None),
        ] {
            assert_eq!(size(text, 1000), expected, "{text}");
        }
        assert_eq!(size("4k", 1024), Some(4096));
    }
}
