//! `--security-opt`, `--device-cgroup-rule` and `--ipc shareable`: what lets a container do more, or less.

use berth_testkit::{Sandbox, Screen, skip};

fn run(sandbox: &Sandbox, flags: &[&str], script: &str) -> Screen {
    let words = ["run", "--rm", "--network", "none"];
    sandbox.berth(&[&words[..], flags, &["busybox", "sh", "-c", script]].concat())
}

#[test]
fn system_paths_are_open_when_asked() {
    let sandbox = Sandbox::with_busybox();
    let script =
        "grep -c ' /proc/' /proc/self/mountinfo; echo own > /proc/sys/kernel/hostname && hostname";
    let open = ["--security-opt", "systempaths=unconfined"];
    assert_eq!(run(&sandbox, &open, script).stdout, "0\nown\n");
    let closed = run(&sandbox, &[], script);
    assert!(!closed.stdout.starts_with("0\n"), "{closed}");
    assert!(closed.stderr.contains("Read-only file system"), "{closed}");
}

#[test]
fn cgroups_are_writable_when_asked() {
    let sandbox = Sandbox::with_busybox();
    let script = "cd /sys/fs/cgroup; [ -d pids ] && cd pids; \
                  mkdir inner && echo $$ > inner/cgroup.procs && echo moved";
    let writable = ["--security-opt", "writable-cgroups"];
    let moved = run(&sandbox, &writable, script);
    assert_eq!(moved.success(), "moved");
    let refused = run(&sandbox, &[], script);
    assert!(
        refused.stderr.contains("Read-only file system"),
        "{refused}"
    );
}

#[test]
fn cgroups_are_given_to_users_of_the_containers_own() {
    let test = "cgroups_are_given_to_users_of_the_containers_own";
    let place = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let is_cgroup2 = |place: &&&str| std::path::Path::new(place).join("cgroup.procs").exists();
    let Some(place) = place.iter().find(is_cgroup2) else {
        return skip(test, "this host has no cgroup2");
    };
    let sandbox = Sandbox::with_busybox();
    let flags = ["--userns", "auto", "--security-opt", "writable-cgroups"];
    let script = format!(
        "cd {place}; mkdir inner && echo 1 > inner/cgroup.procs; grep ^0: /proc/1/cgroup; \
         echo 0 > cgroup.max.depth"
    );
    let moved = run(&sandbox, &flags, &script);
    assert_eq!(moved.stdout, "0::/inner\n", "{moved}");
    assert!(
        moved.stderr.contains("Permission denied"),
        "limits are the host's: {moved}"
    );
}

#[test]
fn a_seccomp_profile_is_obeyed() {
    let sandbox = Sandbox::with_busybox();
    let file = sandbox.path().join("profile.json");
    let profile = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18 }],
    });
    std::fs::write(&file, profile.to_string()).unwrap();
    let option = format!("seccomp={}", file.display());
    let refused = run(&sandbox, &["--security-opt", &option], "mkdir /tmp/x");
    assert!(
        refused.stderr.contains("Invalid cross-device link"),
        "{refused}"
    );
    std::fs::write(&file, "{").unwrap();
    let damaged = run(&sandbox, &["--security-opt", &option], "true");
    assert_eq!(damaged.status, 125, "{damaged}");
}

#[test]
fn devices_are_opened_by_rules() {
    let sandbox = Sandbox::with_busybox();
    let script = "mknod /tmp/tun c 10 200 && : < /tmp/tun";
    let refused = run(&sandbox, &[], script);
    assert!(
        refused.stderr.contains("Operation not permitted"),
        "{refused}"
    );
    let rule = ["--device-cgroup-rule", "c 10:200 rwm"];
    let opened = run(&sandbox, &rule, script);
    // A kernel without the driver has no such device, which only those hear who may open it.
    assert!(!opened.stderr.contains("not permitted"), "{opened}");
}

#[test]
fn shared_memory_that_others_join_has_its_size() {
    let sandbox = Sandbox::with_busybox();
    let flags =
        "run -d --name owner --network none --ipc shareable --shm-size 1m busybox sleep 1000";
    let flags: Vec<&str> = flags.split(' ').collect();
    sandbox.berth(&flags).success();
    let other = ["--ipc", "container:owner"];
    let filled = run(
        &sandbox,
        &other,
        "dd if=/dev/zero of=/dev/shm/file bs=64k count=32",
    );
    assert!(
        filled.stderr.contains("No space left on device"),
        "{filled}"
    );
    let size = ["exec", "owner", "stat", "-c", "%s %a", "/dev/shm/file"];
    assert_eq!(sandbox.berth(&size).success(), "1048576 644");
    let options = ["exec", "owner", "grep", " /dev/shm ", "/proc/self/mounts"];
    let options = sandbox.berth(&options).success();
    for option in ["nosuid", "nodev", "noexec", "size=1024k"] {
        assert!(options.contains(option), "{option}: {options}");
    }
    // It is there as long as its owner runs.
    sandbox.berth(&["restart", "-t", "0", "owner"]).success();
    let gone = sandbox.berth(&["exec", "owner", "ls", "/dev/shm"]);
    assert_eq!(gone.success(), "");
    sandbox.berth(&["rm", "-f", "owner"]).success();
    sandbox.assert_nothing_left();
}
