//! The container's log: what the guest writes, cut into entries for a file and for a receiver.
//!
//! ```text
//!                    ┌─► file.rs      Docker's json-file format, what `logs` reads
//!  bytes ──► entries ┤
//!                    └─► receiver.rs  a socket: syslog.rs, journal.rs
//! ```
//!
//! A line is an entry when it is complete; a longer one than 16 KiB comes in pieces of which only the last
//! ends in `\n`; what is left when the stream ends is an entry without its `\n`.

mod encode;
mod file;
mod journal;
mod receiver;
mod syslog;
mod time;

use berth_contract::Result;
use berth_sys::epoll::Poller;

use self::file::JsonFile;
use self::receiver::Receiver;
use crate::launch::Log;

/// A piece of a line is never longer, as in Docker.
const PIECE: usize = 16 << 10;

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
    /// How many pieces were written.
    pieces: u32,
}

/// One line, or a piece of one.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    stream: Stream,
    /// With its `\n`, unless more of the line follows or the stream ended without.
    bytes: &'a [u8],
    /// Nanoseconds since the Unix epoch.
    time: u64,
    /// Which piece of its line, from 1 on; 0 for a whole line.
    piece: u32,
    /// Whether the line ends with it.
    last: bool,
}

impl Entry<'_> {
    /// What it says, without the line's end.
    fn text(&self) -> &[u8] {
        self.bytes.strip_suffix(b"\n").unwrap_or(self.bytes)
    }
}

/// The open log of one container.
#[derive(Debug)]
pub(crate) struct Writer {
    file: Option<JsonFile>,
    receiver: Option<Receiver>,
    stdout: Open,
    stderr: Open,
}

impl Writer {
    /// Opens the file for appending, and connects to the receiver.
    pub(crate) fn open(log: &Log) -> Result<Self> {
        Ok(Self {
            file: log.file.as_ref().map(JsonFile::open).transpose()?,
            receiver: log.receiver.as_ref().map(Receiver::open).transpose()?,
            stdout: Open::default(),
            stderr: Open::default(),
        })
    }

    /// Adds what a stream gave at `now`, and writes all entries that are complete.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8], now: u64) {
        if self.file.is_none() && self.receiver.is_none() {
            return;
        }
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            self.line(stream, line, now);
            rest = after;
        }
        self.begin(stream, rest, now);
        self.flush();
    }

    /// Writes what the streams have begun: they have ended. A receiver gets some time to take everything.
    pub(crate) fn end(&mut self, now: u64) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let open = std::mem::take(self.open_line(stream));
            if !open.bytes.is_empty() {
                self.close(stream, &open, now);
            }
        }
        self.flush();
        if let Some(receiver) = &mut self.receiver {
            receiver.finish();
        }
    }

    /// Whether the receiver takes less than the guest writes, and the guest is to wait for it.
    pub(crate) fn is_behind(&self) -> bool {
        self.receiver.as_ref().is_some_and(Receiver::is_behind)
    }

    /// The receiver takes more now.
    pub(crate) fn go_on(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            receiver.flush();
        }
    }

    /// Waits for the receiver, as long as something is to be sent to it.
    pub(crate) fn watch(&mut self, poller: &Poller) {
        if let Some(receiver) = &mut self.receiver {
            receiver.watch(poller);
        }
    }

    /// How many bytes could not be logged, and why first.
    pub(crate) fn lost(&self) -> Vec<String> {
        let file = self.file.as_ref().and_then(JsonFile::lost);
        let receiver = self.receiver.as_ref().and_then(Receiver::lost);
        [file, receiver]
            .into_iter()
            .flatten()
            .map(|(bytes, reason)| format!("{bytes} bytes of output could not be logged: {reason}"))
            .collect()
    }

    fn open_line(&mut self, stream: Stream) -> &mut Open {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// A line's end, `\n` included.
    fn line(&mut self, stream: Stream, line: &[u8], now: u64) {
        let open = self.open_line(stream);
        if open.bytes.is_empty() && open.since.is_none() && line.len() <= PIECE {
            return self.entry(&Entry {
                stream,
                bytes: line,
                time: now,
                piece: 0,
                last: true,
            });
        }
        self.begin(stream, &line[..line.len() - 1], now);
        let mut open = std::mem::take(self.open_line(stream));
        open.bytes.push(b'\n');
        self.close(stream, &open, now);
    }

    /// The last entry of a line that was begun before.
    fn close(&mut self, stream: Stream, open: &Open, now: u64) {
        self.entry(&Entry {
            stream,
            bytes: &open.bytes,
            time: open.since.unwrap_or(now),
            piece: if open.pieces == 0 { 0 } else { open.pieces + 1 },
            last: true,
        });
    }

    /// Bytes of a line whose end is not there yet: full pieces are written, the rest is kept.
    fn begin(&mut self, stream: Stream, bytes: &[u8], now: u64) {
        if bytes.is_empty() {
            return;
        }
        let mut open = std::mem::take(self.open_line(stream));
        open.bytes.extend_from_slice(bytes);
        let mut rest = &open.bytes[..];
        while rest.len() >= PIECE {
            let (piece, after) = rest.split_at(piece_end(rest));
            open.pieces += 1;
            self.entry(&Entry {
                stream,
                bytes: piece,
                time: *open.since.get_or_insert(now),
                piece: open.pieces,
                last: false,
            });
            rest = after;
        }
        let written = open.bytes.len() - rest.len();
        open.bytes.drain(..written);
        *self.open_line(stream) = open;
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        if let Some(file) = &mut self.file {
            file.take(entry);
        }
        if let Some(receiver) = &mut self.receiver {
            receiver.take(entry);
        }
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            file.flush();
        }
        self.go_on();
    }
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

#[cfg(test)]
mod tests;
