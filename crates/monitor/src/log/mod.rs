//! The container's log: Docker's json-file format, rotated by size.
//!
//! ```text
//! {"log":"one line\n","stream":"stdout","time":"2026-11-23T18:15:24.123456789Z"}
//! {"log":"the first 16 KiB of a longer one","stream":"stderr","attrs":{"tag":"x"},"time":"…"}
//! ```
//!
//! A line is written when it is complete; a longer one than 16 KiB in pieces of which only the last ends
//! in `\n`; what is left when the stream ends without its `\n`.

mod encode;
mod time;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};

use crate::launch::Log;

/// A piece of a line is never longer, as in Docker.
const PIECE: usize = 16 << 10;
/// So much is collected before it is written.
const BATCH: usize = 64 << 10;

/// Which of the guest's two streams bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a stream has begun and not ended.
#[derive(Debug, Default)]
struct Open {
    /// The line's bytes that are in no entry yet.
    bytes: Vec<u8>,
    /// When its first piece was written; all its pieces carry that time.
    since: Option<u64>,
}

/// The open log of one container.
#[derive(Debug)]
pub(crate) struct Writer {
    file: Option<Rotated>,
    stdout: Open,
    stderr: Open,
    /// `,"attrs":{…}` or nothing.
    attributes: Vec<u8>,
    batch: Vec<u8>,
}

impl Writer {
    /// Opens the log for appending.
    pub(crate) fn open(log: &Log) -> Result<Self> {
        let mut writer = Self {
            file: None,
            stdout: Open::default(),
            stderr: Open::default(),
            attributes: Vec::new(),
            batch: Vec::new(),
        };
        if let Log::JsonFile {
            path,
            max_size,
            max_files,
            attributes,
        } = log
        {
            writer.file = Some(Rotated::open(path, *max_size, *max_files)?);
            if !attributes.is_empty() {
                writer.attributes.extend(b",\"attrs\":{");
                for (place, (name, value)) in attributes.iter().enumerate() {
                    writer
                        .attributes
                        .extend_from_slice(if place == 0 { b"\"" } else { b",\"" });
                    encode::escape(&mut writer.attributes, name.as_bytes());
                    writer.attributes.extend(b"\":\"");
                    encode::escape(&mut writer.attributes, value.as_bytes());
                    writer.attributes.push(b'"');
                }
                writer.attributes.push(b'}');
            }
        }
        Ok(writer)
    }

    /// Adds what a stream gave at `now`, and writes all entries that are complete.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8], now: u64) {
        if self.file.is_none() {
            return;
        }
        let tail = time_field(now);
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            self.line(stream, line, now, &tail);
            rest = after;
        }
        self.begin(stream, rest, now, &tail);
        self.flush();
    }

    /// Writes what the streams have begun: they have ended.
    pub(crate) fn end(&mut self, now: u64) {
        if self.file.is_none() {
            return;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let open = std::mem::take(self.open_line(stream));
            if !open.bytes.is_empty() {
                let tail = time_field(open.since.unwrap_or(now));
                self.entry(stream, &open.bytes, &tail);
            }
        }
        self.flush();
    }

    /// How many bytes of entries could not be written, and why first.
    pub(crate) fn lost(&self) -> Option<String> {
        let (bytes, reason) = self.file.as_ref()?.lost.as_ref()?;
        Some(format!(
            "{bytes} bytes of output could not be logged: {reason}"
        ))
    }

    fn open_line(&mut self, stream: Stream) -> &mut Open {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// A line's end, `\n` included.
    fn line(&mut self, stream: Stream, line: &[u8], now: u64, tail: &[u8]) {
        let open = self.open_line(stream);
        if open.bytes.is_empty() && open.since.is_none() && line.len() <= PIECE {
            return self.entry(stream, line, tail);
        }
        self.begin(stream, &line[..line.len() - 1], now, tail);
        let mut open = std::mem::take(self.open_line(stream));
        open.bytes.push(b'\n');
        match open.since {
            Some(since) => self.entry(stream, &open.bytes, &time_field(since)),
            None => self.entry(stream, &open.bytes, tail),
        }
    }

    /// Bytes of a line whose end is not there yet: full pieces are written, the rest is kept.
    fn begin(&mut self, stream: Stream, bytes: &[u8], now: u64, tail: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut open = std::mem::take(self.open_line(stream));
        open.bytes.extend_from_slice(bytes);
        let mut rest = &open.bytes[..];
        while rest.len() >= PIECE {
            let (piece, after) = rest.split_at(piece_end(rest));
            let since = *open.since.get_or_insert(now);
            if since == now {
                self.entry(stream, piece, tail);
            } else {
                self.entry(stream, piece, &time_field(since));
            }
            rest = after;
        }
        let written = open.bytes.len() - rest.len();
        open.bytes.drain(..written);
        *self.open_line(stream) = open;
    }

    fn entry(&mut self, stream: Stream, bytes: &[u8], tail: &[u8]) {
        self.batch.extend_from_slice(b"{\"log\":\"");
        encode::escape(&mut self.batch, bytes);
        self.batch.extend_from_slice(match stream {
            Stream::Stdout => b"\",\"stream\":\"stdout\"",
            Stream::Stderr => b"\",\"stream\":\"stderr\"",
        });
        self.batch.extend_from_slice(&self.attributes);
        self.batch.extend_from_slice(tail);
        let full = self
            .file
            .as_ref()
            .is_some_and(|file| file.is_full(self.batch.len()));
        if full || self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            file.append(&self.batch);
        }
        self.batch.clear();
        if self.batch.capacity() > 2 * BATCH {
            self.batch = Vec::new();
        }
    }
}

/// The end of an entry: the same for everything that was read at once.
fn time_field(now: u64) -> Vec<u8> {
    let mut field = Vec::with_capacity(48);
    field.extend(b",\"time\":\"");
    time::append(&mut field, now);
    field.extend(b"\"}\n");
    field
}

/// Where a piece ends: at 16 KiB, or up to three bytes before, so that no character is cut in two.
fn piece_end(bytes: &[u8]) -> usize {
    (PIECE - 3..=PIECE)
        .rev()
        .find(|end| {
            bytes
                .get(*end)
                .is_none_or(|next| !(0x80..0xc0).contains(next))
        })
        .unwrap_or(PIECE)
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
            // The guest goes on: what cannot be logged is counted and told when it ends.
            Err(error) => self.lose(bytes.len() as u64, error),
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
        for number in (1..self.max_files - 1).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
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

#[cfg(test)]
mod tests;
