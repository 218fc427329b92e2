//! What is left of a build that ends before its time, and builds beside each other.

use std::process::Command;

use crate::project::{Project, wait_until};

/// A step that holds everything a step can hold, and waits.
const WAITING: &str = "FROM busybox AS other\nRUN echo x > /x\nFROM busybox\n\
     RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --mount=target=/s --mount=from=other,target=/o,source=/x \
         --mount=type=secret,id=k,env=K --mount=type=secret,id=k <<EOF\n\
     test \"$K\" = \"$(cat /run/secrets/k)\" && echo ready > /c/ready || exit 3\necho ready; sleep 1000\nEOF\n";

/// Starts a build of it and waits until its step is at work.
fn start(project: &Project) -> berth_testkit::Running {
    let secret = project.sandbox.path().join("secret");
    std::fs::write(&secret, "hunter2-of-a-killed-build").unwrap();
    let flag = format!("id=k,src={}", secret.display());
    let context = project.directory.to_str().unwrap();
    let running =
        project
            .sandbox
            .start(&["build", "--progress", "plain", "--secret", &flag, context]);
    project.cache_with("ready");
    running
}

/// Files beneath a directory of the sandbox that hold the secret.
fn with_secret(project: &Project, directory: &str) -> String {
    let found = Command::new("grep")
        .args(["-rlF", "hunter2-of-a-killed-build"])
        .arg(project.sandbox.path().join(directory))
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap()
}

fn entries(project: &Project, directory: &str) -> Vec<String> {
    let found = std::fs::read_dir(project.sandbox.path().join(directory));
    let found = found.into_iter().flatten().flatten();
    found
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn an_interrupt_leaves_nothing_at_all() {
    let project = Project::of(WAITING).file("f", "x");
    let running = start(&project);
    assert_eq!(
        with_secret(&project, "data"),
        "",
        "a secret variable is on no disk"
    );
    running.signal("INT");
    let screen = running.finish();
    assert_eq!(screen.status, 1, "{screen}");
    assert_eq!(project.sandbox.berth(&["ps", "-aq"]).success(), "");
    project.sandbox.assert_nothing_left();
    assert_eq!(entries(&project, "data/ingest"), Vec::<String>::new());
    assert_eq!(entries(&project, "data/containers"), Vec::<String>::new());
    assert_eq!(entries(&project, "run/build"), Vec::<String>::new());
}

/// Nobody can clean up after SIGKILL: the container ends by itself, the rest goes with the next build or prune.
#[test]
fn a_killed_build_leaves_what_pruning_frees() {
    let project = Project::of(WAITING).file("f", "x");
    let running = start(&project);
    running.signal("KILL");
    drop(running.finish());
    // The step's monitor sees that its builder is gone.
    wait_until("the container is gone", || {
        project.sandbox.berth(&["ps", "-aq"]).success().is_empty()
    });
    project.sandbox.assert_nothing_left();
    assert_eq!(with_secret(&project, "data"), "");
    project
        .sandbox
        .berth(&["builder", "prune", "-af"])
        .success();
    assert_eq!(with_secret(&project, "run"), "");
    assert_eq!(entries(&project, "run/build"), Vec::<String>::new());
    assert_eq!(entries(&project, "data/ingest"), Vec::<String>::new());
    assert_eq!(entries(&project, "data/build/mounts"), Vec::<String>::new());
    project.write("Dockerfile", "FROM busybox\nRUN echo works > /w\n");
    assert_eq!(project.sh("cat /w"), "works");
}

/// What a killed builder had finished some seconds before is kept.
#[test]
fn finished_steps_outlive_their_builder() {
    let step = |more: &str| {
        format!("FROM busybox\nRUN sleep 6; echo long > /long\nRUN echo two > /two\n{more}")
    };
    let project = Project::of(&step(
        "RUN --mount=type=cache,target=/c touch /c/ready; sleep 1000\n",
    ));
    let context = project.directory.to_str().unwrap();
    let running = project
        .sandbox
        .start(&["build", "--progress", "plain", context]);
    project.cache_with("ready");
    running.signal("KILL");
    drop(running.finish());
    project.write("Dockerfile", &step("RUN echo three > /three\n"));
    let again = project.build(&["--progress", "plain"]);
    again.success();
    assert!(again.stderr.contains("#3 CACHED"), "{again}");
    assert_eq!(project.run("cat /long /two /three"), "long\ntwo\nthree");
    project.sandbox.assert_nothing_left();
}

/// A build that stands still between the end of its command and the layer that becomes of it.
fn between_command_and_layer() -> (Project, berth_testkit::Running) {
    let project = Project::of(
        "FROM busybox\nRUN --mount=type=cache,target=/c echo x > /w; touch /c/ready; while [ ! -e /c/go ]; do sleep 0.1; done\n",
    );
    let context = project.directory.to_str().unwrap();
    let words = ["build", "--progress", "plain", "-t", "t", context];
    let running = project.sandbox.start(&words);
    let cache = project.cache_with("ready");
    running.signal("STOP");
    std::fs::write(cache.join("go"), "").unwrap();
    let ended = ["ps", "-aq", "--filter", "status=exited"];
    wait_until("the command has ended", || {
        !project.sandbox.berth(&ended).success().is_empty()
    });
    (project, running)
}

#[test]
fn prune_leaves_a_build_alone() {
    let (project, running) = between_command_and_layer();
    for what in ["container", "system"] {
        project.sandbox.berth(&[what, "prune", "-f"]).success();
    }
    assert_ne!(project.sandbox.berth(&["ps", "-aq"]).success(), "");
    running.signal("CONT");
    running.finish().success();
    assert_eq!(project.run("cat /w"), "x");
    assert_eq!(project.sandbox.berth(&["ps", "-aq"]).success(), "");
}

#[test]
fn the_next_build_removes_what_a_killed_one_left() {
    let (project, running) = between_command_and_layer();
    running.signal("KILL");
    drop(running.finish());
    assert_ne!(project.sandbox.berth(&["ps", "-aq"]).success(), "");
    project.write("Dockerfile", "FROM busybox\nRUN echo works > /w\n");
    assert_eq!(project.sh("cat /w"), "works");
    assert_eq!(project.sandbox.berth(&["ps", "-aq"]).success(), "");
    project.sandbox.assert_nothing_left();
}

/// A build that has no secrets of its own does it, too.
#[test]
fn the_next_build_removes_secrets_of_a_killed_one() {
    let project = Project::of(WAITING).file("f", "x");
    let running = start(&project);
    running.signal("KILL");
    drop(running.finish());
    project.write("Dockerfile", "FROM busybox\nENV a=b\n");
    project.build(&[]).success();
    assert_eq!(with_secret(&project, "run"), "");
    assert_eq!(project.sandbox.berth(&["ps", "-aq"]).success(), "");
    project.sandbox.assert_nothing_left();
}

/// A cache mount that another build has alone is waited for, but not longer than the build is wanted.
#[test]
fn an_interrupt_ends_the_wait_for_a_cache_mount() {
    let step = "RUN --mount=type=cache,target=/c,sharing=locked touch /c/ready; sleep 1000\n";
    let project = Project::of(&format!("FROM busybox\n{step}"));
    let context = project.directory.to_str().unwrap();
    let words = ["build", "--progress", "plain", context];
    let first = project.sandbox.start(&words);
    let mounts = project.sandbox.data().join("build/mounts");
    project.cache_with("ready");
    let second = project.sandbox.start(&words);
    let files = format!("/proc/{}/fd", second.pid());
    wait_until("the second asks for it", || {
        let files = std::fs::read_dir(&files).into_iter().flatten().flatten();
        let paths = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        paths.into_iter().any(|path| path.starts_with(&mounts))
    });
    for build in [second, first] {
        build.signal("INT");
        assert_eq!(build.finish().status, 1);
    }
    project.sandbox.assert_nothing_left();
}

/// A file that is read for the first time is as long as it is.
#[test]
fn an_interrupt_ends_a_long_copy() {
    let project = Project::of("FROM busybox\nCOPY big /big\n");
    let big = std::fs::File::create(project.directory.join("big")).unwrap();
    big.set_len(1 << 40).unwrap();
    let context = project.directory.to_str().unwrap();
    let build = project.sandbox.start(&["build", context]);
    let files = format!("/proc/{}/fd", build.pid());
    wait_until("the file is read", || {
        let files = std::fs::read_dir(&files).into_iter().flatten().flatten();
        let mut paths = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        paths.any(|path| path.ends_with("big"))
    });
    build.signal("INT");
    assert_eq!(build.finish().status, 1);
    project.sandbox.assert_nothing_left();
}

#[test]
fn builds_beside_each_other_do_not_disturb_each_other() {
    let project = Project::of(
        "FROM busybox AS a\nCOPY . /c\nRUN --mount=type=cache,target=/m,sharing=locked cat /c/f >> /m/f; cat /c/f > /f\n\
         FROM busybox\nCOPY --from=a /f /f\nRUN cat /f /f > /ff\n",
    )
    .file("f", "same");
    let context = project.directory.to_str().unwrap();
    let flags = ["--source-date-epoch", "1", "--rewrite-timestamp"];
    let build = |tag: &str| {
        project
            .sandbox
            .start(&[&["build", "-t", tag], &flags[..], &[context]].concat())
    };
    let running: Vec<_> = ["one", "two", "three"].map(build).into_iter().collect();
    for one in running {
        one.finish().success();
    }
    let id = |tag: &str| {
        let words = ["image", "inspect", "-f", "{{.Id}}", tag];
        project.sandbox.berth(&words).success()
    };
    assert_eq!((id("one"), id("two")), (id("two"), id("three")));
    project.sandbox.berth(&["tag", "two", "t"]).success();
    assert_eq!(project.run("cat /ff"), "samesame");
    project.sandbox.assert_nothing_left();
}
