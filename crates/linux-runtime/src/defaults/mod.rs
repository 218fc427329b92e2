//! What a container gets when nobody says otherwise: Docker's defaults, as data.

mod seccomp;

use std::path::PathBuf;

use berth_contract::oci::{
    Capabilities, Capability, LinuxDeviceCgroup, LinuxDeviceType, LinuxNamespace,
    LinuxNamespaceType, Mount,
};
use berth_contract::{Class, Error, Result};

pub use seccomp::seccomp;

/// The fourteen capabilities of a container.
#[must_use]
pub fn capabilities() -> Capabilities {
    [
        Capability::AuditWrite,
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fowner,
        Capability::Fsetid,
        Capability::Kill,
        Capability::Mknod,
        Capability::NetBindService,
        Capability::NetRaw,
        Capability::Setfcap,
        Capability::Setgid,
        Capability::Setpcap,
        Capability::Setuid,
        Capability::SysChroot,
    ]
    .into_iter()
    .collect()
}

/// Every capability there is, for `--privileged` and `--cap-add ALL`.
#[must_use]
pub fn all_capabilities() -> Capabilities {
    Capability::ALL.iter().copied().collect()
}

/// Paths a container can see but not read.
#[must_use]
pub fn masked_paths() -> Vec<String> {
    [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Paths a container can read but not write.
#[must_use]
pub fn read_only_paths() -> Vec<String> {
    [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The mounts of every container; `shm_size` is the size of `/dev/shm` in bytes.
#[must_use]
pub fn mounts(shm_size: u64) -> Vec<Mount> {
    let shm_size = format!("size={shm_size}");
    let safe = ["nosuid", "noexec", "nodev"];
    vec![
        mount("/proc", "proc", "proc", &safe),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["ro", "nosuid", "noexec", "nodev"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &safe),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm_size],
        ),
    ]
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: PathBuf::from(destination),
        kind: Some(kind.to_owned()),
        source: Some(PathBuf::from(source)),
        options: Some(options.iter().map(|option| (*option).to_owned()).collect()),
        ..Mount::default()
    }
}

/// The namespaces of every container: all but user and time.
#[must_use]
pub fn namespaces() -> Vec<LinuxNamespace> {
    [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Network,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Cgroup,
    ]
    .map(|kind| LinuxNamespace { kind, path: None })
    .to_vec()
}

/// The device nodes of every container: name below `/dev`, major and minor number.
pub const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The links in every container's `/dev`: name, target.
pub const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Which devices a container's processes may use: nothing but these; nodes may be made of any.
#[must_use]
pub fn devices() -> Vec<LinuxDeviceCgroup> {
    let character = LinuxDeviceType::Character;
    let mut rules = vec![
        rule(false, LinuxDeviceType::All, None, None, "rwm"),
        rule(true, character, None, None, "m"),
        rule(true, LinuxDeviceType::Block, None, None, "m"),
    ];
    for (_, major, minor) in DEVICES {
        rules.push(rule(
            true,
            character,
            Some(major.into()),
            Some(minor.into()),
            "rwm",
        ));
    }
    // /dev/console, /dev/ptmx and every pty.
    rules.push(rule(true, character, Some(5), Some(1), "rwm"));
    rules.push(rule(true, character, Some(5), Some(2), "rwm"));
    rules.push(rule(true, character, Some(136), None, "rwm"));
    rules
}

fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    LinuxDeviceCgroup {
        allow,
        kind: Some(kind),
        major,
        minor,
        access: Some(access.to_owned()),
    }
}

/// Which of its own namespaces a sysctl would be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "three independent facts")]
pub struct OwnNamespaces {
    /// The container has its own IPC namespace.
    pub ipc: bool,
    /// The container has its own network namespace.
    pub network: bool,
    /// The container has its own UTS namespace.
    pub uts: bool,
}

/// Sysctls that belong to the IPC namespace (man 7 `ipc_namespaces`).
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Checks one sysctl against the list of those that a namespace of the container owns.
///
/// Anything else would change the host. The key's syntax is checked first: CVE-2022-0811 smuggled
/// further parameters in with `+` and `=`.
///
/// # Errors
/// The key is malformed, not namespaced, or its namespace is shared with the host.
pub fn check_sysctl(key: &str, value: &str, own: OwnNamespaces) -> Result<()> {
    let invalid = |why: &str| {
        Err(
            Error::new(Class::Invalid, format!("cannot set the sysctl {key:?}"))
                .caused_by(why.to_owned()),
        )
    };
    let well_formed = key.split(['.', '/']).all(|part| {
        !part.is_empty()
            && part != ".."
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':'))
    });
    if !well_formed {
        return invalid("it is not the name of a sysctl");
    }
    if value.contains(['\n', '\0']) {
        return invalid("its value has a line end or a NUL in it");
    }
    let dotted = key.replace('/', ".");
    let (owned, word) = if dotted.starts_with("net.") {
        (own.network, "network")
    } else if IPC_SYSCTLS.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        (own.ipc, "IPC")
    } else if dotted == "kernel.domainname" {
        (own.uts, "UTS")
    } else if dotted == "kernel.hostname" {
        return Err(
            Error::new(Class::Invalid, "cannot set the sysctl kernel.hostname")
                .hint("use --hostname"),
        );
    } else {
        return Err(
            Error::new(Class::Invalid, format!("cannot set the sysctl {key}"))
                .caused_by("it belongs to the whole host, not to a container"),
        );
    };
    if owned {
        return Ok(());
    }
    Err(
        Error::new(Class::Invalid, format!("cannot set the sysctl {key}"))
            .caused_by(format!("the container shares the host's {word} namespace")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: OwnNamespaces = OwnNamespaces {
        ipc: true,
        network: true,
        uts: true,
    };

    #[test]
    fn sysctls_are_allowed_by_namespace() {
        for key in [
            "net.ipv4.ip_forward",
            "net/ipv4/conf/eth0/forwarding",
            "kernel.msgmax",
            "fs.mqueue.msg_max",
        ] {
            assert!(check_sysctl(key, "1", ALL).is_ok(), "{key}");
        }
        let none = OwnNamespaces {
            ipc: false,
            network: false,
            uts: false,
        };
        assert!(check_sysctl("net.ipv4.ip_forward", "1", none).is_err());
        assert!(check_sysctl("kernel.sem", "1", none).is_err());
        for key in [
            "kernel.core_pattern",
            "kernel.sysrq",
            "vm.swappiness",
            "",
            "net..x",
            "net.a+b=c",
            "net/../kernel/sysrq",
        ] {
            assert!(check_sysctl(key, "1", ALL).is_err(), "{key}");
        }
        assert!(check_sysctl("net.ipv4.ip_forward", "1\n2", ALL).is_err());
    }

    #[test]
    fn fourteen_capabilities() {
        assert_eq!(capabilities().len(), 14);
        assert_eq!(all_capabilities().len(), 41);
    }
}
