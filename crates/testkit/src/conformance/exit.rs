//! How guests end, and that everybody tells the same.

use super::sandbox;
use crate::{ImageArchive, Kind, Sandbox, Twin};

/// `run`, `wait`, `ps -a` and `inspect` agree on every status.
pub fn exit_statuses_agree_everywhere(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "exit-3");
    for status in ["0", "1", "3", "42", "126", "255"] {
        let name = format!("ends-{status}");
        let run = sandbox.berth(&["run", "--name", &name, &twin.image(), status]);
        assert_eq!(run.status.to_string(), status, "{run}");
        assert_eq!(
            run.stderr, "",
            "a guest's own failure is not ours to comment"
        );
        assert_eq!(sandbox.berth(&["wait", &name]).success(), status);
        assert_eq!(sandbox.inspect(&name, "{{.State.ExitCode}}"), status);
        let listed = sandbox.berth(&[
            "ps",
            "-a",
            "--filter",
            &format!("name={name}$"),
            "--format",
            "{{.Status}}",
        ]);
        assert!(
            listed.success().starts_with(&format!("Exited ({status}) ")),
            "{listed}"
        );
    }
    let default = sandbox.berth(&["run", "--rm", &twin.image()]);
    assert_eq!(default.status, 3, "{default}");
}

/// A program that is not there: 127, named, and the container says so too.
pub fn a_missing_program_is_127(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "hello");
    let run = sandbox.berth(&[
        "run",
        "--name",
        "missing",
        "--entrypoint",
        "/nowhere",
        &twin.image(),
    ]);
    assert_eq!(run.status, 127, "{run}");
    assert!(run.stderr.contains("/nowhere"), "{run}");
    assert_eq!(sandbox.inspect("missing", "{{.State.ExitCode}}"), "127");
}

/// A program that cannot be executed: 126.
pub fn an_unusable_program_is_126(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "hello");
    let run = sandbox.berth(&["run", "--rm", "--entrypoint", "/work/marker", &twin.image()]);
    assert_eq!(run.status, 126, "{run}");
    assert!(run.stderr.contains("/work/marker"), "{run}");
}

/// `run --rm` leaves no container, no directory, nothing.
pub fn rm_leaves_nothing(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "hello");
    assert_eq!(
        sandbox.berth(&["run", "--rm", &twin.image()]).success(),
        "hello from berth"
    );
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success(), "");
    let containers = std::fs::read_dir(sandbox.data().join("containers"));
    let left = containers.expect("the directory was made").count();
    assert_eq!(left, 0, "container directories are left");
    sandbox.assert_nothing_left();
}

/// `wait` returns when the guest ends, and prints its status.
pub fn wait_prints_the_status(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "clock");
    let id = sandbox.berth(&["run", "-d", &twin.image(), "3"]).success();
    assert_eq!(id.len(), 64, "run -d prints the whole id and nothing else");
    assert_eq!(sandbox.berth(&["wait", &id]).success(), "0");
    let logs = sandbox.berth(&["logs", &id]).success();
    assert_eq!(logs, "tick 1\ntick 2\ntick 3");
}

/// `--restart on-failure:2` starts a failing guest twice again, and `inspect` counts.
pub fn restart_policy_counts(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "exit-3");
    let run = ["run", "-d", "--name", "again", "--restart", "on-failure:2"];
    sandbox
        .berth(&[&run[..], &[twin.image().as_str()]].concat())
        .success();
    assert_eq!(sandbox.berth(&["wait", "again"]).success(), "3");
    assert_eq!(
        sandbox.inspect("again", "{{.RestartCount}} {{.State.Status}}"),
        "2 exited"
    );
}

/// A stopped container starts again with its files, environment and limits.
pub fn run_again_keeps_the_writable_layer(kind: Kind) {
    let twins = ["writes-file", "reads-stdin"].map(|name| Twin::new(kind, name));
    let sandbox = Sandbox::new();
    sandbox.load(&ImageArchive::twins("both:latest", &twins));
    let first = sandbox.berth(&["run", "--name", "keeps", "both", "/data/first"]);
    assert_eq!(first.success(), "written");
    let again = sandbox.berth(&["start", "--attach", "keeps"]);
    assert_eq!(again.success(), "written");
    let upper = sandbox.data().join("containers");
    let id = sandbox.inspect("keeps", "{{.Id}}");
    assert!(
        upper.join(&id).join("upper/data/first").exists(),
        "the writable layer is gone"
    );
    let logs = sandbox.berth(&["logs", "keeps"]).success();
    assert_eq!(logs, "written\nwritten", "the log spans both starts");
}
