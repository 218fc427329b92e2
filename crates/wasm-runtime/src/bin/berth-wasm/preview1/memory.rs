//! The guest's memory and the numbers of WASI preview 1, as its specification lays them out.

#![expect(
    clippy::map_err_ignore,
    reason = "WASI tells guests codes and no causes"
)]

use wasmtime::{AsContextMut as _, Caller};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wiggle::GuestMemory;

use super::State;

/// A WASI error number.
pub(super) type Errno = i32;

pub(super) const SUCCESS: Errno = 0;
pub(super) const AGAIN: Errno = 6;
pub(super) const BADF: Errno = 8;
pub(super) const CONNRESET: Errno = 15;
pub(super) const FAULT: Errno = 21;
pub(super) const INVAL: Errno = 28;
pub(super) const IO: Errno = 29;
pub(super) const MFILE: Errno = 33;
pub(super) const NOENT: Errno = 44;
pub(super) const NOTCONN: Errno = 53;
pub(super) const NOTDIR: Errno = 54;
pub(super) const NOTSUP: Errno = 58;
pub(super) const PERM: Errno = 63;
pub(super) const PIPE: Errno = 64;
pub(super) const ROFS: Errno = 69;
pub(super) const XDEV: Errno = 75;

/// The guest's memory beside the host's state, as wasmtime's own functions want them.
pub(super) fn split<'a>(
    caller: &'a mut Caller<'_, State>,
) -> wasmtime::Result<(GuestMemory<'a>, &'a mut State)> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let memory = caller
        .get_export("memory")
        .and_then(wasmtime::Extern::into_memory)
        .ok_or_else(|| wasmtime::Error::msg("missing required memory export"))?;
    let (bytes, state) = memory.data_and_store_mut(caller);
    state.wasi.set_hostcall_fuel(fuel);
    Ok((GuestMemory::Unshared(bytes), state))
}

/// The same with the memory as plain bytes.
pub(super) fn bytes<'a>(
    caller: &'a mut Caller<'_, State>,
) -> wasmtime::Result<(Memory<'a>, &'a mut State)> {
    match split(caller)? {
        (GuestMemory::Unshared(bytes), state) => Ok((Memory(bytes), state)),
        (GuestMemory::Shared(_), _) => Err(wasmtime::Error::msg("shared memory has no sockets")),
    }
}

/// The guest's memory; what lies outside is FAULT, never a panic.
pub(super) struct Memory<'a>(pub(super) &'a mut [u8]);

/// A range of the guest's memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

impl Memory<'_> {
    pub(super) fn get<const N: usize>(&self, address: u32) -> Result<[u8; N], Errno> {
        let start = usize::try_from(address).map_err(|_| FAULT)?;
        self.0
            .get(start..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .ok_or(FAULT)
    }

    pub(super) fn put(&mut self, address: u32, value: &[u8]) -> Result<(), Errno> {
        let start = usize::try_from(address).map_err(|_| FAULT)?;
        let end = start.checked_add(value.len()).ok_or(FAULT)?;
        self.0
            .get_mut(start..end)
            .ok_or(FAULT)?
            .copy_from_slice(value);
        Ok(())
    }

    /// Whether a slash stands before this address.
    pub(super) fn follows_slash(&self, address: i32) -> bool {
        let before = usize::try_from(address.cast_unsigned())
            .ok()
            .and_then(|address| address.checked_sub(1));
        before.and_then(|before| self.0.get(before)) == Some(&b'/')
    }

    pub(super) fn word(&self, address: u32) -> Result<u32, Errno> {
        self.get(address).map(u32::from_le_bytes)
    }

    pub(super) fn slice(&mut self, span: Span) -> Result<&mut [u8], Errno> {
        let start = usize::try_from(span.start).map_err(|_| FAULT)?;
        let length = usize::try_from(span.length).map_err(|_| FAULT)?;
        self.0
            .get_mut(start..start.checked_add(length).ok_or(FAULT)?)
            .ok_or(FAULT)
    }

    /// The first vector that is not empty: a read or write may always do less than it was asked for.
    pub(super) fn first_vector(&self, vectors: u32, count: u32) -> Result<Span, Errno> {
        for index in 0..count {
            let at = index
                .checked_mul(8)
                .and_then(|offset| vectors.checked_add(offset))
                .ok_or(FAULT)?;
            let span = Span {
                start: self.word(at)?,
                length: self.word(at.checked_add(4).ok_or(FAULT)?)?,
            };
            if span.length > 0 {
                return Ok(span);
            }
        }
        Ok(Span {
            start: 0,
            length: 0,
        })
    }

    /// A path argument.
    pub(super) fn text(&self, start: i32, length: i32) -> String {
        let range = usize::try_from(start.cast_unsigned()).unwrap_or(usize::MAX);
        let length = usize::try_from(length.cast_unsigned()).unwrap_or(usize::MAX);
        let bytes = range
            .checked_add(length)
            .and_then(|end| self.0.get(range..end))
            .unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_a_fault() {
        let mut bytes = [0; 16];
        let mut memory = Memory(&mut bytes);
        memory.put(8, &7_u32.to_le_bytes()).unwrap();
        memory.put(12, &3_u32.to_le_bytes()).unwrap();
        assert_eq!(memory.word(8), Ok(7));
        assert_eq!(memory.word(13), Err(FAULT));
        assert_eq!(memory.put(u32::MAX, &[1]), Err(FAULT));
        let span = memory.first_vector(0, 2).unwrap();
        assert_eq!(memory.slice(span).unwrap().len(), 3);
        assert_eq!(
            memory.slice(Span {
                start: 15,
                length: 2
            }),
            Err(FAULT)
        );
        assert!(memory.first_vector(12, 1).is_err());
    }
}
