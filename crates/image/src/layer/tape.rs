//! An archive's bytes on their way to the tar reader.
//!
//! That reader takes in whole what describes an entry (PAX records, long names), and synthesises the holes
//! of old GNU sparse files. Here the former is bounded, and the latter's map is read, so that what it
//! stores can be read without them.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use super::sparse::Sparse;

/// Bytes that may describe one entry: Go's tar refuses more than 1 MiB for each of its long name, its long
/// link and its PAX records.
const HEADERS_LIMIT: usize = 4 << 20;
const BLOCK: usize = 512;

/// A reader of an archive that remembers what describes the present entry.
#[derive(Debug)]
pub(crate) struct Tape<R>(Rc<RefCell<State<R>>>);

#[derive(Debug)]
struct State<R> {
    source: R,
    /// How far the tar reader is.
    position: u64,
    /// Bytes the tar reader has not seen although they were read: it gets as many zeroes, which it skips.
    owed: u64,
    headers: Vec<u8>,
    /// Where they begin.
    begin: u64,
    recording: bool,
}

impl<R> Clone for Tape<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Read> Tape<R> {
    pub(crate) fn new(source: R) -> Self {
        Self(Rc::new(RefCell::new(State {
            source,
            position: 0,
            owed: 0,
            headers: Vec::new(),
            begin: 0,
            recording: false,
        })))
    }

    /// The next entry; what the previous one stores was finished before.
    pub(crate) fn next<'a>(
        &self,
        entries: &mut tar::Entries<'a, Self>,
    ) -> Option<io::Result<tar::Entry<'a, Self>>> {
        let record = |recording| {
            let mut state = self.0.borrow_mut();
            state.recording = recording;
            if recording {
                state.headers.clear();
                state.begin = state.position + state.owed;
            }
        };
        record(true);
        let entry = entries.next();
        record(false);
        entry
    }

    /// The map of an old GNU sparse file.
    ///
    /// # Errors
    /// The reason its entry is refused for.
    pub(crate) fn sparse_map(
        &self,
        entry: &tar::Entry<'_, Self>,
    ) -> Result<Option<Sparse>, String> {
        if !entry.header().entry_type().is_gnu_sparse() {
            return Ok(None);
        }
        let damaged = || "its sparse map is damaged".to_owned();
        let header = entry.header();
        let gnu = header.as_gnu().ok_or_else(damaged)?;
        let mut map = Sparse::new(gnu.real_size().map_err(|_error| damaged())?);
        let mut add = |blocks: &[tar::GnuSparseHeader]| {
            for block in blocks.iter().filter(|block| !block.is_empty()) {
                let offset = block.offset().map_err(|_error| damaged())?;
                map.push(offset, block.length().map_err(|_error| damaged())?);
            }
            Ok::<_, String>(())
        };
        add(&gnu.sparse)?;
        let state = self.0.borrow();
        let mut more = gnu.is_extended();
        let from = entry.raw_header_position().checked_sub(state.begin);
        let mut at = from
            .and_then(|from| usize::try_from(from).ok())
            .ok_or_else(damaged)?;
        while more {
            at += BLOCK;
            let bytes = state.headers.get(at..at + BLOCK).ok_or_else(damaged)?;
            let mut extension = tar::GnuExtSparseHeader::new();
            extension.as_mut_bytes().copy_from_slice(bytes);
            add(&extension.sparse)?;
            more = extension.is_extended();
        }
        Ok(Some(map))
    }

    /// Hands out what an entry stores, and reads what of it is left then. `stored` is how much that is in an
    /// old GNU sparse file, whose holes the tar reader would make up.
    pub(crate) fn with_content<T, E>(
        &self,
        entry: &mut tar::Entry<'_, Self>,
        stored: Option<u64>,
        unreadable: impl Fn(io::Error) -> E,
        act: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(stored) = stored else {
            let value = act(entry)?;
            io::copy(entry, &mut io::sink()).map_err(unreadable)?;
            return Ok(value);
        };
        let mut content = Stored(self.clone()).take(stored);
        let value = act(&mut content)?;
        io::copy(&mut content, &mut io::sink()).map_err(unreadable)?;
        self.0.borrow_mut().owed += stored - content.limit();
        Ok(value)
    }
}

impl<R: Read> Read for Tape<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        if state.owed > 0 {
            let length =
                usize::try_from(state.owed).map_or(buffer.len(), |owed| owed.min(buffer.len()));
            buffer[..length].fill(0);
            state.owed -= length as u64;
            state.position += length as u64;
            return Ok(length);
        }
        let length = state.source.read(buffer)?;
        state.position += length as u64;
        if state.recording {
            if state.headers.len() + length > HEADERS_LIMIT {
                return Err(io::Error::other(format!(
                    "an entry's names and attributes take more than {} MiB",
                    HEADERS_LIMIT >> 20
                )));
            }
            state.headers.extend_from_slice(&buffer[..length]);
        }
        Ok(length)
    }
}

/// What lies on the tape, past the tar reader.
struct Stored<R>(Tape<R>);

impl<R: Read> Read for Stored<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.0.borrow_mut().source.read(buffer)
    }
}
