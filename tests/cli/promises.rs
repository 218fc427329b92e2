//! Promises that were broken elsewhere and that no other test holds (docs/tests.md lists all of them).

use berth_testkit::Sandbox;

const QUIET: [&str; 3] = ["run", "--network", "none"];

fn run(sandbox: &Sandbox, arguments: &[&str]) -> berth_testkit::Screen {
    sandbox.berth(&[&QUIET[..], arguments].concat())
}

fn up(sandbox: &Sandbox, script: &str) {
    run(
        sandbox,
        &["-d", "--name", "up", "busybox", "sh", "-c", script],
    )
    .success();
}

/// CVE-2022-29162, CVE-2022-36109: a process that joins has the groups of its user and no capability to pass on.
#[test]
fn exec_has_no_more_rights_than_run() {
    let sandbox = Sandbox::with_busybox();
    up(&sandbox, "sleep 1000");
    let show = "grep -E '^(Uid|Groups|Cap(Inh|Eff|Amb)|NoNew|Seccomp:)' /proc/self/status";
    let exec = sandbox.berth(&["exec", "-u", "guest", "up", "sh", "-c", show]);
    let started = run(
        &sandbox,
        &["--rm", "-u", "guest", "busybox", "sh", "-c", show],
    );
    assert_eq!(exec.success(), started.success());
    for line in [
        "Groups:\t1000 2000",
        "CapInh:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(exec.stdout.contains(line), "{line}: {exec}");
    }
}

/// CVE-2026-30892, CVE-2024-40635: what is no user is refused by `exec` too, and is never root.
#[test]
fn exec_takes_no_nonsense_for_a_user() {
    let sandbox = Sandbox::with_busybox();
    up(&sandbox, "sleep 1000");
    for user in ["4294967296", "2147483648", "-1", "0x0", "nobody", "0:0x0"] {
        let user = format!("--user={user}");
        let exec = sandbox.berth(&["exec", &user, "up", "id", "-u"]);
        assert!(exec.status != 0 && exec.stdout.is_empty(), "{user}: {exec}");
    }
}

/// CVE-2024-9676: a guest that replaces its `/etc/passwd` neither stops the engine nor shows it another file.
#[test]
fn a_passwd_that_is_no_file_stops_nobody() {
    let sandbox = Sandbox::with_busybox();
    let outside = sandbox.path().join("passwd");
    std::fs::write(&outside, "outsider:x:77:77::/:/bin/sh\n").unwrap();
    up(
        &sandbox,
        "rm /etc/passwd; mkfifo /etc/passwd; echo ready; sleep 1000",
    );
    sandbox.wait_for_log("up", "ready");
    let named = sandbox.berth(&["exec", "-u", "guest", "up", "true"]);
    assert_ne!(named.status, 0, "{named}");
    let link = format!("ln -sf {} /etc/passwd", outside.display());
    sandbox
        .berth(&["exec", "-u", "0", "up", "sh", "-c", &link])
        .success();
    let outsider = sandbox.berth(&["exec", "-u", "outsider", "up", "id", "-u"]);
    assert!(
        outsider.status != 0 && outsider.stdout.is_empty(),
        "{outsider}"
    );
}

/// CVE-2022-0811: only parameters of the container's own namespaces, and only one at a time.
#[test]
fn kernel_parameters_are_the_containers() {
    let sandbox = Sandbox::with_busybox();
    let pattern = || std::fs::read("/proc/sys/kernel/core_pattern").unwrap();
    let before = pattern();
    for parameter in [
        "kernel.core_pattern=|/x",
        "kernel.shm_rmid_forced=1+kernel.core_pattern=|/x",
        "kernel.shm_rmid_forced=1\nkernel.core_pattern=|/x",
        "net/../kernel/core_pattern=|/x",
        "net.ipv4.ip_forward",
    ] {
        let refused = run(
            &sandbox,
            &["--rm", "--sysctl", parameter, "busybox", "true"],
        );
        assert_ne!(refused.status, 0, "{parameter:?} was taken");
        assert_eq!(pattern(), before, "{parameter:?} reached the host");
    }
    let file = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let parameter = "net.ipv4.ip_unprivileged_port_start=80";
    let own = run(
        &sandbox,
        &["--rm", "--sysctl", parameter, "busybox", "cat", file],
    );
    assert_eq!(own.success(), "80");
}

/// CVE-2024-25621: the host's mount table shows nothing of a container, so no setuid file of a layer lies open.
#[test]
fn the_host_sees_no_root_file_system() {
    let sandbox = Sandbox::with_busybox();
    up(&sandbox, "echo ready; sleep 1000");
    sandbox.wait_for_log("up", "ready");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let place = sandbox.path().display().to_string();
    assert!(!mounts.contains(&place), "{mounts}");
}

/// What a guest writes comes back byte for byte, whatever it looks like.
#[test]
fn no_output_breaks_the_log() {
    let sandbox = Sandbox::with_busybox();
    let script = r#"printf '\033[31m"}\n{\000\\ \r\001\n'"#;
    run(
        &sandbox,
        &["--name", "draws", "busybox", "sh", "-c", script],
    )
    .success();
    let logs = sandbox.berth(&["logs", "draws"]);
    assert_eq!(logs.stdout, "\u{1b}[31m\"}\n{\0\\ \r\u{1}\n", "{logs}");
}

/// `start` brings everything back that `run` was told: limits, mounts, environment.
#[test]
fn a_second_start_is_like_the_first() {
    let sandbox = Sandbox::with_busybox();
    let shared = sandbox.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let bind = format!("{}:/shared:ro", shared.display());
    let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max \
                  /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; \
                  echo $WORD; touch /shared/x 2>&1; ls /kept 2>/dev/null; echo > /kept";
    let flags = ["--name", "twice", "-m", "64m", "--pids-limit", "20"];
    let rest = [
        "-e",
        "WORD=here",
        "-v",
        &bind,
        "busybox",
        "sh",
        "-c",
        script,
    ];
    let first = run(&sandbox, &[&flags[..], &rest].concat()).success();
    assert_eq!(
        first,
        "67108864\n20\nhere\ntouch: /shared/x: Read-only file system"
    );
    let second = sandbox.berth(&["start", "-a", "twice"]).success();
    assert_eq!(second, format!("{first}\n/kept"));
}

/// What has stopped can be stopped again, and a detached `exec` runs on by itself.
#[test]
fn stop_twice_and_exec_detached() {
    let sandbox = Sandbox::with_busybox();
    up(&sandbox, "mkfifo /done; cat /done; exec sleep 1000");
    let exec = sandbox.berth(&[
        "exec",
        "-d",
        "up",
        "sh",
        "-c",
        "until [ -p /done ]; do :; done; echo told > /done",
    ]);
    assert_eq!(exec.success(), "");
    sandbox.wait_for_log("up", "told");
    for _ in 0..2 {
        assert_eq!(sandbox.berth(&["stop", "-t", "0", "up"]).success(), "up");
    }
    assert_eq!(sandbox.inspect("up", "{{.State.ExitCode}}"), "137");
}

/// A guest that stops the processes that join it holds its monitor up for a while only, and can be ended.
#[test]
fn a_guest_that_stops_others_can_be_ended() {
    let sandbox = Sandbox::with_busybox();
    // A process that prepares itself hides its program.
    up(
        &sandbox,
        "while :; do for p in /proc/[0-9]*; do [ -e $p/exe ] || kill -STOP ${p#/proc/}; done; done",
    );
    let exec = sandbox.command(&["exec", "up", "true"]);
    let held_up = (0..200).any(|_| {
        // One may be stopped just when it has become its program: that is the guest's own affair.
        let mut bounded = std::process::Command::new("timeout");
        bounded
            .arg("30")
            .arg(exec.get_program())
            .args(exec.get_args());
        let output = bounded.output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("held up while it prepared")
    });
    assert!(held_up, "the guest has stopped none");
    assert_eq!(sandbox.berth(&["rm", "-f", "up"]).success(), "up");
    sandbox.assert_nothing_left();
}

#[test]
fn no_variable_is_there_but_those_that_were_asked_for() {
    let sandbox = Sandbox::with_busybox();
    let dockerfile = b"FROM busybox\nENV OF_IMAGE=1 PATH=/bin\n";
    let build = ["build", "-q", "-t", "with-variables", "-"];
    sandbox.berth_with_input(&build, dockerfile).success();
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "-h",
        "box",
        "--unsetenv-all",
    ];
    let script = ["with-variables", "env"];
    let shown = |flags: &[&str]| {
        let shown = sandbox
            .berth(&[&run[..], flags, &script].concat())
            .success();
        let mut lines: Vec<&str> = shown.lines().collect();
        lines.sort_unstable();
        lines.join(" ")
    };
    assert_eq!(shown(&[]), "HOME=/root HOSTNAME=box");
    let mine = ["-e", "MINE=2", "-e", "PATH=/bin"];
    assert_eq!(shown(&mine), "HOME=/root HOSTNAME=box MINE=2 PATH=/bin");
}
