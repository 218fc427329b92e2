//! `fd_readdir` from a listing that is made once, when a guest begins to read a directory.
//!
//! A guest reads a directory piece by piece. wasmtime lists all of it for every piece, so that ten
//! thousand files took seconds, and counts its way back to where the last piece ended: a guest that
//! removes what it has read then misses as many entries as it has removed. `readdir(3)` promises every
//! entry that stays.

use std::collections::BTreeMap;

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::aside::Aside;
use super::functions::Imports;
use super::memory::{Errno, FAULT, NOENT, SUCCESS, bytes};
use super::{PREVIEW_1, State};

/// The first guess at the size of a listing; larger ones are made again with more room.
const ROOM: usize = 256 * 1024;
/// Nobody lists more than this.
const MOST_ROOM: usize = 1 << 30;
/// wasmtime gives up when a file vanishes while it lists, and so do we when it happens this often.
const ATTEMPTS: usize = 16;
/// A directory entry without its name, whose length stands at 16.
const ENTRY: usize = 24;
const NAME_LENGTH: usize = 16;

/// The entries of a directory as the guest gets them.
struct Listing {
    bytes: Vec<u8>,
    /// Where each entry begins.
    starts: Vec<usize>,
}

impl Listing {
    fn new(bytes: Vec<u8>) -> Self {
        let mut starts = Vec::new();
        let mut at = 0;
        while let Some(length) = bytes
            .get(at + NAME_LENGTH..)
            .and_then(|rest| rest.first_chunk().copied())
        {
            starts.push(at);
            at += ENTRY + usize::try_from(u32::from_le_bytes(length)).unwrap_or_default();
        }
        Self { bytes, starts }
    }

    /// The entries from the one with this number.
    fn from(&self, cookie: u64) -> &[u8] {
        let start = usize::try_from(cookie)
            .ok()
            .and_then(|cookie| self.starts.get(cookie));
        start
            .and_then(|start| self.bytes.get(*start..))
            .unwrap_or_default()
    }
}

/// The listings of the directories that are being read, by their numbers.
#[derive(Default)]
pub(super) struct Listings(BTreeMap<i32, Listing>);

impl Listings {
    /// The number means nothing any more.
    pub(super) fn closed(&mut self, number: i32) {
        self.0.remove(&number);
    }

    /// What was one number is another now.
    pub(super) fn moved(&mut self, from: i32, to: i32) {
        if let Some(listing) = self.0.remove(&from) {
            self.0.insert(to, listing);
        }
    }
}

/// Puts our function in front of wasmtime's.
pub(super) fn add(linker: &mut Linker<State>, imports: &Imports) -> wasmtime::Result<()> {
    if imports.has("fd_readdir") {
        linker.func_wrap_async(PREVIEW_1, "fd_readdir", |caller, arguments| {
            Box::new(read(caller, arguments))
        })?;
    }
    Ok(())
}

async fn read(
    mut caller: Caller<'_, State>,
    (number, buffer, length, cookie, place): (i32, i32, i32, i64, i32),
) -> wasmtime::Result<Errno> {
    let cookie = cookie.cast_unsigned();
    if cookie == 0 || !caller.data().listings.0.contains_key(&number) {
        match list(&mut caller, number).await? {
            Ok(listing) => caller.data_mut().listings.0.insert(number, listing),
            Err(errno) => return Ok(errno),
        };
    }
    let (mut memory, state) = bytes(&mut caller)?;
    let entries = match state.listings.0.get(&number) {
        Some(listing) => listing.from(cookie),
        None => &[],
    };
    let length = usize::try_from(length.cast_unsigned()).unwrap_or(usize::MAX);
    let part = &entries[..entries.len().min(length)];
    let result = memory.put(buffer.cast_unsigned(), part).and_then(|()| {
        let count = u32::try_from(part.len()).map_err(|_overflow| FAULT)?;
        memory.put(place.cast_unsigned(), &count.to_le_bytes())
    });
    Ok(result.err().unwrap_or(SUCCESS))
}

/// The whole directory, by wasmtime's own function.
async fn list(
    caller: &mut Caller<'_, State>,
    number: i32,
) -> wasmtime::Result<Result<Listing, Errno>> {
    let mut size = ROOM;
    let mut attempts = ATTEMPTS;
    loop {
        let mut aside = Aside::new();
        let (result, room) = (aside.result(), aside.room(size));
        let length = i32::try_from(size).unwrap_or(i32::MAX);
        let (_, state) = bytes(caller)?;
        let wasi = &mut state.wasi;
        let errno =
            preview1::fd_readdir(wasi, &mut aside.memory(), number, room, length, 0, result)
                .await?;
        let used = usize::try_from(aside.word()).unwrap_or_default();
        match errno {
            SUCCESS if used == size && size < MOST_ROOM => size *= 8,
            SUCCESS => return Ok(Ok(Listing::new(aside.take(room, used)))),
            NOENT if attempts > 0 => attempts -= 1,
            errno => return Ok(Err(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_from_any_entry() {
        let entry = |name: &str| {
            let mut entry = vec![0; ENTRY];
            entry[NAME_LENGTH] = u8::try_from(name.len()).unwrap();
            entry.extend(name.bytes());
            entry
        };
        let listing = Listing::new([entry("a"), entry("bc"), entry("")].concat());
        assert_eq!(listing.starts, [0, 25, 51]);
        assert_eq!(listing.from(1), [entry("bc"), entry("")].concat());
        assert_eq!(listing.from(2), entry(""));
        assert!(listing.from(3).is_empty() && listing.from(u64::MAX).is_empty());
    }
}
