//! What only Linux has: namespaces, devices, and what the kernel is told about the container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::object::object;
use super::word::words;
use super::{LinuxResources, LinuxSeccomp, Present};

object! {
    /// Everything about the container that only Linux has.
    #[derive(Default)]
    Linux {
        /// Network devices of the host that move into the container.
        net_devices: Option<BTreeMap<String, Present>> = "netDevices",
        /// The users of a new user namespace.
        uid_mappings: Option<Vec<LinuxIdMapping>> = "uidMappings",
        /// Its groups.
        gid_mappings: Option<Vec<LinuxIdMapping>> = "gidMappings",
        /// Settings of the kernel.
        sysctl: Option<BTreeMap<String, String>> = "sysctl",
        /// What it may use.
        resources: Option<LinuxResources> = "resources",
        /// Its cgroup.
        cgroups_path: Option<PathBuf> = "cgroupsPath",
        /// Its namespaces, new or joined; all others are the host's.
        namespaces: Option<Vec<LinuxNamespace>> = "namespaces",
        /// Nodes in `/dev` beside the default ones.
        devices: Option<Vec<LinuxDevice>> = "devices",
        /// Which system calls it may make.
        seccomp: Option<LinuxSeccomp> = "seccomp",
        /// Where mounts beneath its root appear.
        rootfs_propagation: Option<String> = "rootfsPropagation",
        /// Paths that cannot be read.
        masked_paths: Option<Vec<String>> = "maskedPaths",
        /// Paths that cannot be written.
        readonly_paths: Option<Vec<String>> = "readonlyPaths",
        /// The `SELinux` label of its mounts.
        mount_label: Option<String> = "mountLabel",
        /// Its share of caches and memory bandwidth.
        intel_rdt: Option<Present> = "intelRdt",
        /// The memory nodes it prefers.
        memory_policy: Option<Present> = "memoryPolicy",
        /// Its execution domain.
        personality: Option<LinuxPersonality> = "personality",
        /// What its clocks show more than the host's, by clock.
        time_offsets: Option<BTreeMap<String, LinuxTimeOffset>> = "timeOffsets",
    }
}

object! {
    /// A range of ids inside and outside a user namespace.
    #[derive(Copy, Default)]
    LinuxIdMapping {
        /// The first outside.
        host_id: u32 = "hostID",
        /// The first inside.
        container_id: u32 = "containerID",
        /// How many.
        size: u32 = "size",
    }
}

object! {
    /// A namespace.
    LinuxNamespace {
        /// Of what.
        kind: LinuxNamespaceType = "type",
        /// The one that is joined; without it, one is made.
        path: Option<PathBuf> = "path",
    }
}

words! {
    /// Kinds of namespaces (namespaces(7)).
    LinuxNamespaceType {
        Mount = "mount",
        Cgroup = "cgroup",
        Uts = "uts",
        Ipc = "ipc",
        User = "user",
        Pid = "pid",
        Network = "network",
        Time = "time",
    }
}

object! {
    /// A device node.
    LinuxDevice {
        /// Where it is made.
        path: PathBuf = "path",
        /// What it is.
        kind: LinuxDeviceType = "type",
        /// The driver.
        major: i64 = "major",
        /// The driver's device.
        minor: i64 = "minor",
        /// Its mode bits.
        file_mode: Option<u32> = "fileMode",
        /// Its owner.
        uid: Option<u32> = "uid",
        /// Its group.
        gid: Option<u32> = "gid",
    }
}

words! {
    /// Kinds of devices.
    LinuxDeviceType {
        All = "a",
        Block = "b",
        Character = "c",
        Unbuffered = "u",
        Fifo = "p",
    }
}

object! {
    /// An execution domain (personality(2)).
    LinuxPersonality {
        /// The domain.
        domain: LinuxPersonalityDomain = "domain",
        /// Flags; the specification has none yet.
        flags: Option<Vec<String>> = "flags",
    }
}

words! {
    /// Execution domains.
    LinuxPersonalityDomain {
        Linux = "LINUX",
        Linux32 = "LINUX32",
    }
}

object! {
    /// What a clock of a time namespace shows more than the host's (`time_namespaces(7)`).
    #[derive(Copy, Default)]
    LinuxTimeOffset {
        /// Seconds.
        secs: Option<i64> = "secs",
        /// Nanoseconds.
        nanosecs: Option<u32> = "nanosecs",
    }
}
