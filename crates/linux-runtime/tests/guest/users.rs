//! Guests with users of their own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};

use berth_contract::oci::{LinuxNamespaceType, PosixRlimit, PosixRlimitType, Spec};
use berth_contract::{Class, Exit, Guest, Runtime as _};

use crate::support::{self, Bench};

const FIRST: u32 = 100_000;
const KINDS: [(LinuxNamespaceType, &str); 4] = [
    (LinuxNamespaceType::User, "user"),
    (LinuxNamespaceType::Pid, "pid"),
    (LinuxNamespaceType::Network, "net"),
    (LinuxNamespaceType::Ipc, "ipc"),
];

/// Leaves a namespace of the spec to the host.
fn share(spec: &mut Spec, kind: LinuxNamespaceType) {
    support::linux(spec, |linux| {
        let namespaces = linux.namespaces.as_mut().unwrap();
        namespaces.retain(|namespace| namespace.kind != kind);
    });
}

fn sleeper(bench: &Bench) -> (Box<dyn Guest>, Spec) {
    let mut spec = bench.spec(&["sleep", "100"]);
    support::map_users(&mut spec, FIRST, 65_536);
    let mut guest = bench.runtime().create(&spec, bench.slot().slot).unwrap();
    guest.start().unwrap();
    (guest, spec)
}

#[test]
fn privileged_a_user_namespace_has_its_own_root() {
    let Some(bench) = Bench::new("users") else {
        return;
    };
    let script = "id -u; cat /proc/self/uid_map; stat -c %u /bin/busybox; \
        touch /made; echo > /dev/null; echo again > /dev/stdout; mount -t tmpfs x /tmp 2>/dev/null || echo no; \
        ls -A /dev/mqueue /sys/fs/cgroup >/dev/null && echo seen";
    let mut spec = bench.spec(&["sh", "-c", script]);
    support::map_users(&mut spec, FIRST, 65_536);
    let outcome = bench.run_spec(spec);
    let words: Vec<&str> = outcome.stdout.split_whitespace().collect();
    assert_eq!(
        words,
        ["0", "0", "100000", "65536", "0", "again", "no", "seen"],
        "{outcome:?}"
    );
    let made = fs::metadata(bench.upper().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (FIRST, FIRST));
    let layer = fs::metadata(bench.layer().join("bin/busybox")).unwrap();
    assert_eq!(layer.uid(), 0, "layers are never given away");
}

#[test]
fn privileged_ordinary_users_of_a_user_namespace_have_their_streams() {
    let Some(bench) = Bench::new("users-streams") else {
        return;
    };
    let mut spec = bench.spec(&[
        "sh",
        "-c",
        "echo out > /dev/stdout; echo err > /dev/stderr; id -u",
    ]);
    support::map_users(&mut spec, FIRST, 65_536);
    support::process(&mut spec, |process| {
        process.user.uid = 33;
        process.user.gid = 34;
    });
    let outcome = bench.run_spec(spec);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("out\n33\n", "err\n")
    );
}

#[test]
fn privileged_exec_and_others_join_a_user_namespace() {
    let Some(bench) = Bench::new("users-exec") else {
        return;
    };
    let (mut first, spec) = sleeper(&bench);
    let process = support::exec_process(&spec, &["sh", "-c", "id -u; touch /second"], "");
    let outcome = support::exec(first.as_mut(), &process).unwrap();
    assert_eq!(outcome.stdout, "0\n", "{outcome:?}");
    let made = fs::metadata(bench.upper().join("second")).unwrap();
    assert_eq!(made.uid(), FIRST);
    let process = support::exec_process(&spec, &["sh", "-c", "echo hi > /dev/stdout"], "web");
    let outcome = support::exec(first.as_mut(), &process).unwrap();
    assert_eq!(outcome.stdout, "hi\n", "{outcome:?}");

    let other = bench.another("users-join");
    let script = "readlink /proc/self/ns/user; cat /proc/1/comm; touch /third";
    let mut spec = bench.spec(&["sh", "-c", script]);
    support::map_users(&mut spec, FIRST, 65_536);
    support::join(&mut spec, first.pid(), &KINDS);
    let outcome = other.run_spec(spec);
    let users = fs::read_link(format!("/proc/{}/ns/user", first.pid())).unwrap();
    assert_eq!(
        outcome.stdout,
        format!("{}\nsleep\n", users.display()),
        "{outcome:?}"
    );
    let made = fs::metadata(other.upper().join("third")).unwrap();
    assert_eq!(made.uid(), FIRST);

    let mut spec = bench.spec(&["sh", "-c", "ls /sys/class/net; ls -A /dev/mqueue; id -u"]);
    support::map_users(&mut spec, 300_000, 10);
    support::join(&mut spec, first.pid(), &KINDS[2..]);
    let outcome = bench.another("users-other").run_spec(spec);
    assert_eq!(outcome.stdout, "lo\n0\n", "{outcome:?}");
    first.destroy().unwrap();
}

#[test]
fn privileged_users_of_its_own_and_namespaces_of_the_host() {
    let Some(bench) = Bench::new("users-host") else {
        return;
    };
    let script = "[ -d /proc/$PPID ] && [ -e /sys/class/net/lo ] && ls /dev/mqueue && echo seen; \
        echo > /sys/kernel/uevent_helper; echo > /proc/sys/kernel/core_pattern";
    let mut spec = bench.spec(&["sh", "-c", script]);
    support::map_users(&mut spec, FIRST, 65_536);
    for kind in [
        LinuxNamespaceType::Network,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
    ] {
        share(&mut spec, kind);
    }
    let outcome = bench.run_spec(spec);
    assert!(outcome.stdout.contains("seen"), "{outcome:?}");
    assert_ne!(outcome.exit, Exit::Code { code: 0 });
}

#[test]
fn privileged_limits_hold_for_users_of_their_own() {
    let Some(bench) = Bench::new("users-limits") else {
        return;
    };
    let hard = berth_sys::process::limit(7).unwrap().hard;
    let limit = PosixRlimit {
        kind: PosixRlimitType::Nofile,
        soft: 100,
        hard,
    };
    let mut spec = bench.spec(&["sh", "-c", "ulimit -n; cat /proc/self/oom_score_adj"]);
    support::map_users(&mut spec, FIRST, 65_536);
    support::process(&mut spec, |process| {
        process.rlimits = Some(vec![limit]);
        process.oom_score_adj = Some(7);
    });
    assert_eq!(bench.run_spec(spec).stdout, "100\n7\n");
}

/// A mount of a directory that belongs to 1000, with these lines of an id map.
fn mapped(bench: &Bench, spec: &mut Spec, lines: &[(u32, u32, u32)]) {
    let source = bench.scratch().join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("theirs"), "").unwrap();
    for path in [source.clone(), source.join("theirs")] {
        chown(path, Some(1000), Some(1000)).unwrap();
    }
    support::add_mount(
        spec,
        "/source",
        "bind",
        source.to_str().unwrap(),
        &["rbind", "idmap"],
    );
    if !lines.is_empty() {
        support::map_mount(spec, lines);
    }
}

#[test]
fn privileged_mounts_show_other_owners() {
    let Some(bench) = Bench::new("users-mounts") else {
        return;
    };
    let script = "stat -c %u /source/theirs; touch /source/ours";
    let mut spec = bench.spec(&["sh", "-c", script]);
    mapped(&bench, &mut spec, &[(1000, 0, 1)]);
    assert_eq!(bench.run_spec(spec).stdout, "0\n");
    let ours = bench.scratch().join("source/ours");
    assert_eq!(fs::metadata(&ours).unwrap().uid(), 1000);

    let mut spec = bench.spec(&["sh", "-c", script]);
    support::map_users(&mut spec, FIRST, 65_536);
    mapped(&bench, &mut spec, &[]);
    fs::remove_file(&ours).unwrap();
    assert_eq!(bench.run_spec(spec).stdout, "1000\n");
    assert_eq!(fs::metadata(&ours).unwrap().uid(), 0);

    let mut spec = bench.spec(&["true"]);
    mapped(&bench, &mut spec, &[]);
    assert_eq!(bench.fails(spec).class, Class::Invalid, "nothing says how");
    let mut spec = bench.spec(&["true"]);
    support::add_mount(&mut spec, "/x", "bind", "/proc/fs", &["bind", "idmap"]);
    support::map_mount(&mut spec, &[(0, 0, 10)]);
    let report = bench.fails(spec);
    assert_eq!(report.class, Class::Unsupported);
    assert!(report.line().contains("on proc"), "{report:?}");
}
