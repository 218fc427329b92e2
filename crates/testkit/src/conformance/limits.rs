//! Limits and the freezer.

use super::sandbox;
use crate::Kind;

/// `--memory` holds.
///
/// A native guest is killed by the kernel. A wasm guest's memory is capped just below, so that its
/// allocation fails first and it can say so itself.
pub fn memory_limit_is_real(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "eats-memory");
    let run = [
        "run",
        "--name",
        "eats",
        "-m",
        "64m",
        "--memory-swap",
        "64m",
        &twin.image(),
    ];
    let run = sandbox.berth(&run);
    match kind {
        Kind::Native => {
            assert_eq!(run.status, 137, "{run}");
            assert_eq!(
                sandbox.inspect("eats", "{{.State.OOMKilled}} {{.State.ExitCode}}"),
                "true 137"
            );
        }
        Kind::Wasm => {
            assert_eq!(run.status, 12, "{run}");
            assert!(run.stdout.starts_with("refused after "), "{run}");
            assert_eq!(sandbox.inspect("eats", "{{.State.OOMKilled}}"), "false");
        }
    }
    let within = sandbox.berth(&["run", "--rm", "-m", "128m", &twin.image(), "16"]);
    assert_eq!(within.success(), "held 16 MiB");
}

/// A paused guest does nothing, is told as paused, goes on after `unpause`, and can be removed.
pub fn pause_freezes_the_guest(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "clock");
    sandbox
        .berth(&["run", "-d", "--name", "still", &twin.image()])
        .success();
    sandbox.wait_for_log("still", "tick 1");
    assert_eq!(sandbox.berth(&["pause", "still"]).success(), "still");
    assert_eq!(
        sandbox.inspect("still", "{{.State.Status}} {{.State.Paused}}"),
        "paused true"
    );
    let twice = sandbox.berth(&["pause", "still"]);
    assert_eq!(twice.status, 1, "{twice}");
    let listed = sandbox.berth(&["ps", "--format", "{{.Status}}"]).success();
    assert!(listed.ends_with("(Paused)"), "{listed}");
    let pid = sandbox.inspect("still", "{{.State.Pid}}");
    let ticks = || {
        let stat =
            std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the guest is there");
        let switches = stat
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"));
        switches.expect("the kernel counts switches").to_owned()
    };
    let before = ticks();
    let busy = sandbox.berth(&["ps", "-a"]);
    busy.success();
    assert_eq!(ticks(), before, "a frozen guest was scheduled");
    assert_eq!(sandbox.berth(&["unpause", "still"]).success(), "still");
    assert_eq!(sandbox.inspect("still", "{{.State.Status}}"), "running");
    sandbox.berth(&["pause", "still"]).success();
    assert_eq!(
        sandbox.berth(&["rm", "-f", "still"]).success(),
        "still",
        "a frozen container can go"
    );
}
