//! What broke engines before us, as checks (numbers are advisories).

use berth_testkit::{ImageArchive, Layer, Sandbox};
use serde_json::json;

/// What a default container sees of itself.
#[test]
fn the_guest_sees_only_its_own() {
    let sandbox = Sandbox::with_busybox();
    let script = "id; hostname | wc -c; set -- /proc/[0-9]*; echo $#; ip -o link | wc -l; \
                  cat /proc/self/cgroup | grep -c -v ':/$'; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status";
    let screen = sandbox.berth(&[
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    insta::assert_snapshot!(screen, @"
    exit: 0
    --- stdout ---
    uid=0(root) gid=0(root) groups=0(root)
    13
    1
    1
    0
    CapInh:	0000000000000000
    CapPrm:	00000000a80425fb
    CapEff:	00000000a80425fb
    CapBnd:	00000000a80425fb
    CapAmb:	0000000000000000
    NoNewPrivs:	1
    Seccomp:	2
    --- stderr ---
    ");
    let user = "grep -E '^(Cap|Uid|Groups)' /proc/self/status";
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "-u",
        "guest",
        "busybox",
        "sh",
        "-c",
        user,
    ];
    insta::assert_snapshot!(sandbox.berth(&run), @"
    exit: 0
    --- stdout ---
    Uid:	1000	1000	1000	1000
    Groups:	1000 2000 
    CapInh:	0000000000000000
    CapPrm:	0000000000000000
    CapEff:	0000000000000000
    CapBnd:	00000000a80425fb
    CapAmb:	0000000000000000
    --- stderr ---
    ");
}

/// CVE-2025-52881 and older: nothing of the host's kernel can be written or read through /proc and /sys.
#[test]
fn proc_and_sys_are_masked() {
    let sandbox = Sandbox::with_busybox();
    // Not every kernel has every file; whichever there are, none can be written and none says anything.
    let script = "for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /sys/kernel/uevent_helper \
                  /proc/sys/vm/drop_caches /sys/fs/cgroup/x; do (echo 1 > $f) 2>/dev/null && echo WRITTEN $f; done; \
                  for f in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats; do \
                  [ -e $f ] && head -c 1 $f; done; ls -A /sys/firmware /proc/scsi /proc/acpi 2>/dev/null | grep -v -e : -e '^$'; \
                  (echo 1 > /proc/sys/kernel/core_pattern) 2>&1; touch /sys/fs/cgroup/x 2>&1; \
                  mount -t tmpfs x /tmp 2>&1; mknod /tmp/sda b 8 0 2>&1 && cat /tmp/sda 2>&1";
    let screen = sandbox.berth(&[
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    insta::assert_snapshot!(screen, @"
    exit: 1
    --- stdout ---
    sh: can't create /proc/sys/kernel/core_pattern: Read-only file system
    touch: /sys/fs/cgroup/x: Read-only file system
    mount: permission denied (are you root?)
    cat: can't open '/tmp/sda': Operation not permitted
    --- stderr ---
    ");
}

/// CVE-2019-5736: neither an entrypoint of `#!/proc/self/exe` nor a write to /proc/1/exe reaches the host's program.
#[test]
fn the_host_programs_cannot_be_overwritten() {
    let sandbox = Sandbox::with_busybox();
    let programs = berth_testkit::programs();
    let before: Vec<_> = ["berth", "berth-monitor", "berth-wasm"]
        .map(|name| std::fs::read(programs.join(name)).unwrap().len())
        .to_vec();
    let layer = Layer::new()
        .file("evil", 0o755, b"#!/proc/self/exe\n")
        .directory("proc/", 0o755)
        .finish();
    let config = json!({ "Entrypoint": ["/evil"] });
    sandbox.load(&ImageArchive::new(
        "evil:latest",
        ("linux", "amd64"),
        &config,
        &layer,
    ));
    assert_ne!(sandbox.berth(&["run", "--rm", "evil"]).status, 0);
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (echo > /proc/1/exe) 2>/dev/null && echo WRITTEN; done; true";
    for flags in [&["--init"][..], &[]] {
        let arguments = [&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat();
        let screen = sandbox.berth(&arguments);
        assert!(
            !screen.stdout.contains("WRITTEN") || flags.is_empty(),
            "{screen}"
        );
    }
    for (name, length) in ["berth", "berth-monitor", "berth-wasm"].iter().zip(before) {
        assert_eq!(
            std::fs::read(programs.join(name)).unwrap().len(),
            length,
            "{name} changed"
        );
    }
}

/// CVE-2024-21626: no leaked descriptor is a way out, neither as working directory nor at exec.
#[test]
fn no_descriptor_leads_out() {
    let sandbox = Sandbox::with_busybox();
    sandbox.sleeper("up");
    for number in 3..=20 {
        let directory = format!("/proc/self/fd/{number}");
        let run = sandbox.berth(&[
            "run",
            "--rm",
            "--network",
            "none",
            "-w",
            &directory,
            "busybox",
            "pwd",
        ]);
        assert!(
            run.status != 0 || run.stdout.starts_with('/') && !run.stdout.contains("unreachable"),
            "{run}"
        );
        let exec = sandbox.berth(&["exec", "-w", &directory, "up", "ls"]);
        assert!(exec.status != 0 || !exec.stdout.contains("boot"), "{exec}");
    }
    let open = sandbox.berth(&[
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "ls",
        "/proc/self/fd",
    ]);
    assert_eq!(open.success(), "0\n1\n2\n3", "3 is ls's own");
    let open = sandbox.berth(&["exec", "up", "ls", "/proc/self/fd"]);
    assert_eq!(open.success(), "0\n1\n2\n3");
}

/// CVE-2026-41579, CVE-2023-27561: /dev, /proc, /sys, /etc as links out of the image create nothing outside.
#[test]
fn links_in_place_of_mount_points_stay_inside() {
    for name in ["dev", "proc", "sys", "etc"] {
        let sandbox = Sandbox::new();
        let outside = sandbox.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let busybox = std::fs::read("/bin/busybox").unwrap();
        let layer = Layer::new()
            .file("bin/busybox", 0o755, &busybox)
            .symlink(name, &outside.display().to_string())
            .finish();
        let config = json!({ "Entrypoint": ["/bin/busybox"], "Cmd": ["true"] });
        sandbox.load(&ImageArchive::new(
            "links:latest",
            ("linux", "amd64"),
            &config,
            &layer,
        ));
        let screen = sandbox.berth(&["run", "--rm", "--network", "none", "links"]);
        let created = std::fs::read_dir(&outside).unwrap().count();
        assert_eq!(created, 0, "/{name} led outside: {screen}");
    }
}

/// CVE-2022-23648: a volume's path cannot climb out when its content is copied up.
#[test]
fn a_volume_cannot_climb_out() {
    let sandbox = Sandbox::new();
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let layer = Layer::new().file("bin/busybox", 0o755, &busybox).finish();
    let config = json!({
        "Entrypoint": ["/bin/busybox"], "Cmd": ["ls", "/etc"], "Volumes": { "/../../../../etc": {} },
    });
    sandbox.load(&ImageArchive::new(
        "climbs:latest",
        ("linux", "amd64"),
        &config,
        &layer,
    ));
    let screen = sandbox.berth(&["run", "--rm", "--network", "none", "climbs"]);
    assert!(!screen.stdout.contains("debian_version"), "{screen}");
}

/// Stores are nobody else's business (CVE-2021-41091), and sockets are files in closed directories (CVE-2020-15257).
#[test]
fn directories_are_closed() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::with_busybox();
    sandbox.sleeper("up");
    let mode =
        |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(sandbox.data()), 0o700);
    let id = sandbox.inspect("up", "{{.Id}}");
    let run = sandbox.run_directory().join(&id);
    assert_eq!(mode(run.clone()), 0o700);
    assert_eq!(mode(run.join("monitor.sock")), 0o600);
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let place = sandbox.path().display().to_string();
    assert!(
        !sockets
            .lines()
            .any(|line| line.contains('@') && line.contains(&place))
    );
}

/// CVE-2023-25809: with the host's cgroup namespace its whole tree is seen, and none of it can be written.
#[test]
fn the_hosts_cgroups_are_read_only() {
    let sandbox = Sandbox::with_busybox();
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/berth-escape 2>/dev/null && echo MADE $d; \
                  echo 1 2>/dev/null > $d/cgroup.procs && echo MOVED $d; done; \
                  grep ' /sys/fs/cgroup' /proc/self/mounts | cut -d' ' -f4 | cut -d, -f1 | sort -u";
    for flags in [
        &["--cgroupns", "host"][..],
        &["--cgroupns", "host", "--userns", "auto"],
    ] {
        let run = ["run", "--rm", "--network", "none"];
        let screen = sandbox.berth(&[&run[..], flags, &["busybox", "sh", "-c", script]].concat());
        assert_eq!(screen.success(), "ro", "{flags:?}");
    }
}

/// The null device that a guest has as a stream is the host's own: its mode and owner are out of reach.
#[test]
fn the_hosts_null_device_cannot_be_changed() {
    let sandbox = Sandbox::with_busybox();
    let script =
        "for stream in /dev/stdin /proc/self/fd/0; do chmod 666 $stream; chown 0:0 $stream; done";
    let run = sandbox.berth(&["run", "--rm", "busybox", "sh", "-c", script]);
    assert_eq!(
        run.stderr.matches("Read-only file system").count(),
        4,
        "{run}"
    );
    sandbox
        .berth(&["run", "-d", "--name", "up", "busybox", "sleep", "1000"])
        .success();
    let script = "chmod 666 /proc/self/fd/1 2>/said; echo x >/dev/stdout && echo written >>/said; echo done >>/said";
    sandbox
        .berth(&["exec", "-d", "up", "sh", "-c", script])
        .success();
    let said = "until grep -q done /said; do :; done; cat /said";
    let said = sandbox.berth(&["exec", "up", "sh", "-c", said]).success();
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.ends_with("written\ndone"), "{said}");
}

/// Our own init is behind the filter of its program: tracing it gains nothing.
#[test]
fn the_init_is_behind_the_filter() {
    let sandbox = Sandbox::with_busybox();
    let read = "grep -E '^(Seccomp|NoNewPrivs|CapEff|CapBnd):' /proc/1/status /proc/self/status | sort -t: -k2 | cut -d: -f2- | uniq -c";
    let seen = sandbox
        .berth(&["run", "--rm", "--init", "busybox", "sh", "-c", read])
        .success();
    let twice = seen
        .lines()
        .filter(|line| line.trim_start().starts_with("2 "));
    assert_eq!((seen.lines().count(), twice.count()), (4, 4), "{seen}");
    assert!(seen.contains("Seccomp:\t2"), "{seen}");
}

/// What pid 1 is called tells nothing of the host, not even those who may look into it.
#[test]
fn the_init_tells_nothing_of_the_host() {
    let sandbox = Sandbox::with_busybox();
    let script = "cat /proc/1/cmdline /proc/1/comm; tr -d 'x\\0' < /proc/1/environ | wc -c";
    for length in [1, 20, 3000] {
        let run = [
            "run",
            "--rm",
            "--init",
            "--cap-add",
            "SYS_PTRACE",
            "busybox",
        ];
        let argument = "x".repeat(length);
        let command = ["sh", "-c", script, &argument];
        let shown = sandbox.berth(&[&run[..], &command].concat()).success();
        let expected = format!("/sbin/docker-init -- sh -c {script} ");
        let shown = shown
            .strip_prefix(&expected)
            .unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(
            shown.trim_start_matches('x'),
            "\0docker-init\n0",
            "{length}"
        );
    }
}

/// Whoever may trace must not be among the processes that a new container is born between.
#[test]
fn tracers_share_their_processes_with_nobody() {
    let sandbox = Sandbox::with_busybox();
    for (name, flag) in [("tracer", "SYS_PTRACE"), ("plain", "NET_ADMIN")] {
        let run = [
            "run",
            "-d",
            "--name",
            name,
            "--cap-add",
            flag,
            "busybox",
            "sleep",
            "1000",
        ];
        sandbox.berth(&run).success();
    }
    let join = |name: &str| {
        let pid = format!("container:{name}");
        sandbox.berth(&[
            "run",
            "--rm",
            "--cap-add",
            "SYS_PTRACE",
            "--pid",
            &pid,
            "busybox",
            "true",
        ])
    };
    join("plain").success();
    insta::assert_snapshot!(join("tracer").hide_ids(), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot share the processes of container [ID]
    caused by: it has CAP_SYS_PTRACE and could look into the new one before that has a root of its own

    hint: give CAP_SYS_PTRACE to the new container instead, as a debugger needs it
    ");
}
