//! `--on-failure=shell`: looking around where a command failed.

use berth_testkit::Terminal;

use crate::project::Project;

/// A step that fails in a state that has everything a state can have.
const FAILING: &str = "FROM busybox\nRUN echo me:x:1234:1234::/:/bin/sh >> /etc/passwd; mkdir -p -m 0777 /mine; touch /mine/gone; chmod 0777 /mine\nENV KEPT=env\nARG GIVEN=arg\nWORKDIR /work\nUSER me\n\
     RUN --mount=type=cache,target=/c,mode=0777 --mount=type=tmpfs,target=/t --mount=target=/s --mount=type=secret,id=k,mode=0444 \
         echo written > /mine/written; echo cached > /c/cached; rm /mine/gone; echo said; exit 7\n\
     RUN never\n";

fn project() -> Project {
    Project::of(FAILING).file("f", "context")
}

fn start(project: &Project, options: &[&str]) -> Terminal {
    std::fs::write(project.sandbox.path().join("secret"), "hunter2").unwrap();
    let context = project.directory.to_str().unwrap();
    let build = ["build", "-t", "t", "--on-failure=shell"];
    let secret = ["--secret", "id=k,src=secret"];
    let words = [&build[..], &secret, options, &[context]].concat();
    Terminal::start(&project.sandbox.command(&words))
}

fn assert_nothing_left(project: &Project) {
    assert_eq!(project.sandbox.berth(&["ps", "-aq"]).success(), "");
    project.sandbox.assert_nothing_left();
    for directory in ["data/ingest", "data/containers", "run/build"] {
        let found = std::fs::read_dir(project.sandbox.path().join(directory));
        let found: Vec<_> = found.into_iter().flatten().flatten().collect();
        let partial =
            |entry: &std::fs::DirEntry| entry.path().extension() == Some("partial".as_ref());
        assert!(found.iter().all(partial), "{found:?}");
    }
}

#[test]
fn a_shell_sees_what_the_failed_command_left() {
    let project = project();
    let mut terminal = start(&project, &[]);
    let before = terminal.wait_for("/work $ ");
    for part in [
        "=> ERROR [4/5] RUN --mount=type=cache",
        "said",
        "cannot build Dockerfile:7; /bin/sh is opened there, and the build ends when it does",
    ] {
        assert!(before.contains(part), "{part}\n{before}");
    }
    terminal.send(
        "id -un; pwd; echo $KEPT $GIVEN; cat /mine/written /c/cached /s/f /run/secrets/k; echo; ls /mine; \
         mount | grep -c ' /t '; touch /s/f; stty size; echo all''shown\r",
    );
    let shown = terminal.wait_for("allshown");
    for part in [
        "\r\nme\r\n/work\r\nenv arg\r\nwritten\r\ncached\r\ncontexthunter2\r\n",
        "\r\nwritten\r\n1\r\n",
        "/s/f: Read-only file system",
        "24 80",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    terminal.send("exit 5\r");
    let (status, rest) = terminal.finish();
    assert_eq!(status, 1, "the build fails as it would have: {rest}");
    assert!(rest.contains("error: cannot build Dockerfile:7"), "{rest}");
    assert!(rest.contains("exit code: 7"), "{rest}");
    assert!(!rest.contains("--on-failure"), "{rest}");
    assert_nothing_left(&project);
    // Nothing of it is in the cache or the image.
    let fixed = FAILING.replace("exit 7", "true").replace("RUN never\n", "");
    project.write("Dockerfile", &fixed);
    let built = project.build(&["--secret", "id=k,src=secret"]);
    built.success();
    assert_eq!(
        project.run("cat /mine/written; ls /s /run/secrets 2>&1 | wc -l"),
        "written\n2"
    );
}

/// Whatever ends the build ends the shell.
#[test]
fn a_signal_ends_the_shell_and_leaves_nothing() {
    for signal in ["TERM", "HUP", "KILL"] {
        let project = project();
        let mut terminal = start(&project, &["--progress", "plain"]);
        terminal.wait_for("/work $ ");
        terminal.signal(signal);
        let (status, rest) = terminal.finish();
        assert_ne!(status, 0, "{rest}");
        let begun = std::time::Instant::now();
        while !project.sandbox.berth(&["ps", "-aq"]).success().is_empty() {
            assert!(begun.elapsed().as_secs() < 60, "the container stays");
        }
        if signal == "KILL" {
            // What lies in the run directory and the scratch is free for whoever comes next.
            project
                .sandbox
                .berth(&["builder", "prune", "-af"])
                .success();
        }
        assert_nothing_left(&project);
    }
}

/// The first command that fails has the terminal; what else is at work ends, and says nothing in between.
#[test]
fn there_is_one_shell_whatever_else_fails() {
    let project = Project::of(
        "FROM busybox AS a\nRUN --mount=type=cache,target=/c while :; do echo noise; touch /c/a; done\n\
         FROM busybox AS b\nSHELL [\"/bin/ash\", \"-ec\"]\n\
         RUN --mount=type=cache,target=/c while [ ! -e /c/a ]; do :; done; exit 3\n\
         FROM busybox\nCOPY --from=a /x /\nCOPY --from=b /x /\n",
    );
    let mut terminal = start(&project, &["--progress", "plain"]);
    let before = terminal.wait_for("/ # ");
    assert!(before.contains("/bin/ash is opened there"), "{before}");
    terminal.send("echo qui''et; echo still qui''et\r");
    let shown = terminal.wait_for("still quiet");
    assert!(!shown.contains("noise"), "{shown}");
    terminal.send("exit\r");
    let (status, rest) = terminal.finish();
    assert_eq!(status, 1);
    assert!(
        rest.contains("cannot build Dockerfile:5") && rest.contains("exit code: 3"),
        "{rest}"
    );
    assert_nothing_left(&project);
}

#[test]
fn without_a_shell_there_is_a_sentence_and_the_failure() {
    let project = Project::of(
        "FROM busybox\nSHELL [\"/bin/ash\", \"-ec\"]\nRUN rm /bin/sh /bin/ash; exit 4\n",
    );
    let terminal = start(&project, &[]);
    let (status, screen) = terminal.finish();
    assert_eq!(status, 1, "{screen}");
    assert!(
        screen.contains("error: cannot open a shell where the command failed"),
        "{screen}"
    );
    assert!(screen.contains("exit code: 4"), "{screen}");
    assert_nothing_left(&project);
}

#[test]
fn a_shell_needs_a_terminal_and_a_failure_names_it() {
    let project = Project::of("FROM busybox\nRUN exit 3\n");
    let refused = project.build(&["--on-failure=shell"]);
    insta::assert_snapshot!(refused, @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot open a shell when a command fails
    caused by: standard input and output must be a terminal for it
    ");
    let failed = project.build(&[]).status(1);
    let hint = "\nhint: berth build --on-failure=shell opens a shell where it failed\n";
    assert!(failed.stderr.ends_with(hint), "{failed}");
    // What is no command has nothing to look around in.
    project.write("Dockerfile", "FROM busybox\nCOPY absent /\n");
    let failed = project.build(&[]).status(1);
    assert!(!failed.stderr.contains("--on-failure"), "{failed}");
}
