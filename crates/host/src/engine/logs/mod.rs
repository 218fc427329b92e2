//! A container's log, read from its files: the monitor is not asked.
//!
//! ```text
//! json.log.2   json.log.1   json.log        oldest ──► newest; each full one was renamed away
//! └── opened at once, so that a rotation while reading loses nothing ──┘
//! ```
//!
//! `tail` is found from the end without reading the rest, `since` by bisection. Following waits for
//! inotify; it ends when the container's run directory is gone, or its monitor was lost.

mod entry;
mod follow;
mod seek;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};

use self::follow::Follow;
use super::{LogLine, LogOptions, Stream};

/// So much is read at once.
const BLOCK: usize = 64 << 10;
/// A line longer than this is not the monitor's: an entry holds at most 16 KiB, escaped sixfold.
const LONGEST: usize = 1 << 20;

/// Where a container's log lies and how its end is noticed.
pub struct Source {
    /// The newest file.
    pub path: PathBuf,
    /// How many files there may be.
    pub max_files: u32,
    /// The container's directory in the run directory: it is gone when the container has ended.
    pub run: PathBuf,
    /// Whether the container still has a monitor.
    pub is_live: Box<dyn Fn() -> bool + Send>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Source")
            .field("path", &self.path)
            .field("max_files", &self.max_files)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// The lines of a log, oldest first; with `follow` it waits for more until the container has ended.
///
/// A damaged line is an error among the lines; reading goes on behind it.
#[derive(Debug)]
pub struct Logs {
    path: PathBuf,
    max_files: u32,
    options: LogOptions,
    /// What is still to be read, the file being read first.
    files: VecDeque<File>,
    position: u64,
    buffer: Vec<u8>,
    /// Where the first line not yet given out begins.
    start: usize,
    /// How far the buffer was searched for a line's end.
    searched: usize,
    follow: Option<Follow>,
    done: bool,
}

impl Logs {
    /// Opens a log; one that does not exist yet is empty.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn open(source: Source, options: LogOptions) -> Result<Self> {
        let failed = |error: io::Error| cannot_read(&source.path, error);
        // Watching begins before reading, so that nothing falls between the two.
        let follow = if options.follow {
            Some(Follow::new(&source.path, &source.run).map_err(failed)?)
        } else {
            None
        };
        let files = open_all(&source.path, source.max_files).map_err(failed)?;
        let (skipped, position) = seek::beginning(&files, &options).map_err(failed)?;
        let files: VecDeque<File> = files.into_iter().skip(skipped).collect();
        let mut logs = Self {
            path: source.path,
            max_files: source.max_files,
            options,
            files,
            position,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            follow: follow.map(|follow| follow.until(source.is_live)),
            done: options.tail == Some(0) && !options.follow,
        };
        logs.seek(position)
            .map_err(|error| cannot_read(&logs.path, error))?;
        Ok(logs)
    }

    /// Whether a line is here already, so that the next one comes without waiting.
    #[must_use]
    pub fn has_line(&self) -> bool {
        self.done || self.buffer[self.start..].contains(&b'\n')
    }

    fn seek(&mut self, position: u64) -> io::Result<()> {
        self.position = position;
        if let Some(mut file) = self.files.front() {
            file.seek(SeekFrom::Start(position))?;
        }
        Ok(())
    }

    /// The next complete line without its end, as a range of the buffer.
    fn line(&mut self) -> io::Result<Option<std::ops::Range<usize>>> {
        loop {
            if let Some(length) = memchr_line(&self.buffer[self.searched..]) {
                let end = self.searched + length;
                let line = self.start..end;
                self.start = end + 1;
                self.searched = self.start;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() - self.start > LONGEST {
                // Not a log of ours; what is here so far is given up as one damaged line.
                let line = self.start..self.buffer.len();
                self.start = line.end;
                return Ok(Some(line));
            }
            if self.fill()? {
                continue;
            }
            if !self.next_file()? {
                return Ok(None);
            }
        }
    }

    /// Reads more of the first file; says whether there was more.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(mut file) = self.files.front() else {
            return Ok(false);
        };
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + BLOCK, 0);
        let read = file.read(&mut self.buffer[old..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(old + count);
        read?;
        self.position += count as u64;
        Ok(count > 0)
    }

    /// Goes on to the next file, or waits for one; says whether there may be more to read.
    fn next_file(&mut self) -> io::Result<bool> {
        if self.files.len() > 1 {
            self.files.pop_front();
            self.drop_partial_line();
            self.position = 0;
            return Ok(true);
        }
        loop {
            if let Some(more) = self.after_rotation()? {
                return Ok(more);
            }
            let Some(follow) = &mut self.follow else {
                return Ok(false);
            };
            if !follow.wait(self.options.until)? {
                return Ok(false);
            }
        }
    }

    /// Looks whether the newest file grew, was cut off, or was renamed away since its end was seen.
    /// `None`: nothing has changed.
    fn after_rotation(&mut self) -> io::Result<Option<bool>> {
        let Some(current) = self.files.front() else {
            self.files.extend(open_if_there(&self.path)?);
            return Ok((!self.files.is_empty()).then_some(true));
        };
        let length = current.metadata()?.len();
        if length > self.position {
            return Ok(Some(true));
        }
        if self.follow.is_none() {
            return Ok(None);
        }
        if length < self.position {
            // The only file of a log is cut off when it is full.
            self.drop_partial_line();
            self.seek(0)?;
            return Ok(Some(true));
        }
        let mut newer = follow::newer_than(current, &self.path, self.max_files)?;
        if newer.is_empty() {
            return Ok(None);
        }
        // What was written between the last read and the renaming comes first.
        if current.metadata()?.len() > self.position {
            return Ok(Some(true));
        }
        self.files.pop_front();
        self.drop_partial_line();
        self.position = 0;
        self.files.append(&mut newer);
        Ok(Some(true))
    }

    fn drop_partial_line(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.searched = 0;
    }

    fn wanted(&self, line: &LogLine) -> bool {
        match line.stream {
            Stream::Stdout => self.options.stdout,
            Stream::Stderr => self.options.stderr,
        }
    }
}

impl Iterator for Logs {
    type Item = Result<LogLine>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let range = match self.line() {
                Ok(Some(range)) => range,
                Ok(None) => {
                    self.done = true;
                    break;
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(cannot_read(&self.path, error)));
                }
            };
            let Some(line) = entry::parse(&self.buffer[range]) else {
                return Some(Err(damaged(&self.path)));
            };
            if self.options.since.is_some() || self.options.until.is_some() {
                let time = entry::nanoseconds(&line.time);
                if self.options.until.is_some_and(|until| time > until) {
                    self.done = true;
                    break;
                }
                if self.options.since.is_some_and(|since| time < since) {
                    continue;
                }
            }
            if self.wanted(&line) {
                return Some(Ok(line));
            }
        }
        None
    }
}

fn memchr_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn cannot_read(path: &Path, error: io::Error) -> Error {
    Error::new(
        Class::Internal,
        format!("cannot read the log {}", path.display()),
    )
    .caused_by(error)
}

fn damaged(path: &Path) -> Error {
    Error::new(
        Class::Internal,
        format!("a line of the log {} is damaged", path.display()),
    )
}

/// The path of a rotated file.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every file of a log, oldest first.
///
/// The newest is opened first: if a rotation happens meanwhile, a file is seen twice (and dropped by
/// its inode), never missed.
fn open_all(path: &Path, max_files: u32) -> io::Result<Vec<File>> {
    use std::os::unix::fs::MetadataExt as _;

    let mut files = Vec::new();
    let mut seen = Vec::new();
    let paths = (0..max_files.max(1)).map(|number| match number {
        0 => path.to_owned(),
        number => numbered(path, number),
    });
    for path in paths {
        let Some(file) = open_if_there(&path)? else {
            continue;
        };
        let inode = file.metadata()?.ino();
        if !seen.contains(&inode) {
            seen.push(inode);
            files.push(file);
        }
    }
    files.reverse();
    Ok(files)
}
