//! Who this process is.

/// The effective user id: 0 for root.
#[must_use]
pub fn effective_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether this process has root's identity in its user namespace.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The effective group id.
#[must_use]
pub fn effective_group() -> u32 {
    rustix::process::getegid().as_raw()
}
