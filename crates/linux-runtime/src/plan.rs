//! What will be done for a spec, decided before anything is done: no system call, so it can be tested.
//!
//! Everything that can be refused by looking at the spec is refused here, with the container untouched.

use std::path::{Path, PathBuf};

use berth_contract::oci::{
    self, Linux, LinuxIdMapping, LinuxNamespaceType, LinuxSeccomp, Mount, Spec,
};
use berth_contract::{Class, Error, Result};
use berth_sys::mount::Propagation;
use berth_sys::namespace::{Mapping, Namespaces};

use crate::defaults::{self, OwnNamespaces};
use crate::options::{self, Options};
use crate::process_plan::{Common, ProcessPlan};

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

impl Plan {
    /// Decides what to do for a spec.
    pub(crate) fn new(spec: &Spec) -> Result<Self> {
        let empty = Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&empty);
        let (namespaces, join) = namespaces(linux)?;
        if !namespaces.contains(Namespaces::MOUNT) {
            return Err(unsupported("the spec has no mount namespace of its own"));
        }
        let users = mappings(linux.uid_mappings.as_deref())?;
        let groups = mappings(linux.gid_mappings.as_deref())?;
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
                .map(mount)
                .collect::<Result<_>>()?,
            devices: linux.devices.clone().unwrap_or_default(),
            root_read_only: spec
                .root
                .as_ref()
                .and_then(|root| root.readonly)
                .unwrap_or(false),
            sysctls: sysctls(linux, namespaces, &join)?,
            masked: paths(linux.masked_paths.as_deref()),
            read_only: paths(linux.readonly_paths.as_deref()),
            process: ProcessPlan::new(process, &Common::new(spec))?,
            reaper: annotation(ANNOTATION_INIT) == Some("true"),
            clocks: clocks(linux),
            namespaces,
            join,
            users,
            groups,
        })
    }

    /// The path of a pid namespace to be born into, if one is joined.
    pub(crate) fn joined_pid(&self) -> Option<&Path> {
        self.join
            .iter()
            .find(|(kind, _)| *kind == Namespaces::PID)
            .map(|(_, path)| path.as_path())
    }
}

/// The seccomp profile of a spec.
pub(crate) fn seccomp(spec: &Spec) -> Option<&LinuxSeccomp> {
    spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref())
}

fn namespaces(linux: &Linux) -> Result<(Namespaces, Vec<(Namespaces, PathBuf)>)> {
    let mut new = Namespaces::empty();
    let mut join: Vec<(Namespaces, PathBuf)> = Vec::new();
    for namespace in linux.namespaces.iter().flatten() {
        let kind = match namespace.kind {
            LinuxNamespaceType::Mount => Namespaces::MOUNT,
            LinuxNamespaceType::Cgroup => Namespaces::CGROUP,
            LinuxNamespaceType::Uts => Namespaces::UTS,
            LinuxNamespaceType::Ipc => Namespaces::IPC,
            LinuxNamespaceType::User => Namespaces::USER,
            LinuxNamespaceType::Pid => Namespaces::PID,
            LinuxNamespaceType::Network => Namespaces::NETWORK,
            LinuxNamespaceType::Time => Namespaces::TIME,
        };
        if new.contains(kind) || join.iter().any(|(own, _)| *own == kind) {
            return Err(invalid(format!(
                "the {} namespace is named twice",
                namespace.kind
            )));
        }
        match namespace
            .path
            .as_ref()
            .filter(|path| !path.as_os_str().is_empty())
        {
            None => new = new.with(kind),
            Some(path) => join.push((kind, path.clone())),
        }
    }
    // Joining the user namespace first gives the right to join those it owns.
    join.sort_by_key(|(kind, _)| *kind != Namespaces::USER);
    Ok((new, join))
}

pub(crate) fn mappings(lines: Option<&[LinuxIdMapping]>) -> Result<Vec<Mapping>> {
    let mut mappings = Vec::new();
    for line in lines.unwrap_or_default() {
        if line.size == 0 {
            return Err(invalid("an id mapping has the size 0"));
        }
        mappings.push(Mapping {
            inside: line.container_id,
            outside: line.host_id,
            count: line.size,
        });
    }
    Ok(mappings)
}

/// Things the specification has that nobody would notice missing: better refused than ignored.
fn refuse_unknown(spec: &Spec, linux: &Linux) -> Result<()> {
    let hooks = spec.hooks.as_ref();
    let hooked = |list: Option<&Vec<oci::Hook>>| list.is_some_and(|list| !list.is_empty());
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
            hooked(hooks.and_then(|hooks| hooks.create_container.as_ref())),
            "createContainer hooks",
        ),
        (
            hooked(hooks.and_then(|hooks| hooks.start_container.as_ref())),
            "startContainer hooks",
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

fn mount(mount: &Mount) -> Result<MountPlan> {
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
    const ALLOWED: [&str; 10] = [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ];
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
                || ALLOWED.iter().any(|name| below == Path::new(name))
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

fn sysctls(
    linux: &Linux,
    new: Namespaces,
    join: &[(Namespaces, PathBuf)],
) -> Result<Vec<(String, String)>> {
    let own = |kind| new.contains(kind) || join.iter().any(|(joined, _)| *joined == kind);
    let own = OwnNamespaces {
        ipc: own(Namespaces::IPC),
        network: own(Namespaces::NETWORK),
        uts: own(Namespaces::UTS),
    };
    let mut sysctls = Vec::new();
    for (key, value) in linux.sysctl.iter().flatten() {
        defaults::check_sysctl(key, value, own)?;
        // As sysctl(8): the first separator decides, so that net/ipv4/conf/eth0.1/… can be written.
        let path = match key.find(['.', '/']) {
            Some(at) if key.as_bytes().get(at) == Some(&b'/') => key.clone(),
            _ => key
                .chars()
                .map(|letter| match letter {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect(),
        };
        sysctls.push((path, value.clone()));
    }
    sysctls.sort();
    Ok(sysctls)
}

fn clocks(linux: &Linux) -> Vec<(String, i64, u32)> {
    linux
        .time_offsets
        .iter()
        .flatten()
        .map(|(clock, offset)| {
            (
                clock.clone(),
                offset.secs.unwrap_or(0),
                offset.nanosecs.unwrap_or(0),
            )
        })
        .collect()
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
    fn plan(linux: &str, more: &str) -> Result<Plan> {
        let json = format!(
            r#"{{"ociVersion":"1.2.0","process":{{"cwd":"/","args":["true"],"user":{{"uid":0,"gid":0}}}},
                "linux":{linux}{more}}}"#
        );
        Plan::new(&serde_json::from_str(&json).unwrap())
    }

    const MOUNT: &str = r#"{"namespaces":[{"type":"mount"},{"type":"pid"}]}"#;

    #[test]
    fn namespaces_are_made_or_joined() {
        let plan = plan(
            r#"{"namespaces":[{"type":"network","path":"/proc/9/ns/net"},{"type":"mount"},
                {"type":"uts","path":""},{"type":"user","path":"/proc/9/ns/user"}]}"#,
            r#","hostname":"a""#,
        )
        .unwrap();
        assert_eq!(plan.namespaces, Namespaces::MOUNT.with(Namespaces::UTS));
        let joined: Vec<_> = plan.join.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(joined, [Namespaces::USER, Namespaces::NETWORK]);
        assert_eq!(plan.host_name.as_deref(), Some("a"));
    }

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
            (MOUNT, r#","hooks":{"startContainer":[{"path":"/x"}]}"#),
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

    #[test]
    fn sysctls_become_paths() {
        let plan = plan(
            r#"{"namespaces":[{"type":"mount"},{"type":"network"}],
                "sysctl":{"net.ipv4.conf.eth0/1.forwarding":"1","net/ipv4/conf/eth0.2/forwarding":"0"}}"#,
            "",
        )
        .unwrap();
        let keys: Vec<_> = plan.sysctls.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "net/ipv4/conf/eth0.1/forwarding",
                "net/ipv4/conf/eth0.2/forwarding"
            ]
        );
    }

    #[test]
    fn ids_beyond_the_greatest_are_refused() {
        let json = r#"{"ociVersion":"1.2.0","process":{"cwd":"/","args":["true"],
            "user":{"uid":4294967295,"gid":0}},"linux":{"namespaces":[{"type":"mount"}]}}"#;
        assert!(Plan::new(&serde_json::from_str(json).unwrap()).is_err());
    }
}
