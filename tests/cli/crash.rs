//! `kill -9` of the command line, of the monitor, of the guest: the truth is told, and nothing is left.

use std::path::PathBuf;
use std::process::Command;

use berth_testkit::conformance::sandbox as twin_sandbox;
use berth_testkit::{Kind, Sandbox};

fn kill(pid: &str) {
    assert!(
        Command::new("kill")
            .args(["-9", pid])
            .status()
            .unwrap()
            .success()
    );
}

/// The monitor's pid: the guest's parent.
fn monitor(guest: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{guest}/status")).unwrap();
    let parent = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:\t"))
        .unwrap();
    parent.to_owned()
}

/// Waits until a process is gone, by reading its pidfd's stand-in: the file system itself.
fn wait_until_gone(pid: &str) {
    let path = PathBuf::from("/proc").join(pid);
    let begun = std::time::Instant::now();
    while path.exists() && !is_zombie(&path) {
        assert!(begun.elapsed().as_secs() < 20, "process {pid} does not end");
        std::thread::yield_now();
    }
}

fn is_zombie(process: &std::path::Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "))
}

fn a_lost_monitor(kind: Kind) {
    let (sandbox, twin) = twin_sandbox(kind, "sleeps-and-ignores-term");
    sandbox
        .berth(&[
            "run",
            "-d",
            "--name",
            "lost",
            "-p",
            "127.0.0.1::7777",
            &twin.image(),
        ])
        .success();
    sandbox.wait_for_log("lost", "ready");
    let guest = sandbox.inspect("lost", "{{.State.Pid}}");
    kill(&monitor(&guest));
    wait_until_gone(&guest);
    let state = sandbox.inspect(
        "lost",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}",
    );
    assert_eq!(
        state, "exited 137 false",
        "a lost guest never reports success"
    );
    assert!(
        !sandbox.inspect("lost", "{{.State.Error}}").is_empty(),
        "inspect says what happened"
    );
    assert_eq!(
        sandbox.berth(&["start", "lost"]).success(),
        "lost",
        "it can be started again"
    );
    sandbox.wait_for_log("lost", "ready");
    assert_eq!(sandbox.berth(&["rm", "-f", "lost"]).success(), "lost");
    sandbox.assert_nothing_left();
}

#[test]
fn a_lost_monitor_takes_its_native_guest_along() {
    a_lost_monitor(Kind::Native);
}

#[test]
fn a_lost_monitor_takes_its_wasm_guest_along() {
    a_lost_monitor(Kind::Wasm);
}

#[test]
fn a_killed_guest_is_137() {
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&["run", "-d", "--name", "shot", "busybox", "sleep", "1000"])
        .success();
    kill(&sandbox.inspect("shot", "{{.State.Pid}}"));
    assert_eq!(sandbox.berth(&["wait", "shot"]).success(), "137");
    assert_eq!(sandbox.inspect("shot", "{{.State.OOMKilled}}"), "false");
}

#[test]
fn a_killed_command_line_leaves_its_container_running() {
    let sandbox = Sandbox::with_busybox();
    let mut run = sandbox.start(&[
        "run",
        "--name",
        "stays",
        "busybox",
        "sh",
        "-c",
        "echo up; sleep 1000",
    ]);
    run.wait_for("up");
    run.signal("KILL");
    assert_eq!(run.finish().status, 137);
    assert_eq!(sandbox.inspect("stays", "{{.State.Running}}"), "true");
    assert_eq!(sandbox.berth(&["logs", "stays"]).success(), "up");
}

#[test]
fn a_lost_run_directory_is_like_a_reboot() {
    let sandbox = Sandbox::with_busybox();
    let ended = [
        "run",
        "--name",
        "ended",
        "busybox",
        "sh",
        "-c",
        "echo kept > /kept; exit 4",
    ];
    assert_eq!(sandbox.berth(&ended).status, 4);
    std::fs::remove_dir_all(sandbox.run_directory()).unwrap();
    let listed = sandbox
        .berth(&["ps", "-a", "--format", "{{.Names}} {{.State}}"])
        .success();
    assert_eq!(listed, "ended exited");
    assert_eq!(sandbox.inspect("ended", "{{.State.ExitCode}}"), "4");
    assert_eq!(sandbox.berth(&["logs", "ended"]).success(), "");
    assert_eq!(sandbox.berth(&["start", "-a", "ended"]).status, 4);
}

/// The kernel forgets who takes a process along when it changes its user: such a guest outlives its monitor.
#[test]
fn a_guest_that_outlives_its_monitor_is_not_left() {
    let sandbox = Sandbox::with_busybox();
    let outlives = "exec su -s /bin/sh guest -c 'echo up; exec sleep 1000'";
    let verbs: [&[&str]; 5] = [
        &["ps", "-a"],
        &["inspect", "free"],
        &["stop", "free"],
        &["wait", "free"],
        &["kill", "free"],
    ];
    for verb in verbs {
        let run = [
            "run",
            "-d",
            "--name",
            "free",
            "--network",
            "none",
            "busybox",
        ];
        sandbox
            .berth(&[&run[..], &["sh", "-c", outlives]].concat())
            .success();
        sandbox.wait_for_log("free", "up");
        let guest = sandbox.inspect("free", "{{.State.Pid}}");
        let monitor = monitor(&guest);
        kill(&monitor);
        wait_until_gone(&monitor);
        // `kill` rightly says that it does not run, and none of them lets it run on.
        let status = sandbox.berth(verb).status;
        assert_eq!(status, i32::from(verb[0] == "kill"), "{verb:?}");
        let path = PathBuf::from("/proc").join(&guest);
        assert!(!path.exists() || is_zombie(&path), "{verb:?} left it alive");
        sandbox.berth(&["rm", "free"]).success();
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_lost_container_that_goes_with_its_end_is_removed() {
    let sandbox = Sandbox::with_busybox();
    let commands: [&[&str]; 4] = [
        &["ps", "-aq"],
        &["inspect", "lost"],
        &["start", "lost"],
        &["restart", "lost"],
    ];
    for command in commands {
        let run = "run -d --rm --name lost -v /anonymous -v kept:/kept busybox sleep 1000";
        let run: Vec<&str> = run.split(' ').collect();
        sandbox.berth(&run).success();
        let guest = sandbox.inspect("lost", "{{.State.Pid}}");
        kill(&monitor(&guest));
        wait_until_gone(&guest);
        assert_eq!(
            sandbox.berth(command).stdout.trim(),
            if command[0] == "inspect" { "[]" } else { "" }
        );
        assert_eq!(sandbox.berth(&["volume", "ls", "-q"]).success(), "kept");
    }
    sandbox.assert_nothing_left();
}
