//! One mount of a spec: what it is made of, and what may not be mounted where.

use std::path::{Path, PathBuf};

use berth_contract::Result;
use berth_contract::oci::{MOUNTABLE_BELOW_PROC, Mount};
use berth_sys::namespace::Mapping;

use super::invalid;
use super::namespace::mappings;
use super::options::Options;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountPlan {
    pub(crate) destination: PathBuf,
    pub(crate) source: MountSource,
    pub(crate) options: Options,
    pub(crate) users: Vec<Mapping>,
    pub(crate) groups: Vec<Mapping>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountSource {
    /// A path of the host.
    Bind { path: PathBuf, recursive: bool },
    /// The guest's view of its cgroup.
    Cgroup,
    /// A new file system.
    New { kind: String, source: PathBuf },
    /// Only the attributes of what is there change.
    Remount,
}

pub(super) fn mount(mount: &Mount) -> Result<MountPlan> {
    let destination = &mount.destination;
    if !destination.is_absolute() && destination.as_os_str().is_empty() {
        return Err(invalid("a mount has no destination"));
    }
    let options = Options::parse(mount.options.as_deref().unwrap_or_default());
    let kind = mount.kind.as_deref().unwrap_or_default();
    let source = mount.source.clone().unwrap_or_default();
    let source = match (options.remount, options.bind, kind) {
        (true, _, _) => MountSource::Remount,
        (false, Some(recursive), _) => MountSource::Bind {
            path: source,
            recursive,
        },
        (false, None, "bind" | "rbind") => MountSource::Bind {
            path: source,
            recursive: kind == "rbind",
        },
        (false, None, "cgroup" | "cgroup2") => MountSource::Cgroup,
        (false, None, "") => {
            return Err(invalid(format!(
                "the mount {} has no type",
                destination.display()
            )));
        }
        (false, None, kind) => MountSource::New {
            kind: kind.to_owned(),
            source,
        },
    };
    if let MountSource::Bind { path, .. } = &source
        && !path.is_absolute()
    {
        return Err(invalid(format!(
            "the source of the mount {} is no absolute path",
            destination.display()
        )));
    }
    check_proc(destination, &source)?;
    let users = mappings(mount.uid_mappings.as_deref())?;
    let groups = mappings(mount.gid_mappings.as_deref())?;
    if users.is_empty() != groups.is_empty() {
        return Err(invalid(
            "a mount needs both uidMappings and gidMappings, or none",
        ));
    }
    Ok(MountPlan {
        destination: destination.clone(),
        source,
        options,
        users,
        groups,
    })
}

/// Below `/proc` only what cannot redirect the writes of a runtime may be mounted (CVE-2019-16884).
fn check_proc(destination: &Path, source: &MountSource) -> Result<()> {
    let mut clean = PathBuf::from("/");
    for part in destination.components() {
        match part {
            std::path::Component::Normal(name) => clean.push(name),
            std::path::Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    let Ok(below) = clean.strip_prefix("/proc") else {
        return Ok(());
    };
    let proc_itself = below.as_os_str().is_empty();
    let allowed = match source {
        MountSource::New { kind, .. } => proc_itself && kind == "proc",
        // A whole procfs from the host, for guests that share its pid namespace.
        MountSource::Bind { path, .. } => {
            (proc_itself && path == Path::new("/proc"))
                || MOUNTABLE_BELOW_PROC
                    .iter()
                    .any(|name| below == Path::new(name))
        }
        MountSource::Remount => true,
        MountSource::Cgroup => false,
    };
    if allowed {
        return Ok(());
    }
    Err(invalid(format!(
        "nothing may be mounted on {}: it is inside /proc",
        destination.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MOUNT, plan};

    #[test]
    fn proc_takes_no_foreign_mounts() {
        let at = |destination: &str, source: &str| {
            let mount = format!(
                r#","mounts":[{{"destination":"{destination}","source":"{source}","options":["bind"]}}]"#
            );
            plan(MOUNT, &mount).is_ok()
        };
        assert!(at("/proc/cpuinfo", "/x") && at("/proc", "/proc") && at("/procfs", "/x"));
        for bad in [
            "/proc/self/attr/exec",
            "/proc/sys",
            "/a/../proc/sys",
            "/proc//./sys",
            "/proc",
        ] {
            assert!(!at(bad, "/x"), "{bad}");
        }
    }
}
