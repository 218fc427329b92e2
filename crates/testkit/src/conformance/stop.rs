//! Stopping and killing.

use super::sandbox;
use crate::Kind;

/// `stop` sends the stop signal; the guest decides how it ends.
///
/// WASI has no signals: there the engine ends the guest at once, as that signal would.
pub fn stop_asks_first(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "handles-term");
    sandbox
        .berth(&["run", "-d", "--name", "asked", &twin.image()])
        .success();
    sandbox.wait_for_log("asked", "ready");
    let begun = std::time::Instant::now();
    assert_eq!(sandbox.berth(&["stop", "asked"]).success(), "asked");
    assert!(
        begun.elapsed().as_secs() < 5,
        "stop waited for the grace time"
    );
    let expected = match kind {
        Kind::Native => ("7", "ready\nbye"),
        Kind::Wasm => ("143", "ready"),
    };
    assert_eq!(sandbox.inspect("asked", "{{.State.ExitCode}}"), expected.0);
    assert_eq!(sandbox.berth(&["logs", "asked"]).success(), expected.1);
    let again = sandbox.berth(&["stop", "asked"]);
    assert_eq!(
        again.success(),
        "asked",
        "stopping what is stopped is no error"
    );
}

/// A guest that does not react is killed after the grace time.
///
/// A wasm guest cannot ignore a signal, so there it is the stop signal that ends it.
pub fn stop_insists_after_the_grace_time(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "sleeps-and-ignores-term");
    sandbox
        .berth(&["run", "-d", "--name", "stubborn", &twin.image()])
        .success();
    sandbox.wait_for_log("stubborn", "ready");
    sandbox
        .berth(&["stop", "--time", "1", "stubborn"])
        .success();
    let expected = match kind {
        Kind::Native => "137",
        Kind::Wasm => "143",
    };
    assert_eq!(sandbox.inspect("stubborn", "{{.State.ExitCode}}"), expected);
}

/// `kill` sends SIGKILL, or the signal it is told.
pub fn kill_sends_the_signal(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "handles-term");
    for (signal, native, wasm) in [("KILL", "137", "137"), ("SIGTERM", "7", "143")] {
        sandbox
            .berth(&["run", "-d", "--name", "target", &twin.image()])
            .success();
        sandbox.wait_for_log("target", "ready");
        sandbox.berth(&["kill", "-s", signal, "target"]).success();
        let expected = if kind == Kind::Native { native } else { wasm };
        assert_eq!(
            sandbox.berth(&["wait", "target"]).success(),
            expected,
            "{signal}"
        );
        let dead = sandbox.berth(&["kill", "target"]);
        assert_eq!(dead.status, 1, "{dead}");
        assert!(dead.stderr.contains("not running"), "{dead}");
        sandbox.berth(&["rm", "target"]).success();
    }
}

/// Removing a running container by force kills it and leaves nothing.
pub fn kill_survivors_are_reaped(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "clock");
    sandbox
        .berth(&["run", "-d", "--name", "gone", &twin.image()])
        .success();
    let pid = sandbox.inspect("gone", "{{.State.Pid}}");
    let refused = sandbox.berth(&["rm", "gone"]);
    assert_eq!(
        refused.status, 1,
        "a running container is only removed by force: {refused}"
    );
    assert_eq!(sandbox.berth(&["rm", "-f", "gone"]).success(), "gone");
    assert!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "the guest outlives its container"
    );
    sandbox.assert_nothing_left();
}

/// `--timeout` kills a guest that runs too long, every time it is started; `--pidfile` says which it is.
pub fn a_timeout_ends_it(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "sleeps-and-ignores-term");
    let image = twin.image();
    let words = "create --timeout 1 --pidfile pid --name short".split(' ');
    let words: Vec<&str> = words.chain([&*image]).collect();
    sandbox.berth(&words).success();
    for _ in 0..2 {
        sandbox.berth(&["start", "short"]).success();
        let pid = sandbox.inspect("short", "{{.State.Pid}}");
        let written = std::fs::read_to_string(sandbox.path().join("pid"));
        // It may have ended meanwhile on a busy machine.
        assert!(pid == "0" || written.is_ok_and(|written| written == pid));
        assert_eq!(sandbox.berth(&["wait", "short"]).success(), "137");
    }
    let refused = sandbox.berth(&["run", "--pidfile", "no/pid", &image]);
    assert_eq!(refused.status, 125, "{refused}");
    assert!(
        refused
            .stderr
            .starts_with("error: cannot write the pid to [SANDBOX]/no/pid\n"),
        "{refused}"
    );
}
