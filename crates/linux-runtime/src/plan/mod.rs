//! What will be done for a spec, decided before anything is done: no system call, so it can be tested.
//!
//! Everything that can be refused by looking at the spec is refused here, with the container untouched.

mod mount;
mod namespace;
pub(crate) mod options;
pub(crate) mod process;

use std::path::{Path, PathBuf};

use berth_contract::oci::{self, Linux, LinuxSeccomp, Spec};
use berth_contract::{Class, Error, Result};
use berth_sys::mount::Propagation;
use berth_sys::namespace::{Mapping, Namespaces};

pub(crate) use mount::{MountPlan, MountSource};
use process::{Common, ProcessPlan};

/// Asks for our own reaper as pid 1 when it is `true`.
pub const ANNOTATION_INIT: &str = "berth.init";
/// Names the rlimits that are lowered to the hard limit where it cannot be raised: defaults, not requests.
pub const ANNOTATION_CLAMP: &str = "berth.rlimits.clamp";

/// Everything that is done for a guest, in the order of its fields.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Made with the process; the cgroup namespace is made once the process is in its cgroup.
    pub(crate) namespaces: Namespaces,
    /// Joined by file.
    pub(crate) join: Vec<(Namespaces, PathBuf)>,
    /// Maps of a new user namespace.
    pub(crate) users: Vec<Mapping>,
    /// As `users`, for groups.
    pub(crate) groups: Vec<Mapping>,
    /// Clock offsets of a new time namespace: clock name, seconds, nanoseconds.
    pub(crate) clocks: Vec<(String, i64, u32)>,
    pub(crate) host_name: Option<String>,
    pub(crate) domain_name: Option<String>,
    /// How mounts of the host appear in the guest's namespace until it has its own root.
    pub(crate) propagation: Propagation,
    /// The propagation the root ends up with, when the spec names one.
    pub(crate) root_propagation: Option<(Propagation, bool)>,
    pub(crate) mounts: Vec<MountPlan>,
    /// Nodes in /dev beside the default ones.
    pub(crate) devices: Vec<oci::LinuxDevice>,
    pub(crate) root_read_only: bool,
    /// Sysctl keys as paths beneath `sys`, with their values.
    pub(crate) sysctls: Vec<(String, String)>,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) read_only: Vec<PathBuf>,
    pub(crate) process: ProcessPlan,
    /// Our own reaper runs as pid 1.
    pub(crate) reaper: bool,
}

impl Plan {
    /// Decides what to do for a spec.
    pub(crate) fn new(spec: &Spec) -> Result<Self> {
        let empty = Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&empty);
        let (namespaces, join) = namespace::namespaces(linux)?;
        if !namespaces.contains(Namespaces::MOUNT) {
            return Err(unsupported("the spec has no mount namespace of its own"));
        }
        let users = namespace::mappings(linux.uid_mappings.as_deref())?;
        let groups = namespace::mappings(linux.gid_mappings.as_deref())?;
        let new_users = namespaces.contains(Namespaces::USER);
        if new_users && (users.is_empty() || groups.is_empty()) {
            return Err(invalid(
                "a user namespace needs uidMappings and gidMappings",
            ));
        }
        refuse_unknown(spec, linux)?;
        let process = spec
            .process
            .as_ref()
            .ok_or_else(|| invalid("the spec has no process"))?;
        let annotation = |key| {
            spec.annotations
                .as_ref()
                .and_then(|all| all.get(key))
                .map(String::as_str)
        };
        let propagation = linux
            .rootfs_propagation
            .as_deref()
            .map(root_propagation)
            .transpose()?;
        Ok(Self {
            host_name: spec
                .hostname
                .clone()
                .filter(|_| namespaces.contains(Namespaces::UTS)),
            domain_name: spec
                .domainname
                .clone()
                .filter(|_| namespaces.contains(Namespaces::UTS)),
            propagation: match propagation {
                // Mounts the guest makes are to reach the host: nothing may be cut off.
                Some((Propagation::Shared, _)) => Propagation::Shared,
                Some((Propagation::Private, _)) => Propagation::Private,
                _ => Propagation::Slave,
            },
            root_propagation: propagation,
            mounts: spec
                .mounts
                .iter()
                .flatten()
                .map(mount::mount)
                .collect::<Result<_>>()?,
            devices: linux.devices.clone().unwrap_or_default(),
            root_read_only: spec
                .root
                .as_ref()
                .and_then(|root| root.readonly)
                .unwrap_or(false),
            sysctls: namespace::sysctls(linux, namespaces, &join)?,
            masked: paths(linux.masked_paths.as_deref()),
            read_only: paths(linux.readonly_paths.as_deref()),
            process: ProcessPlan::new(process, &Common::new(spec))?,
            reaper: annotation(ANNOTATION_INIT) == Some("true"),
            clocks: namespace::clocks(linux),
            namespaces,
            join,
            users,
            groups,
        })
    }

    /// Whether the guest's users are not the host's.
    pub(crate) fn own_users(&self) -> bool {
        self.namespaces.contains(Namespaces::USER) || self.joined(Namespaces::USER).is_some()
    }

    /// Whether the guest shares this kind of namespace with the host.
    pub(crate) fn is_hosts(&self, kind: Namespaces) -> bool {
        !self.namespaces.contains(kind) && self.joined(kind).is_none()
    }

    /// The path of the namespace of this kind that is joined.
    pub(crate) fn joined(&self, kind: Namespaces) -> Option<&Path> {
        self.join
            .iter()
            .find(|(own, _)| *own == kind)
            .map(|(_, path)| path.as_path())
    }
}

/// The seccomp profile of a spec.
pub(crate) fn seccomp(spec: &Spec) -> Option<&LinuxSeccomp> {
    spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref())
}

/// Things the specification has that nobody would notice missing: better refused than ignored.
fn refuse_unknown(spec: &Spec, linux: &Linux) -> Result<()> {
    let refused = [
        (linux.intel_rdt.is_some(), "linux.intelRdt"),
        (
            linux
                .net_devices
                .as_ref()
                .is_some_and(|devices| !devices.is_empty()),
            "linux.netDevices",
        ),
        (linux.memory_policy.is_some(), "linux.memoryPolicy"),
        (
            linux
                .mount_label
                .as_ref()
                .is_some_and(|label| !label.is_empty()),
            "linux.mountLabel",
        ),
        (
            linux
                .personality
                .as_ref()
                .and_then(|personality| personality.flags.as_ref())
                .is_some_and(|flags| !flags.is_empty()),
            "flags of linux.personality",
        ),
        (spec.windows.is_some(), "windows"),
        (spec.vm.is_some(), "vm"),
    ];
    match refused.into_iter().find(|(present, _)| *present) {
        Some((_, name)) => Err(unsupported(format!("it asks for {name}"))),
        None => Ok(()),
    }
}

fn root_propagation(word: &str) -> Result<(Propagation, bool)> {
    options::propagation(word).ok_or_else(|| {
        invalid(format!(
            "{word:?} is no propagation of the root file system"
        ))
    })
}

fn paths(words: Option<&[String]>) -> Vec<PathBuf> {
    words
        .unwrap_or_default()
        .iter()
        .map(PathBuf::from)
        .collect()
}

pub(crate) fn invalid(why: impl Into<String>) -> Error {
    Error::new(Class::Invalid, "cannot use the container's specification").caused_by(why.into())
}

pub(crate) fn unsupported(why: impl Into<String>) -> Error {
    Error::new(
        Class::Unsupported,
        "cannot use the container's specification",
    )
    .caused_by(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spec from JSON, with what every spec needs.
    pub(super) fn plan(linux: &str, more: &str) -> Result<Plan> {
        let json = format!(
            r#"{{"ociVersion":"1.2.0","process":{{"cwd":"/","args":["true"],"user":{{"uid":0,"gid":0}}}},
                "linux":{linux}{more}}}"#
        );
        Plan::new(&serde_json::from_str(&json).unwrap())
    }

    pub(super) const MOUNT: &str = r#"{"namespaces":[{"type":"mount"},{"type":"pid"}]}"#;

    #[test]
    fn a_host_name_is_not_set_on_the_host() {
        assert_eq!(plan(MOUNT, r#","hostname":"a""#).unwrap().host_name, None);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (linux, more) in [
            (r#"{"namespaces":[{"type":"pid"}]}"#, ""),
            (r#"{"namespaces":[{"type":"mount"},{"type":"mount"}]}"#, ""),
            (r#"{"namespaces":[{"type":"mount"},{"type":"user"}]}"#, ""),
            (r#"{"namespaces":[{"type":"mount"}],"intelRdt":{}}"#, ""),
            (r#"{"namespaces":[{"type":"mount"}],"mountLabel":"x"}"#, ""),
            (
                r#"{"namespaces":[{"type":"mount"}],"rootfsPropagation":"wide"}"#,
                "",
            ),
            (
                r#"{"namespaces":[{"type":"mount"}],"sysctl":{"net.ipv4.ip_forward":"1"}}"#,
                "",
            ),
            (MOUNT, r#","mounts":[{"destination":"/x"}]"#),
            (
                MOUNT,
                r#","mounts":[{"destination":"/x","source":"a","options":["bind"]}]"#,
            ),
        ] {
            assert!(plan(linux, more).is_err(), "{linux} {more}");
        }
    }

    #[test]
    fn ids_beyond_the_greatest_are_refused() {
        let json = r#"{"ociVersion":"1.2.0","process":{"cwd":"/","args":["true"],
            "user":{"uid":4294967295,"gid":0}},"linux":{"namespaces":[{"type":"mount"}]}}"#;
        assert!(Plan::new(&serde_json::from_str(json).unwrap()).is_err());
    }
}
