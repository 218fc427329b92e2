//! Where a mount may be put.

use std::path::{Path, PathBuf};

use berth_contract::Result;
use berth_contract::oci::MOUNTABLE_BELOW_PROC;

use super::refuse;
use crate::engine::spec::clean;

/// An absolute destination, out of the kernel's own directories (CVE-2019-16884, CVE-2025-52881).
pub(super) fn destination_of(text: &str) -> Result<PathBuf> {
    if !text.starts_with('/') {
        return Err(refuse(format!(
            "the mount destination {text:?} is not an absolute path"
        )));
    }
    if text.contains('\0') {
        return Err(refuse("a mount destination has a NUL byte in it"));
    }
    let path = clean(text);
    let internal = match (path.strip_prefix("/proc"), path.strip_prefix("/sys")) {
        (Ok(below), _) => !MOUNTABLE_BELOW_PROC
            .iter()
            .any(|allowed| below == Path::new(allowed)),
        (_, Ok(below)) => !matches!(below.to_str(), Some("" | "fs/cgroup")),
        _ => false,
    };
    if internal {
        return Err(refuse(format!("cannot mount over {}", path.display()))
            .caused_by("what the kernel shows there protects the host"));
    }
    Ok(path)
}
