//! A second process in the same container.

use super::sandbox;
use crate::{ImageArchive, Kind, Sandbox, Twin};

/// `exec` runs a program of the container in the container, beside its guest.
///
/// For wasm it is a second instance: its own memory, the same files and limits.
pub fn exec_runs_a_second_instance(kind: Kind) {
    let sandbox = several(kind);
    let exec = [
        "exec",
        "-e",
        "GREETING=inside",
        "-w",
        "/data",
        "host",
        "/echo",
        "one",
    ];
    let exec = sandbox.berth(&exec);
    insta::allow_duplicates! {
        insta::assert_snapshot!(exec, @r"
        exit: 0
        --- stdout ---
        argument 1: one
        GREETING: inside
        terminal: no
        marker: (none)
        --- stderr ---
        ");
    }
    let piped = sandbox.berth_with_input(&["exec", "-i", "host", "/reads-stdin"], b"through exec");
    assert_eq!(piped.stdout, "through exec");
    let written = sandbox.berth(&["exec", "host", "/writes-file", "/data/by-exec"]);
    assert_eq!(written.success(), "written");
    assert_eq!(sandbox.inspect("host", "{{.State.Running}}"), "true");
}

/// `exec` ends with its process's status, 126 and 127 included.
pub fn exec_has_its_own_exit_status(kind: Kind) {
    let sandbox = several(kind);
    for status in ["0", "5", "255"] {
        let exec = sandbox.berth(&["exec", "host", "/exit-3", status]);
        assert_eq!(exec.status.to_string(), status, "{exec}");
    }
    let missing = sandbox.berth(&["exec", "host", "/nowhere"]);
    assert_eq!(missing.status, 127, "{missing}");
    for (directory, status) in [("/new/place", 127), ("/exit-3", 126)] {
        let refused = sandbox.berth(&["exec", "-w", directory, "host", "/exit-3"]);
        assert_eq!(refused.status, status, "{refused}");
        let sentence = format!("cannot use {directory} as the working directory");
        assert!(refused.stderr.contains(&sentence), "{refused}");
    }
    let stopped = sandbox.berth(&["stop", "-t", "0", "host"]);
    stopped.success();
    let refused = sandbox.berth(&["exec", "host", "/exit-3"]);
    assert_eq!(refused.status, 1, "{refused}");
    assert!(refused.stderr.contains("not running"), "{refused}");
}

/// `top` shows the guest's process.
pub fn top_shows_the_guest(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "sleeps-and-ignores-term");
    sandbox
        .berth(&["run", "-d", "--name", "listed", &twin.image()])
        .success();
    sandbox.wait_for_log("listed", "ready");
    let pid = sandbox.inspect("listed", "{{.State.Pid}}");
    let top = sandbox.berth(&["top", "listed"]).success();
    let mut lines = top.lines();
    let header: Vec<&str> = lines.next().expect("a header").split_whitespace().collect();
    assert_eq!(
        header,
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    );
    assert!(
        lines.any(|line| line.split_whitespace().nth(1) == Some(&pid)),
        "{top}"
    );
}

/// A running container `host` whose image holds several twins.
fn several(kind: Kind) -> Sandbox {
    let programs = [
        "sleeps-and-ignores-term",
        "echo",
        "reads-stdin",
        "writes-file",
        "exit-3",
    ];
    let sandbox = Sandbox::new();
    let twins = programs.map(|name| Twin::new(kind, name));
    sandbox.load(&ImageArchive::twins("several:latest", &twins));
    sandbox
        .berth(&["run", "-d", "--name", "host", "several"])
        .success();
    sandbox.wait_for_log("host", "ready");
    sandbox
}
