//! Names, reserved by exclusive creation: a symbolic link whose target is the container's id.
//!
//! Making a symbolic link is one system call that either makes it whole or finds the name taken, so no
//! kill can leave an empty reservation. A link whose container is neither there nor being made is
//! stale; it is replaced under a lock on the directory of names.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use berth_contract::{Class, ContainerId, ContainerName, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::fault;
use berth_sys::lock::Lock;

use super::record::Record;
use super::staging::is_being_made;
use crate::paths::Paths;

const ADJECTIVES: [&str; 32] = [
    "able", "brave", "bright", "calm", "clever", "cosy", "eager", "early", "fair", "fond",
    "gentle", "glad", "grand", "happy", "honest", "jolly", "keen", "kind", "lively", "lucky",
    "merry", "mild", "neat", "noble", "proud", "quick", "quiet", "sunny", "swift", "tidy", "warm",
    "wise",
];
const NOUNS: [&str; 32] = [
    "anchor", "barge", "beacon", "bow", "brig", "buoy", "canoe", "capstan", "clipper", "cutter",
    "dinghy", "dock", "ferry", "galley", "gull", "harbour", "hull", "jetty", "keel", "ketch",
    "lighter", "lugger", "mast", "mole", "pier", "quay", "rudder", "sail", "schooner", "sloop",
    "tide", "tug",
];

/// A name nobody asked for, out of an id's digits.
#[must_use]
pub fn random_name(id: &ContainerId, attempt: u32) -> String {
    let byte = |at: usize| {
        id.as_str()
            .get(at..at + 2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .unwrap_or(0)
    };
    let adjective = ADJECTIVES[usize::from(byte(12)) % ADJECTIVES.len()];
    let noun = NOUNS[usize::from(byte(14)) % NOUNS.len()];
    match attempt {
        0 => format!("{adjective}_{noun}"),
        1 => format!("{adjective}_{noun}{}", byte(16)),
        _ => format!("{adjective}_{noun}_{}", id.short()),
    }
}

/// Reserves a name for an id.
///
/// # Errors
/// Another container has the name (class `Conflict`), or the directory cannot be written to.
pub fn reserve(paths: &Paths, name: &ContainerName, id: &ContainerId) -> Result<()> {
    let link = paths.name(name);
    loop {
        match symlink(id.as_str(), &link) {
            Ok(()) => {
                fault::point("host-name-reserved");
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(paths.names())
                    .explain(|| format!("cannot make {}", paths.names().display()))?;
                continue;
            }
            Err(error) => {
                return Err(error).explain(|| format!("cannot reserve the name {name}"));
            }
        }
        if !clear_stale(paths, name)? {
            let holder = holder(paths, name)?.map(|id| id.short().to_owned());
            let holder = holder.unwrap_or_else(|| "another one".to_owned());
            return Err(Error::new(
                Class::Conflict,
                format!("the container name {name} is in use"),
            )
            .caused_by(format!("container {holder} has it"))
            .hint(format!("berth rm {name}"))
            .hint(format!("berth rename {name} OTHER")));
        }
    }
}

/// Gives a name up if `id` holds it.
///
/// # Errors
/// The link cannot be removed.
pub fn free(paths: &Paths, name: &ContainerName, id: &ContainerId) -> Result<()> {
    if holder(paths, name)?.as_ref() != Some(id) {
        return Ok(());
    }
    match fs::remove_file(paths.name(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).explain(|| format!("cannot free the name {name}"))
        }
        _ => Ok(()),
    }
}

/// The id a name stands for.
pub(crate) fn holder(paths: &Paths, name: &ContainerName) -> Result<Option<ContainerId>> {
    match fs::read_link(paths.name(name)) {
        // A target that is no id was not made by berth: nobody holds the name.
        Ok(target) => Ok(target.to_str().and_then(|text| text.parse().ok())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).explain(|| format!("cannot look the name {name} up")),
    }
}

/// Removes a reservation that belongs to nothing; says whether the name is worth another try.
pub(crate) fn clear_stale(paths: &Paths, name: &ContainerName) -> Result<bool> {
    if !is_stale(paths, name)? {
        return Ok(false);
    }
    let directory = fs::File::open(paths.names())
        .explain(|| format!("cannot open {}", paths.names().display()))?;
    let lock = Lock::take(&directory, ".lock").explain(|| "cannot lock the names".to_owned())?;
    // Another process is clearing: its result is as good as ours.
    if lock.is_some() && is_stale(paths, name)? {
        match fs::remove_file(paths.name(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).explain(|| format!("cannot free the name {name}"));
            }
            _ => {}
        }
    }
    Ok(true)
}

/// The order matters: a container that is being made appears under `.new-` first, then complete.
fn is_stale(paths: &Paths, name: &ContainerName) -> Result<bool> {
    let Some(id) = holder(paths, name)? else {
        return Ok(true);
    };
    if is_being_made(paths, &id) {
        return Ok(false);
    }
    let container = paths.container(&id);
    match Record::read(&container) {
        // A rename that was killed half way leaves two names; the record says which one counts. While
        // the rename runs it holds the container's operation lock.
        Ok(Some(record)) => Ok(record.name != *name && !operation_runs(&container)),
        Ok(None) => Ok(!container.exists()),
        Err(_) => Ok(false),
    }
}

fn operation_runs(container: &std::path::Path) -> bool {
    match fs::File::open(container.join(OPERATION_LOCK)) {
        Ok(file) => berth_sys::lock::is_held(&file).unwrap_or(true),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// The lock that `start`, `rename` and `rm` of one container hold.
pub(crate) const OPERATION_LOCK: &str = "operation";
