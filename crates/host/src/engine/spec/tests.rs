//! Whole specs out of whole requests.

use super::*;
use crate::engine::mount::Material;

const ID: &str = "abababababababababababababababababababababababababababababababab";

fn built(config: ContainerConfig, host: HostConfig, mounts: &[Planned]) -> Result<Built> {
    let config = ContainerConfig {
        cmd: config.cmd.or_else(|| Some(vec!["true".into()])),
        ..config
    };
    let namespaces = Namespaces::parse(&host)?;
    let id = ID.parse().unwrap();
    let identity = Identity {
        uid: 0,
        gid: 0,
        groups: vec![0],
        home: "/root".into(),
    };
    let files = EtcFiles {
        hosts: "/c/hosts".into(),
        hostname: "/c/hostname".into(),
        resolv_conf: "/c/resolv.conf".into(),
    };
    build(&Inputs {
        id: &id,
        config: &config,
        host: &host,
        hostname: "box",
        identity: &identity,
        namespaces: &namespaces,
        maps: None,
        mounts,
        files: &files,
        shared_memory: None,
        root: Path::new("rootfs"),
        capacity: &Capacity {
            cpus: 2,
            swap: true,
        },
        modules: || Modules {
            apparmor: false,
            selinux: false,
        },
    })
}

fn spec(host: HostConfig) -> Spec {
    built(ContainerConfig::default(), host, &[]).unwrap().spec
}

fn planned(destination: &str, options: &[&str]) -> Planned {
    Planned {
        destination: destination.into(),
        material: Material::Path("/src".into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ownership: crate::engine::ownership::Ownership::default(),
        mapping: None,
        point: None,
    }
}

fn destinations(spec: &Spec) -> Vec<String> {
    spec.mounts
        .iter()
        .flatten()
        .map(|mount| mount.destination.display().to_string())
        .collect()
}

#[test]
fn the_default_container_is_confined() {
    let spec = spec(HostConfig::default());
    let process = spec.process.as_ref().unwrap();
    let linux = spec.linux.as_ref().unwrap();
    assert_eq!(process.no_new_privileges, Some(true));
    assert_eq!(
        process
            .capabilities
            .as_ref()
            .unwrap()
            .bounding
            .as_ref()
            .unwrap()
            .len(),
        14
    );
    assert!(linux.seccomp.is_some());
    assert_eq!(
        linux.masked_paths.as_ref().unwrap(),
        &defaults::masked_paths()
    );
    assert_eq!(
        linux.readonly_paths.as_ref().unwrap(),
        &defaults::read_only_paths()
    );
    assert_eq!(
        linux.cgroups_path.as_deref(),
        Some(Path::new(&format!("/berth/{ID}")))
    );
    assert_eq!(spec.hostname.as_deref(), Some("box"));
    assert_eq!(spec.root.as_ref().unwrap().readonly, Some(false));
}

#[test]
fn privileged_is_open() {
    let spec = spec(HostConfig {
        privileged: true,
        ..HostConfig::default()
    });
    let linux = spec.linux.as_ref().unwrap();
    assert!(linux.seccomp.is_none());
    assert!(linux.masked_paths.as_ref().unwrap().is_empty());
    let sys = spec
        .mounts
        .iter()
        .flatten()
        .find(|mount| mount.destination == Path::new("/sys"));
    assert!(
        !sys.unwrap()
            .options
            .as_ref()
            .unwrap()
            .contains(&"ro".to_owned())
    );
}

#[test]
fn mounts_are_ordered_and_replace_the_default_ones() {
    let list = [
        planned("/a/b", &[]),
        planned("/a", &[]),
        planned("/etc/hosts", &[]),
        planned("/dev/shm", &[]),
    ];
    let made = built(ContainerConfig::default(), HostConfig::default(), &list)
        .unwrap()
        .spec;
    let places = destinations(&made);
    let at = |place: &str| places.iter().position(|found| found == place).unwrap();
    assert!(at("/a") < at("/a/b"));
    assert_eq!(
        places.iter().filter(|place| *place == "/dev/shm").count(),
        1
    );
    assert_eq!(
        places.iter().filter(|place| *place == "/etc/hosts").count(),
        1
    );
    assert_eq!(places[0], "/proc");
    assert_eq!(made.linux.as_ref().unwrap().rootfs_propagation, None);
    let shared = [planned("/a", &["rbind", "rshared"])];
    let made = built(ContainerConfig::default(), HostConfig::default(), &shared)
        .unwrap()
        .spec;
    assert_eq!(
        made.linux.as_ref().unwrap().rootfs_propagation.as_deref(),
        Some("rshared")
    );
}

#[test]
fn host_modes_share_the_hosts_things() {
    let made = spec(HostConfig {
        ipc_mode: "host".into(),
        uts_mode: "host".into(),
        network_mode: "host".into(),
        ..HostConfig::default()
    });
    assert_eq!(made.hostname, None);
    let shm = made
        .mounts
        .iter()
        .flatten()
        .find(|m| m.destination == Path::new("/dev/shm"));
    assert_eq!(shm.unwrap().source.as_deref(), Some(Path::new("/dev/shm")));
    let none = spec(HostConfig {
        ipc_mode: "none".into(),
        ..HostConfig::default()
    });
    assert!(!destinations(&none).contains(&"/dev/shm".to_owned()));
}

#[test]
fn what_cannot_be_is_refused() {
    let bad: [fn(&mut HostConfig); 7] = [
        |h| h.oom_score_adj = 1001,
        |h| h.cgroup_parent = "/a/../..".into(),
        |h| drop(h.sysctls.insert("kernel.core_pattern".into(), "|x".into())),
        |h| h.security_opt = vec!["x".into()],
        |h| h.cap_add = vec!["x".into()],
        |h| h.userns_mode = "keep-id".into(),
        |h| h.device_requests = vec![crate::api::types::DeviceRequest::default()],
    ];
    for change in bad {
        let mut host = HostConfig::default();
        change(&mut host);
        assert!(
            built(ContainerConfig::default(), host.clone(), &[]).is_err(),
            "{host:?}"
        );
    }
    let sysctl = |network: &str| {
        let sysctls = [("net.ipv4.ip_forward".to_owned(), "1".to_owned())]
            .into_iter()
            .collect();
        let host = HostConfig {
            sysctls,
            network_mode: network.into(),
            ..HostConfig::default()
        };
        built(ContainerConfig::default(), host, &[])
    };
    assert!(sysctl("bridge").is_ok());
    assert!(sysctl("host").is_err());
}

#[test]
fn the_spec_survives_being_written() {
    let made = spec(HostConfig {
        init: Some(true),
        memory: 64 << 20,
        ..HostConfig::default()
    });
    let text = serde_json::to_string(&made).unwrap();
    let back: Spec = serde_json::from_str(&text).unwrap();
    assert_eq!(back, made);
    // Other tools read it as well, and lose nothing of it.
    let standard: oci_spec::runtime::Spec = serde_json::from_str(&text).unwrap();
    let back: Spec = serde_json::from_value(serde_json::json!(standard)).unwrap();
    assert_eq!(back, made);
    assert_eq!(back.annotations.as_ref().unwrap()["berth.init"], "true");
}

#[test]
fn paths_are_cleaned_as_text() {
    for (text, expected) in [
        ("/a/b", "/a/b"),
        ("a", "/a"),
        ("/a/./b//c/", "/a/b/c"),
        ("/../../etc", "/etc"),
        ("/a/../..", "/"),
    ] {
        assert_eq!(clean(text), Path::new(expected), "{text}");
    }
}
