//! Capabilities, in the order of their numbers (`linux/capability.h`).

use std::collections::BTreeSet;

use super::object::object;
use super::word::words;

words! {
    /// One capability; its discriminant is its number.
    Capability {
        Chown = "CAP_CHOWN",
        DacOverride = "CAP_DAC_OVERRIDE",
        DacReadSearch = "CAP_DAC_READ_SEARCH",
        Fowner = "CAP_FOWNER",
        Fsetid = "CAP_FSETID",
        Kill = "CAP_KILL",
        Setgid = "CAP_SETGID",
        Setuid = "CAP_SETUID",
        Setpcap = "CAP_SETPCAP",
        LinuxImmutable = "CAP_LINUX_IMMUTABLE",
        NetBindService = "CAP_NET_BIND_SERVICE",
        NetBroadcast = "CAP_NET_BROADCAST",
        NetAdmin = "CAP_NET_ADMIN",
        NetRaw = "CAP_NET_RAW",
        IpcLock = "CAP_IPC_LOCK",
        IpcOwner = "CAP_IPC_OWNER",
        SysModule = "CAP_SYS_MODULE",
        SysRawio = "CAP_SYS_RAWIO",
        SysChroot = "CAP_SYS_CHROOT",
        SysPtrace = "CAP_SYS_PTRACE",
        SysPacct = "CAP_SYS_PACCT",
        SysAdmin = "CAP_SYS_ADMIN",
        SysBoot = "CAP_SYS_BOOT",
        SysNice = "CAP_SYS_NICE",
        SysResource = "CAP_SYS_RESOURCE",
        SysTime = "CAP_SYS_TIME",
        SysTtyConfig = "CAP_SYS_TTY_CONFIG",
        Mknod = "CAP_MKNOD",
        Lease = "CAP_LEASE",
        AuditWrite = "CAP_AUDIT_WRITE",
        AuditControl = "CAP_AUDIT_CONTROL",
        Setfcap = "CAP_SETFCAP",
        MacOverride = "CAP_MAC_OVERRIDE",
        MacAdmin = "CAP_MAC_ADMIN",
        Syslog = "CAP_SYSLOG",
        WakeAlarm = "CAP_WAKE_ALARM",
        BlockSuspend = "CAP_BLOCK_SUSPEND",
        AuditRead = "CAP_AUDIT_READ",
        Perfmon = "CAP_PERFMON",
        Bpf = "CAP_BPF",
        CheckpointRestore = "CAP_CHECKPOINT_RESTORE",
    }
}

/// A set of capabilities.
pub type Capabilities = BTreeSet<Capability>;

object! {
    /// The five sets of a process (capabilities(7)).
    #[derive(Default)]
    LinuxCapabilities {
        /// What it and its descendants can have at most.
        bounding: Option<Capabilities> = "bounding",
        /// What the kernel checks.
        effective: Option<Capabilities> = "effective",
        /// What programs with inheritable capabilities get.
        inheritable: Option<Capabilities> = "inheritable",
        /// What it may make effective.
        permitted: Option<Capabilities> = "permitted",
        /// What any program it executes gets.
        ambient: Option<Capabilities> = "ambient",
    }
}
