//! berth's runtime-spec and oci-spec's read and write the same documents.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use berth_contract::oci::{Capability, Present, Spec};
use oci_spec::runtime as standard;
use serde_json::{Value, json};

/// Every property that berth keeps, and one that nobody knows.
fn whole() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "unheardOf": {"deep": [1, 2.5, null]},
        "process": process(),
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "box",
        "domainname": "example",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec"]},
            {"destination": "/data", "source": "/srv", "options": ["rbind", "idmap"],
                "uidMappings": [{"hostID": 1000, "containerID": 0, "size": 10}],
                "gidMappings": [{"hostID": 1000, "containerID": 0, "size": 10}]}
        ],
        "hooks": {
            "prestart": [{"path": "/a", "args": ["a", "b"], "env": ["K=V"], "timeout": 5}],
            "createRuntime": [{"path": "/b"}], "createContainer": [{"path": "/c"}],
            "startContainer": [{"path": "/d"}], "poststart": [{"path": "/e"}], "poststop": [{"path": "/f"}]
        },
        "annotations": {"com.example.key": "value"},
        "linux": linux()
    })
}

fn process() -> Value {
    json!({
        "terminal": true,
        "consoleSize": {"height": 24, "width": 80},
        "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [5, 6], "username": "web"},
        "args": ["sh", "-c", "echo \u{2603}\u{0}\n"],
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/srv",
        "capabilities": {
            "bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": [],
            "permitted": ["CAP_KILL"], "ambient": ["CAP_NET_BIND_SERVICE"]
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": u64::MAX, "soft": 1024}],
        "noNewPrivileges": true,
        "apparmorProfile": "some",
        "oomScoreAdj": -500,
        "selinuxLabel": "system_u:system_r:container_t:s0",
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4},
        "scheduler": {"policy": "SCHED_DEADLINE", "nice": -5, "priority": 0, "runtime": 1, "deadline": 2,
            "period": 3, "flags": ["SCHED_FLAG_KEEP_PARAMS"]}
    })
}

fn linux() -> Value {
    json!({
        "uidMappings": [{"hostID": 1000, "containerID": 0, "size": 32000}],
        "gidMappings": [{"hostID": 1000, "containerID": 0, "size": 32000}],
        "sysctl": {"net.core.somaxconn": "256"},
        "cgroupsPath": "/berth/one",
        "namespaces": [
            {"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}, {"type": "ipc"},
            {"type": "uts"}, {"type": "mount"}, {"type": "user"}, {"type": "cgroup"}, {"type": "time"}
        ],
        "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229,
            "fileMode": 438, "uid": 0, "gid": 0}],
        "rootfsPropagation": "rslave",
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "some",
        "personality": {"domain": "LINUX32", "flags": []},
        "timeOffsets": {"boottime": {"secs": -7, "nanosecs": 5}},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS64N32"],
            "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls": [{"names": ["clone", "read"], "action": "SCMP_ACT_KILL_PROCESS", "errnoRet": 1,
                "args": [{"index": 1, "value": 2_080_505_856_u64, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}]
        },
        "resources": resources()
    })
}

fn resources() -> Value {
    let throttle = json!([{"major": 8, "minor": 16, "rate": 300}]);
    json!({
        "devices": [{"allow": false, "access": "rwm"},
            {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "r"}],
        "memory": {"limit": 1, "reservation": 2, "swap": -1, "kernel": 3, "kernelTCP": 4, "swappiness": 5,
            "disableOOMKiller": true, "useHierarchy": false, "checkBeforeUpdate": true},
        "cpu": {"shares": 1, "quota": -1, "burst": 2, "period": 3, "realtimeRuntime": 4, "realtimePeriod": 5,
            "cpus": "0-1", "mems": "0", "idle": 1},
        "pids": {"limit": 100},
        "blockIO": {"weight": 10, "leafWeight": 20,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
            "throttleReadBpsDevice": throttle, "throttleWriteBpsDevice": throttle,
            "throttleReadIOPSDevice": throttle, "throttleWriteIOPSDevice": throttle},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 100}],
        "network": {"classID": 1_048_577, "priorities": [{"name": "eth0", "priority": 500}]},
        "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10_000}},
        "unified": {"memory.high": "1000"}
    })
}

fn read<T: serde::de::DeserializeOwned>(document: &Value) -> T {
    serde_json::from_str(&document.to_string()).unwrap()
}

/// The specification's sets have no order.
fn sorted(mut document: Value) -> Value {
    if let Some(sets) = document.pointer_mut("/process/capabilities") {
        for set in sets.as_object_mut().unwrap().values_mut() {
            set.as_array_mut().unwrap().sort_by_key(Value::to_string);
        }
    }
    document
}

#[test]
fn nothing_that_berth_keeps_is_changed() {
    let mut expected = whole();
    let spec: Spec = read(&expected);
    expected.as_object_mut().unwrap().remove("unheardOf");
    assert_eq!(sorted(json!(spec)), sorted(expected));
}

#[test]
fn oci_spec_writes_what_berth_reads_and_the_other_way_round() {
    let theirs: standard::Spec = read(&whole());
    let ours: Spec = read(&json!(theirs));
    assert_eq!(ours, read(&whole()));
    let again: standard::Spec = read(&json!(ours));
    assert_eq!(sorted(json!(again)), sorted(json!(theirs)));
}

#[test]
fn the_examples_of_oci_spec_are_read() {
    for theirs in [
        standard::Spec::default(),
        standard::Spec::rootless(1000, 1000),
    ] {
        let ours: Spec = read(&json!(theirs));
        let again: standard::Spec = read(&json!(ours));
        assert_eq!(sorted(json!(again)), sorted(json!(theirs)));
    }
}

#[test]
fn every_capability_is_the_same_word() {
    for capability in Capability::ALL {
        let theirs: standard::Capability = read(&json!(capability));
        assert_eq!(json!(theirs), json!(capability));
    }
    assert_eq!(Capability::ALL.len(), 41);
    assert_eq!(Capability::CheckpointRestore as u8, 40);
}

#[test]
fn what_must_be_refused_is_seen() {
    let spec: Spec = read(&json!({
        "windows": {"layerFolders": ["a"]},
        "vm": {"kernel": {"path": "/k"}},
        "process": {"cwd": "/", "execCPUAffinity": {"initial": "0-3,7", "final": "nonsense"}},
        "linux": {
            "intelRdt": {"closID": "guaranteed"}, "memoryPolicy": {"mode": "MPOL_BIND"},
            "netDevices": {"eth0": {"name": "eth1"}}, "personality": {"domain": "LINUX", "flags": ["X"]}
        }
    }));
    let linux = spec.linux.unwrap();
    let seen = [
        spec.windows,
        spec.vm,
        spec.process.unwrap().exec_cpu_affinity,
        linux.intel_rdt,
        linux.memory_policy,
        linux.net_devices.unwrap().remove("eth0"),
    ];
    assert_eq!(seen, [Some(Present); 6]);
    assert_eq!(linux.personality.unwrap().flags.unwrap(), ["X"]);
    let absent: Spec = read(&json!({"vm": null, "linux": {"intelRdt": null, "namespaces": null}}));
    assert_eq!((absent.vm, absent.linux.unwrap().intel_rdt), (None, None));
}

#[test]
fn a_word_nobody_knows_is_an_error_that_names_it() {
    for (document, word) in [
        (r#"{"linux":{"namespaces":[{"type":"WORD"}]}}"#, "mnt"),
        (
            r#"{"process":{"cwd":"/","capabilities":{"bounding":["WORD"]}}}"#,
            "CAP_FLY",
        ),
        (
            r#"{"linux":{"seccomp":{"defaultAction":"WORD"}}}"#,
            "SCMP_ACT_PONDER",
        ),
    ] {
        let text = document.replace("WORD", word);
        let error = serde_json::from_str::<Spec>(&text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
