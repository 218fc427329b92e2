//! What only the supervisor can open for a guest whose rights end at its own user namespace: its root,
//! the sources of its bind mounts, and what it shares with the host.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result, Slot};
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::mount::{self, Change};
use berth_sys::namespace::Namespaces;

use crate::plan::options::IdMapped;
use crate::plan::{self, MountPlan, MountSource, Plan};
use crate::users::{self, Users};
use crate::{mounts, rootfs};

/// What was opened for one mount.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// A detached mount of what is to be there.
    pub(crate) source: Option<OwnedFd>,
}

/// Opens what the guest cannot: its root, and one entry for each of its mounts.
pub(crate) fn prepare(
    plan: &Plan,
    slot: &Slot,
    users: Option<&Users>,
) -> Result<(Option<OwnedFd>, Vec<Opened>)> {
    let root = match users {
        Some(users) => Some(rootfs::detached(&slot.rootfs, Some(users))?),
        None => None,
    };
    let mut all = Vec::with_capacity(plan.mounts.len());
    for mount in &plan.mounts {
        all.push(Opened {
            source: open(plan, mount, users)?,
        });
    }
    Ok((root, all))
}

fn open(plan: &Plan, mount: &MountPlan, users: Option<&Users>) -> Result<Option<OwnedFd>> {
    match &mount.source {
        MountSource::Bind { path, recursive } => {
            let mapped = mount.options.id_mapped.is_some() || !mount.users.is_empty();
            if users.is_none() && !mapped {
                return Ok(None);
            }
            let within = mount.options.subpath.as_deref();
            let source = mounts::clone_source(path, within, *recursive)?;
            if mapped {
                map(&source, path, mount, users)?;
            }
            Ok(Some(source))
        }
        MountSource::New { kind, source } => match users {
            Some(users) if kind == "overlay" => layers(mount, users).map(Some),
            Some(_) if shows_hosts(plan, kind) => mounts::new(kind, source, &mount.options)
                .explain(|| format!("cannot mount {}", mount.destination.display()))
                .map(Some),
            _ => Ok(None),
        },
        MountSource::Cgroup | MountSource::Remount => Ok(None),
    }
}

/// Whether a new file system of this type shows a namespace that the guest shares with the host: making
/// one takes rights over that namespace.
fn shows_hosts(plan: &Plan, kind: &str) -> bool {
    shown_by(kind).is_some_and(|namespace| plan.is_hosts(namespace))
}

/// The namespace that a new file system of this type shows.
pub(crate) fn shown_by(kind: &str) -> Option<Namespaces> {
    match kind {
        "sysfs" => Some(Namespaces::NETWORK),
        "proc" => Some(Namespaces::PID),
        "mqueue" => Some(Namespaces::IPC),
        _ => None,
    }
}

/// Maps the ids of a bind mount: as the mount says, or as the guest's user namespace does.
fn map(source: &OwnedFd, path: &Path, mount: &MountPlan, users: Option<&Users>) -> Result<()> {
    let recursive = mount.options.id_mapped == Some(IdMapped::Recursive);
    let own;
    let mapping = match users {
        _ if !mount.users.is_empty() => {
            own = users::mapped(&mount.users, &mount.groups)?;
            std::os::fd::AsFd::as_fd(&own)
        }
        Some(users) => users.namespace(),
        None => {
            return Err(plan::invalid(format!(
                "the mount {} is to be id-mapped, and nothing says how",
                mount.destination.display()
            )));
        }
    };
    view(source, mapping, recursive).map_err(|error| not_mapped(path, &error))
}

/// Makes a detached mount show other ids.
pub(crate) fn view(
    mount: &OwnedFd,
    mapping: BorrowedFd<'_>,
    recursive: bool,
) -> std::io::Result<()> {
    mount::set_attributes(
        mount,
        &Change {
            mapping: Some(mapping),
            recursive,
            ..Change::default()
        },
    )
}

/// The error of a file system that cannot show other ids than it has; it names the file system.
pub(crate) fn not_mapped(path: &Path, error: &std::io::Error) -> Error {
    let sentence = format!("cannot map the ids of {}", path.display());
    let kind = mount::file_system_of(path);
    if !error::is(error, Errno::INVAL) {
        return Error::new(error::class(error), sentence).caused_by(error.to_string());
    }
    Error::new(Class::Unsupported, sentence).caused_by(format!(
        "the kernel cannot do that on {}",
        kind.as_deref().unwrap_or("its file system")
    ))
}

/// A read-only overlay of an image's layers, which are shared by all: only this view has the guest's ids.
fn layers(mount: &MountPlan, users: &Users) -> Result<OwnedFd> {
    let words = mount.options.data.iter();
    let lowers = words
        .filter(|(key, _)| key == "lowerdir")
        .filter_map(|(_, value)| value.as_deref());
    let lowers: Vec<PathBuf> = lowers
        .flat_map(|all| all.split(':'))
        .map(PathBuf::from)
        .collect();
    rootfs::read_only(&lowers, users)
}
