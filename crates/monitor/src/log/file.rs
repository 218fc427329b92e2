//! Docker's json-file format, rotated by size.
//!
//! ```text
//! {"log":"one line\n","stream":"stdout","time":"2026-11-23T18:15:24.123456789Z"}
//! {"log":"the first 16 KiB of a longer one","stream":"stderr","attrs":{"tag":"x"},"time":"…"}
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};

use super::{Entry, Stream, encode, time};
use crate::launch::LogFile;

/// So much is collected before it is written.
const BATCH: usize = 64 << 10;

/// Entries on their way into a file.
#[derive(Debug)]
pub(super) struct JsonFile {
    file: Rotated,
    /// `,"attrs":{…}` or nothing.
    attributes: Vec<u8>,
    /// How entries of one moment end: the same for everything that was read at once.
    tail: Vec<u8>,
    moment: Option<u64>,
    batch: Vec<u8>,
}

impl JsonFile {
    /// Opens the file for appending.
    pub(super) fn open(log: &LogFile) -> Result<Self> {
        let mut attributes = Vec::new();
        for (name, value) in &log.attributes {
            let before: &[u8] = if attributes.is_empty() {
                b",\"attrs\":{\""
            } else {
                b",\""
            };
            attributes.extend_from_slice(before);
            encode::escape(&mut attributes, name.as_bytes());
            attributes.extend(b"\":\"");
            encode::escape(&mut attributes, value.as_bytes());
            attributes.push(b'"');
        }
        if !attributes.is_empty() {
            attributes.push(b'}');
        }
        Ok(Self {
            file: Rotated::open(&log.path, log.max_size, log.max_files)?,
            attributes,
            tail: Vec::new(),
            moment: None,
            batch: Vec::new(),
        })
    }

    /// Adds an entry.
    pub(super) fn take(&mut self, entry: &Entry<'_>) {
        if self.moment != Some(entry.time) {
            self.moment = Some(entry.time);
            self.tail.clear();
            self.tail.extend(b",\"time\":\"");
            time::append(&mut self.tail, entry.time);
            self.tail.extend(b"\"}\n");
        }
        self.batch.extend_from_slice(b"{\"log\":\"");
        encode::escape(&mut self.batch, entry.bytes);
        self.batch.extend_from_slice(match entry.stream {
            Stream::Stdout => b"\",\"stream\":\"stdout\"",
            Stream::Stderr => b"\",\"stream\":\"stderr\"",
        });
        self.batch.extend_from_slice(&self.attributes);
        self.batch.extend_from_slice(&self.tail);
        if self.file.is_full(self.batch.len()) || self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) {
        self.file.append(&self.batch);
        self.batch.clear();
        if self.batch.capacity() > 2 * BATCH {
            self.batch = Vec::new();
        }
    }

    /// How many bytes of entries could not be written, and why first.
    pub(super) fn lost(&self) -> Option<&(u64, io::Error)> {
        self.file.lost.as_ref()
    }
}

/// A file that is renamed to `.1` when it is full; older ones move on by one.
#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: u64,
    max_files: u32,
    lost: Option<(u64, io::Error)>,
}

impl Rotated {
    fn open(path: &Path, max_size: u64, max_files: u32) -> Result<Self> {
        let opened = open(path).and_then(|file| file.metadata().map(|facts| (file, facts.len())));
        let (file, size) = opened.map_err(|error| {
            Error::new(
                Class::Internal,
                format!("cannot open the log {}", path.display()),
            )
            .caused_by(error)
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            max_size,
            max_files,
            lost: None,
        })
    }

    fn is_full(&self, more: usize) -> bool {
        self.max_size > 0 && self.size.saturating_add(more as u64) >= self.max_size
    }

    fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.is_full(0)
            && let Err(error) = self.rotate()
        {
            self.lose(0, error);
        }
        match self.file.write_all(bytes) {
            Ok(()) => self.size += bytes.len() as u64,
            // The guest goes on: what cannot be logged is counted and told when it ends. Half an entry would spoil
            // the next one.
            Err(error) => {
                drop(self.file.set_len(self.size));
                self.lose(bytes.len() as u64, error);
            }
        }
    }

    fn lose(&mut self, bytes: u64, error: io::Error) {
        self.lost.get_or_insert((0, error)).0 += bytes;
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.max_files < 2 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        // Only those that are there move, however many there may be.
        let last = self.max_files - 1;
        let free = (1..last).find(|number| !self.numbered(*number).exists());
        for number in (1..free.unwrap_or(last)).rev() {
            fs::rename(self.numbered(number), self.numbered(number + 1))?;
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.file = open(&self.path)?;
        self.size = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}
