//! Where a container's output goes: the log drivers, their options, and what the monitor is told.
//!
//! ```text
//!  --log-driver, --log-opt ──options.rs──► LogConfig, checked at `create` and shown by `inspect`
//!                                             │ at every start: names of hosts, of the container, zones
//!                                             ▼
//!  json-file, local                        launch::Log { file }
//!  syslog (syslog.rs), journald            launch::Log { file: what `logs` reads, receiver }
//!  none                                    launch::Log {}
//! ```
//!
//! As in Docker, `logs` works with every driver: what a receiver gets is kept here as well, unless
//! `cache-disabled` says otherwise.

mod attributes;
mod options;
mod syslog;

use std::collections::BTreeMap;
use std::path::Path;

use berth_contract::{Class, ContainerId, Error, Result};
use berth_monitor::launch::{Address, Log, LogFile, LogFormat, Receiver};

pub(super) use self::options::settle;
use self::options::{bytes, count, flag, text};
use crate::api::types::{ContainerConfig, LogConfig};
use crate::records::Record;

/// The log drivers there are, without `none`, which keeps nothing.
pub(super) const DRIVERS: [&str; 4] = ["journald", "json-file", "local", "syslog"];

/// Where systemd's journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// So much may wait for a receiver in the mode non-blocking (Docker's `defaultRingMaxSize`).
const BUFFER: u64 = 1_000_000;

/// The container whose output it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) id: &'a ContainerId,
    pub(super) name: &'a str,
    pub(super) image_id: &'a str,
    pub(super) config: &'a ContainerConfig,
}

impl<'a> Subject<'a> {
    /// The container of a record.
    pub(super) fn of(record: &'a Record) -> Self {
        Self {
            id: &record.id,
            name: record.name.as_str(),
            image_id: &record.image_id,
            config: &record.config,
        }
    }
}

/// What can be told at `create`; a receiver is looked for at every start.
///
/// # Errors
/// An option is wrong.
pub(super) fn prepare(subject: Subject<'_>, log: &LogConfig, path: &Path) -> Result<Log> {
    // Nothing wrong is to be found out only by the first start.
    if log.kind == "syslog" {
        syslog::format(subject, log)?;
        syslog::Target::parse(text(log, "syslog-address"))?;
    }
    Ok(Log {
        file: file(subject, log, path)?,
        receiver: None,
    })
}

/// Whether what [`prepare`] told may be different at a start: a receiver moves, a container is renamed.
pub(super) fn changes(log: &LogConfig) -> bool {
    matches!(log.kind.as_str(), "syslog" | "journald") || log.config.contains_key("tag")
}

/// Everything, as it is now.
///
/// # Errors
/// There is no receiver where one should be.
pub(super) fn plan(subject: Subject<'_>, log: &LogConfig, path: &Path) -> Result<Log> {
    let (address, format) = match log.kind.as_str() {
        "syslog" => (
            syslog::Target::parse(text(log, "syslog-address"))?.address()?,
            LogFormat::Syslog(syslog::format(subject, log)?),
        ),
        "journald" => (
            Address::Datagram(JOURNAL.into()),
            LogFormat::Journal {
                fields: journal_fields(subject, log)?,
            },
        ),
        _ => return prepare(subject, log, path),
    };
    let buffer = match text(log, "mode") {
        "non-blocking" => Some(bytes(log, "max-buffer-size", 1024)?.unwrap_or(BUFFER)),
        _ => None,
    };
    Ok(Log {
        file: file(subject, log, path)?,
        receiver: Some(Receiver {
            address,
            format,
            buffer,
        }),
    })
}

/// The file that `logs` reads. `local` differs from `json-file` in name only: both rotate.
fn file(subject: Subject<'_>, log: &LogConfig, path: &Path) -> Result<Option<LogFile>> {
    let prefix = match log.kind.as_str() {
        "none" => return Ok(None),
        "json-file" | "local" => "",
        _ if flag(log, "cache-disabled")?.unwrap_or(false) => return Ok(None),
        _ => "cache-",
    };
    let (max_size, max_files) = options::defaults(&log.kind);
    let mut attributes = attributes::chosen(subject, log)?;
    if !text(log, "tag").is_empty() {
        attributes.insert("tag".to_owned(), attributes::tag(subject, log)?);
    }
    Ok(Some(LogFile {
        path: path.to_owned(),
        max_size: bytes(log, &format!("{prefix}max-size"), 1000)?.unwrap_or(max_size),
        max_files: count(log, &format!("{prefix}max-file"))?.unwrap_or(max_files),
        attributes,
    }))
}

/// What the journal is told with each entry, named as Docker names it.
fn journal_fields(subject: Subject<'_>, log: &LogConfig) -> Result<BTreeMap<String, String>> {
    let tag = attributes::tag(subject, log)?;
    let own = [
        ("CONTAINER_ID", subject.id.short()),
        ("CONTAINER_ID_FULL", subject.id.as_str()),
        ("CONTAINER_NAME", subject.name),
        ("CONTAINER_TAG", &tag),
        ("IMAGE_NAME", &subject.config.image),
        ("SYSLOG_IDENTIFIER", &tag),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let chosen = attributes::chosen(subject, log)?.into_iter();
    let chosen = chosen.map(|(name, value)| (field_name(&name), value));
    Ok(own
        .into_iter()
        .chain(chosen.filter(|(name, _)| !name.is_empty()))
        .collect())
}

/// Upper-case letters, digits and `_`, which does not come first: that is for the journal's own fields.
fn field_name(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|character| match character.to_ascii_uppercase() {
            character @ ('A'..='Z' | '0'..='9') => character,
            _ => '_',
        })
        .collect();
    name.trim_start_matches('_').to_owned()
}

fn refuse(message: impl Into<String>) -> Error {
    Error::new(Class::Invalid, message)
}

#[cfg(test)]
mod tests;
