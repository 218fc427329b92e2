//! What a build looks like on a terminal, and elsewhere.

use berth_testkit::Terminal;

use crate::project::Project;

fn start(project: &Project, options: &[&str]) -> Terminal {
    let context = project.directory.to_str().unwrap();
    let words = [&["build", "-t", "t"], options, &[context]].concat();
    Terminal::start(&project.sandbox.command(&words))
}

/// A step that goes on until a file appears in a cache mount.
const WAITING: &str = "FROM busybox\nRUN --mount=type=cache,target=/c \
     echo first; echo second; touch /c/ready; while [ ! -e /c/go ]; do :; done; echo last\nRUN true\n";

/// Lets it go on.
fn release(project: &Project) {
    let mounts = project.sandbox.data().join("build/mounts");
    for mount in std::fs::read_dir(mounts).unwrap() {
        std::fs::write(mount.unwrap().path().join("data/go"), "").unwrap();
    }
}

/// What a terminal shows in the end: lines that were drawn over are not there any more.
fn settled(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for piece in text.split('\n') {
        let mut piece = piece.to_owned();
        for control in ["\x1b[?7l", "\x1b[?7h", "\x1b[0m", "\x1b[K", "\x1b[J"] {
            piece = piece.replace(control, "");
        }
        // Whoever goes up draws everything anew from there.
        if let Some((number, rest)) = piece
            .strip_prefix("\r\x1b[")
            .and_then(|rest| rest.split_once('A'))
        {
            lines.truncate(lines.len() - number.parse::<usize>().unwrap());
            piece = rest.to_owned();
        }
        lines.push(piece.trim_end().to_owned());
    }
    lines.join("\n")
}

/// Seconds differ, and with their width where a line is cut.
fn without_seconds(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let is_timed = line.ends_with('s');
        let words = line.split_whitespace().map(|word| {
            let number = word
                .strip_suffix('s')
                .and_then(|number| number.parse::<f64>().ok());
            let is_cut = is_timed && word.ends_with('…');
            let word = if is_cut { "…" } else { word };
            number.map_or(word, |_| "N")
        });
        shown.push_str(&words.collect::<Vec<_>>().join(" "));
        shown.push('\n');
    }
    shown
}

#[test]
fn steps_are_drawn_while_they_go_on_and_are_lines_when_they_are_done() {
    let project = Project::of(WAITING);
    let mut terminal = start(&project, &[]);
    let mut seen = terminal.wait_for("    second");
    seen.push_str("    second");
    // It goes on, and so do its seconds.
    seen.push_str(&terminal.wait_for("1.0s"));
    seen.push_str("1.0s");
    release(&project);
    let (status, rest) = terminal.finish();
    seen.push_str(&rest);
    assert_eq!(status, 0, "{seen}");
    assert!(
        seen.contains("\x1b[?7l => [2/3] RUN --mount=type=cache"),
        "{seen:?}"
    );
    assert!(seen.contains("    first\x1b[0m"), "{seen:?}");
    // What was changed of the terminal is as before.
    let (on, off) = (
        seen.matches("\x1b[?7h").count(),
        seen.matches("\x1b[?7l").count(),
    );
    assert!(
        on > 0 && on == off && !seen.contains("\x1b[?25l"),
        "{seen:?}"
    );
    insta::assert_snapshot!(without_seconds(&settled(&seen)), @r"
    => [internal] load build definition from Dockerfile N
    => [1/3] FROM busybox N
    => [2/3] RUN --mount=type=cache,target=/c echo first; echo second; … N
    => [3/3] RUN true N
    => exporting to image N
    Built t:latest in N (3 steps)
    ");
    let (status, again) = start(&project, &["--progress", "tty"]).finish();
    assert_eq!(status, 0);
    insta::assert_snapshot!(without_seconds(&settled(&again)), @r"
    => [internal] load build definition from Dockerfile N
    => [1/3] FROM busybox N
    => CACHED [2/3] RUN --mount=type=cache,target=/c echo first; echo second; tou…
    => CACHED [3/3] RUN true
    => exporting to image N
    Built t:latest in N (3 steps, 2 cached)
    ");
}

#[test]
fn an_interrupt_leaves_the_terminal_as_it_was() {
    let project = Project::of(WAITING);
    let mut terminal = start(&project, &[]);
    terminal.wait_for("    second");
    terminal.send("\x03");
    let (status, rest) = terminal.finish();
    assert_eq!(status, 1, "{rest}");
    assert!(
        !rest.contains("\x1b[?7l") || rest.rfind("\x1b[?7h") > rest.rfind("\x1b[?7l"),
        "{rest:?}"
    );
    assert!(rest.contains("=> CANCELED [2/3]"), "{rest:?}");
    assert!(
        rest.ends_with("error: the build was cancelled\r\n"),
        "{rest:?}"
    );
    project.sandbox.assert_nothing_left();
}

#[test]
fn elsewhere_it_is_plain_lines_whatever_is_said_elsewhere() {
    let project = Project::of("FROM busybox\nRUN printf 'a\\rb\\033[2Jc'\n");
    let piped = project.build(&[]);
    piped.success();
    assert!(piped.stderr.contains("#2 [1/2] FROM busybox\n"), "{piped}");
    assert!(!piped.stderr.contains('\x1b'), "{piped}");
    let refused = project.build(&["--progress", "tty"]);
    insta::assert_snapshot!(refused, @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot show the progress as on a terminal
    caused by: standard error is none

    hint: leave --progress away, or use --progress plain
    ");
    let context = project.directory.to_str().unwrap();
    // A terminal that cannot be drawn on, and a variable that says so.
    for (name, value) in [("TERM", "dumb"), ("BUILDKIT_PROGRESS", "plain")] {
        let mut command = project.sandbox.command(&["build", context]);
        command.env(name, value);
        let (status, screen) = Terminal::start(&command).finish();
        assert_eq!(status, 0, "{screen}");
        assert!(
            screen.contains("#2 [1/2] FROM busybox") && !screen.contains('\x1b'),
            "{screen:?}"
        );
    }
}

#[test]
fn archives_are_not_shown() {
    let project = Project::of("FROM busybox\nRUN exit 1\n");
    for output in ["-", "type=oci", "type=docker,dest=-"] {
        let (status, screen) = start(&project, &["-o", output]).finish();
        assert_eq!(status, 1, "{screen}");
        assert!(screen.contains("standard output is a terminal"), "{screen}");
        assert!(!screen.contains("RUN"), "it is said at once: {screen}");
    }
}
