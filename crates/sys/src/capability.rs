//! Capability sets of this process, as the kernel's bit masks.

use std::io;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The five sets a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What a program with file capabilities or user 0 can gain at most.
    pub bounding: u64,
    /// What counts now.
    pub effective: u64,
    /// What can be made effective.
    pub permitted: u64,
    /// What file-inheritable capabilities may keep.
    pub inheritable: u64,
    /// What survives an execute without any file capability.
    pub ambient: u64,
}

/// `CAP_SYS_ADMIN` as a mask.
pub const SYS_ADMIN: u64 = 1 << 21;
/// `CAP_SYS_RESOURCE` as a mask.
pub const SYS_RESOURCE: u64 = 1 << 24;
/// `CAP_SETPCAP` as a mask.
pub const SETPCAP: u64 = 1 << 8;

/// The capabilities this process can use now.
///
/// # Errors
/// The kernel does not answer.
pub fn effective() -> io::Result<u64> {
    Ok(rustix::thread::capabilities(None)?.effective.bits())
}

/// What this process can make effective.
///
/// # Errors
/// The kernel does not answer.
pub fn permitted() -> io::Result<u64> {
    Ok(rustix::thread::capabilities(None)?.permitted.bits())
}

/// Removes from the bounding set what is not in `keep`.
///
/// # Errors
/// `CAP_SETPCAP` is missing.
pub fn limit_bounding(keep: u64) -> io::Result<()> {
    for number in 0..64 {
        if keep & (1 << number) != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << number,
        )) {
            Ok(()) => {}
            // The first number the kernel does not know: there are no more.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sets the effective, permitted and inheritable sets.
///
/// # Errors
/// More is asked for than is permitted.
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(effective),
        permitted: CapabilitySet::from_bits_retain(permitted),
        inheritable: CapabilitySet::from_bits_retain(inheritable),
    };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Replaces the ambient set.
///
/// # Errors
/// One of them is not both permitted and inheritable.
pub fn set_ambient(ambient: u64) -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    for number in 0..64 {
        if ambient & (1 << number) != 0 {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            rustix::thread::configure_capability_in_ambient_set(capability, true)?;
        }
    }
    Ok(())
}

/// Keeps the permitted set when the user changes from 0 to another.
///
/// # Errors
/// The process's secure bits forbid it.
pub fn keep_across_user_change(keep: bool) -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(keep)?)
}
