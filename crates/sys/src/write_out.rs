//! Writing to disk what a file holds, before a sync needs it there.

use std::os::fd::{AsFd, AsRawFd as _};

/// Has the kernel begin to write a part of a file to disk, and waits for nothing: less is left for the sync that
/// must follow some time, which also tells what failed.
pub fn begin(file: &impl AsFd, from: u64, length: u64) {
    let number = |value| i64::try_from(value).unwrap_or(i64::MAX);
    let (file, flags) = (file.as_fd().as_raw_fd(), libc::SYNC_FILE_RANGE_WRITE);
    // SAFETY: the descriptor is open while it is borrowed, and the call touches no memory of ours.
    unsafe { libc::sync_file_range(file, number(from), number(length), flags) };
}
