//! Standard streams, terminals and logs.

use super::sandbox;
use crate::{Kind, Terminal};

/// `echo x | run -i` ends when its input does, and standard error stays apart.
pub fn input_ends_at_the_end(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "reads-stdin");
    let run = sandbox.berth_with_input(&["run", "--rm", "-i", &twin.image()], b"one\ntwo\n");
    insta::allow_duplicates! {
        insta::assert_snapshot!(run, @r"
        exit: 0
        --- stdout ---
        one
        two
        --- stderr ---
        read 8 bytes
        ");
    }
    let large = vec![b'x'; 3 << 20];
    let run = sandbox.berth_with_input(&["run", "--rm", "-i", &twin.image()], &large);
    assert_eq!(run.stdout.len(), large.len());
    let without = sandbox.berth_with_input(&["run", "--rm", &twin.image()], b"unheard");
    assert_eq!(
        without.stderr, "read 0 bytes\n",
        "without -i standard input is empty"
    );
}

/// With `-t` the guest sees a terminal, and the user's own is restored.
pub fn a_terminal_is_a_terminal(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "echo");
    let mut terminal =
        Terminal::start(&sandbox.command(&["run", "--rm", "-it", &twin.image(), "x"]));
    terminal.wait_for("argument 1: x");
    terminal.wait_for("terminal: yes");
    let (status, _) = terminal.finish();
    assert_eq!(status, 0);
}

/// `logs` gives back what was said, by stream; `--tail`, `--timestamps` and `--since` select.
pub fn logs_are_what_was_said(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "floods-stdout");
    sandbox
        .berth(&["run", "--name", "speaks", &twin.image(), "1000"])
        .success();
    let logs = sandbox.berth(&["logs", "speaks"]);
    let said: String = (0..1000).map(|line| format!("{line:099}\n")).collect();
    assert_eq!(logs.stdout, said);
    assert_eq!(logs.stderr, "");
    let tail = sandbox.berth(&["logs", "--tail", "2", "speaks"]);
    assert_eq!(tail.stdout, format!("{:099}\n{:099}\n", 998, 999));
    let stamped = sandbox
        .berth(&["logs", "-t", "-n", "1", "speaks"])
        .success();
    let (time, line) = stamped
        .split_once(' ')
        .expect("a time stands before the line");
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    assert_eq!(line, format!("{:099}", 999));
    assert_eq!(
        sandbox
            .berth(&["logs", "--since", "2099-01-01", "speaks"])
            .success(),
        ""
    );
    assert_eq!(
        sandbox
            .berth(&["logs", "--until", "2001-01-01", "speaks"])
            .success(),
        ""
    );
    assert_eq!(
        sandbox.berth(&["log", "--tail", "0", "speaks"]).success(),
        ""
    );
}

/// A container that talks without end keeps a bounded log, and its last words.
pub fn logs_rotate(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "floods-stdout");
    let image = twin.image();
    let options = ["--log-opt", "max-size=100k", "--log-opt", "max-file=2"];
    let run = [
        &["run", "--name", "floods"][..],
        &options,
        &[image.as_str(), "5000"],
    ]
    .concat();
    assert_eq!(sandbox.berth(&run).status, 0);
    let path = sandbox
        .inspect("floods", "{{.LogPath}}")
        .replace("[SANDBOX]", &sandbox.path().display().to_string());
    let folder = std::path::Path::new(&path)
        .parent()
        .expect("the log lies in a directory");
    let prefix = std::path::Path::new(&path)
        .file_name()
        .expect("the log has a name")
        .to_owned();
    let mut total = 0;
    for entry in std::fs::read_dir(folder)
        .expect("the log's directory is readable")
        .flatten()
    {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(&*prefix.to_string_lossy())
        {
            total += entry.metadata().expect("the log is there").len();
        }
    }
    assert!(
        (1..=230_000).contains(&total),
        "the log takes {total} bytes"
    );
    let last = sandbox.berth(&["logs", "--tail", "1", "floods"]);
    assert_eq!(last.stdout, format!("{:099}\n", 4999));
}
