//! A memory beside the guest's: wasmtime's functions take paths and leave results there when they are
//! called with what the guest never wrote.

use wiggle::GuestMemory;

use super::memory::{Errno, FAULT, Memory};

/// Where results are left, before all texts.
const RESULT: i32 = 0;
const RESULT_SIZE: usize = 64;

/// The memory: room for a result, then what was put there.
pub(super) struct Aside(Vec<u8>);

impl Aside {
    pub(super) fn new() -> Self {
        Self(vec![0; RESULT_SIZE])
    }

    /// Where a result of at most 64 bytes may be left.
    pub(super) fn result(&self) -> i32 {
        RESULT
    }

    /// Puts a text there; its address and length.
    pub(super) fn put(&mut self, text: &[u8]) -> (i32, i32) {
        let at = self.0.len();
        self.0.extend_from_slice(text);
        let number = |count| i32::try_from(count).unwrap_or_default();
        (number(at), number(text.len()))
    }

    /// Makes room for this many bytes; their address.
    pub(super) fn room(&mut self, size: usize) -> i32 {
        let at = self.0.len();
        self.0.resize(at + size, 0);
        i32::try_from(at).unwrap_or_default()
    }

    /// As wasmtime's functions want it.
    pub(super) fn memory(&mut self) -> GuestMemory<'_> {
        GuestMemory::Unshared(&mut self.0)
    }

    /// The number that was left as a result.
    pub(super) fn word(&self) -> u32 {
        self.0.first_chunk().copied().map_or(0, u32::from_le_bytes)
    }

    /// What was left in room of this size, which is dropped.
    pub(super) fn take(&mut self, at: i32, size: usize) -> Vec<u8> {
        let at = usize::try_from(at).unwrap_or_default();
        let mut taken = self.0.split_off(at.min(self.0.len()));
        taken.truncate(size);
        taken
    }

    /// Gives the guest the first bytes of the result.
    pub(super) fn copy(
        &self,
        memory: &mut Memory<'_>,
        place: i32,
        size: usize,
    ) -> Result<(), Errno> {
        let result = self.0.get(..size).ok_or(FAULT)?;
        memory.put(place.cast_unsigned(), result)
    }
}
