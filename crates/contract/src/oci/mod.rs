//! The OCI runtime-spec 1.3 in the words that berth's runtimes honour.
//!
//! Property names and JSON are the specification's (`config.md`, `config-linux.md`); properties nobody
//! here knows are ignored, as it demands of runtimes. What berth cannot do and nobody would notice
//! missing is kept as [`Present`], so that a runtime refuses it. These types and not `oci-spec`'s cross
//! the boundary because there is a monitor for every running container: theirs would bring builders and
//! a regular-expression engine into each. A test holds both to the same documents.

mod capability;
mod linux;
mod object;
mod process;
mod resources;
mod seccomp;
mod word;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::IgnoredAny;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use object::object;

pub use capability::{Capabilities, Capability, LinuxCapabilities};
pub use linux::{
    Linux, LinuxDevice, LinuxDeviceType, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType,
    LinuxPersonality, LinuxPersonalityDomain, LinuxTimeOffset,
};
pub use process::{
    ConsoleSize, LinuxIoPriority, LinuxIoPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    PosixRlimit, PosixRlimitType, Process, Scheduler, User,
};
pub use resources::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxHugepageLimit, LinuxInterfacePriority,
    LinuxMemory, LinuxNetwork, LinuxPids, LinuxRdma, LinuxResources, LinuxThrottleDevice,
    LinuxWeightDevice,
};
pub use seccomp::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};
pub use word::Unknown;

object! {
    /// The whole description of a container: `config.json`.
    #[derive(Default)]
    Spec {
        /// The version of the specification it is written in.
        version: String = "ociVersion",
        /// The root file system.
        root: Option<Root> = "root",
        /// What is mounted into it, in this order.
        mounts: Option<Vec<Mount>> = "mounts",
        /// The first process.
        process: Option<Process> = "process",
        /// Its host name.
        hostname: Option<String> = "hostname",
        /// Its NIS domain name.
        domainname: Option<String> = "domainname",
        /// Programs of the host that run at points of its life.
        hooks: Option<Hooks> = "hooks",
        /// Whatever else somebody wants to know about it.
        annotations: Option<BTreeMap<String, String>> = "annotations",
        /// What only Linux has.
        linux: Option<Linux> = "linux",
        /// What only Windows has.
        windows: Option<Present> = "windows",
        /// What only virtual machines have.
        vm: Option<Present> = "vm",
    }
}

object! {
    /// The root file system.
    #[derive(Default)]
    Root {
        /// Where it is.
        path: PathBuf = "path",
        /// Whether it is mounted read-only.
        readonly: Option<bool> = "readonly",
    }
}

/// Paths below `/proc` over which something may be mounted, such as lxcfs does: none of them redirects what a
/// runtime writes (the list of runc and containerd; CVE-2019-16884, CVE-2025-52881).
pub const MOUNTABLE_BELOW_PROC: [&str; 10] = [
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

object! {
    /// One mount.
    #[derive(Default)]
    Mount {
        /// Where in the container.
        destination: PathBuf = "destination",
        /// The file system's type.
        kind: Option<String> = "type",
        /// A device, a path of the host, or a name.
        source: Option<PathBuf> = "source",
        /// Words as in fstab(5).
        options: Option<Vec<String>> = "options",
        /// How user ids of the source appear in it.
        uid_mappings: Option<Vec<LinuxIdMapping>> = "uidMappings",
        /// As `uid_mappings`, for groups.
        gid_mappings: Option<Vec<LinuxIdMapping>> = "gidMappings",
    }
}

object! {
    /// The hooks of each point in a container's life.
    #[derive(Default)]
    Hooks {
        /// As `create_runtime`; deprecated by the specification.
        prestart: Option<Vec<Hook>> = "prestart",
        /// In the host's namespaces, once the container's exist.
        create_runtime: Option<Vec<Hook>> = "createRuntime",
        /// In the container's namespaces, before its root is entered.
        create_container: Option<Vec<Hook>> = "createContainer",
        /// In the container, before its program.
        start_container: Option<Vec<Hook>> = "startContainer",
        /// In the host's namespaces, once the program runs.
        poststart: Option<Vec<Hook>> = "poststart",
        /// In the host's namespaces, once the container is gone.
        poststop: Option<Vec<Hook>> = "poststop",
    }
}

object! {
    /// One program.
    #[derive(Default)]
    Hook {
        /// The program.
        path: PathBuf = "path",
        /// Its arguments, its name included.
        args: Option<Vec<String>> = "args",
        /// Its environment.
        env: Option<Vec<String>> = "env",
        /// After how many seconds it is killed.
        timeout: Option<i64> = "timeout",
    }
}

/// A property that is there, and that no runtime of berth's honours: its content is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present;

impl Serialize for Present {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_content| Self)
    }
}
