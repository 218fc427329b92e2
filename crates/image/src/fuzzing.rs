//! Ways in for the fuzz targets, to what nobody else may call.

#[path = "registry/challenge.rs"]
mod challenge;

use std::path::Path;

use berth_contract::Result;
use berth_sys::error::Explain as _;
use berth_sys::file::Directory;

use crate::layer::Expected;

/// Unpacks a layer into an empty directory.
///
/// # Errors
/// It is no layer, or a hostile one.
pub fn unpack(bytes: &[u8], into: &Path) -> Result<()> {
    let directory = Directory::open(into).explain(|| format!("cannot open {}", into.display()))?;
    crate::layer::unpack(bytes, &directory, &Expected::default()).map(drop)
}

/// Reads a registry's challenge.
pub fn challenge(header: &str) {
    drop(challenge::Challenge::parse(header));
}
