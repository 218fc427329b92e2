//! What stages need of each other, of their bases and of named contexts.

use crate::project::Project;

/// The instructions that a base keeps name stages that the Dockerfile's own text does not, and so may variables.
#[test]
fn stages_are_built_whoever_names_them() {
    let project = Project::of("FROM busybox\nONBUILD COPY --from=made /m /triggered\n");
    project.build_base();
    project.write(
        "Dockerfile",
        "FROM busybox AS first\nRUN echo 1 > /one\nFROM busybox AS made\nCOPY --from=first /one /m\n\
         FROM base AS child\nARG M=type=bind,from=first,target=/f\nRUN --mount=$M cat /f/one > /mounted\n\
         FROM child\nCOPY --from=0 /one /numbered\n",
    );
    assert_eq!(project.sh("cat /triggered /mounted /numbered"), "1\n1\n1");
    for line in [
        "COPY --from=$X /one /",
        "RUN --mount=from=$X,target=/m true",
    ] {
        project.write(
            "Dockerfile",
            &format!("FROM busybox AS first\nFROM busybox\nARG X=first\n{line}\n"),
        );
        let refused = project.build(&[]).status(1);
        assert!(
            refused
                .stderr
                .contains("variable expansion is not supported"),
            "{refused}"
        );
    }
}

/// The steps of a stage are counted as `BuildKit` counts them: only an image that it begins with is one.
#[test]
fn steps_are_counted_by_stage() {
    let project = Project::of(
        "FROM scratch AS first\nCOPY Dockerfile /a\nFROM first\nCOPY Dockerfile /b\nWORKDIR /c\n",
    );
    let screen = project.build(&["--progress", "plain"]);
    screen.success();
    for step in [
        "[first 1/1] COPY Dockerfile /a\n",
        "[stage-1 1/2] COPY Dockerfile /b\n",
        "[stage-1 2/2] WORKDIR /c\n",
    ] {
        assert!(screen.stderr.contains(step), "{screen}");
    }
}

/// What fails in a stage that is waited for ends everything, and is what is told.
#[test]
fn a_failing_stage_ends_those_that_wait_for_it() {
    let project = Project::of("FROM busybox\nONBUILD COPY --from=made /m /m\n");
    project.build_base();
    project.write(
        "Dockerfile",
        "FROM busybox AS made\nRUN exit 7\nFROM base AS a\nFROM base AS b\nFROM busybox\nCOPY --from=a / /a\nCOPY --from=b / /b\n",
    );
    let failed = project.build(&[]).status(1);
    assert!(failed.stderr.contains("exit code: 7"), "{failed}");
    project.sandbox.assert_nothing_left();
}

/// A signal ends a build whose stages wait for each other.
#[test]
fn waiting_stages_end_at_a_signal() {
    let project = Project::of(
        "FROM busybox AS slow\nRUN echo sleeping; sleep 1000\nFROM busybox AS next\nCOPY --from=slow / /a\nFROM busybox\nCOPY --from=next / /a\n",
    );
    let running = project
        .sandbox
        .start(&["build", project.directory.to_str().unwrap()]);
    while project.sandbox.berth(&["ps", "-q"]).success().is_empty() {}
    running.signal("TERM");
    let screen = running.finish();
    assert!(
        screen.stderr.contains("the build was cancelled"),
        "{screen}"
    );
    project.sandbox.assert_nothing_left();
}

/// "When Dockerfile defines a stage with the same name it is overwritten" (buildx, --build-context).
#[test]
fn named_contexts_replace_stages() {
    let project = Project::of(
        "FROM busybox AS Made\nRUN exit 9\nFROM busybox AS other\nRUN echo stage > /f\n\
         FROM made AS child\nRUN echo child > /c\n\
         FROM busybox\nCOPY --from=child /from /c /n/\nCOPY --from=other /f /f\nRUN --mount=from=other,target=/o cp /o/f /g\nCOPY --from=1 /f /h\n",
    )
    .file("other/f", "context\n");
    project
        .sandbox
        .berth_with_input(
            &["build", "-t", "replacement", "-"],
            b"FROM busybox\nRUN echo replaced > /from\n",
        )
        .success();
    let other = format!("other={}", project.directory.join("other").display());
    project
        .build(&[
            "--build-context",
            "made=docker-image://replacement",
            "--build-context",
            &other,
        ])
        .success();
    assert_eq!(
        project.run("cat /n/from /n/c /f /g /h"),
        "replaced\nchild\ncontext\ncontext\ncontext"
    );
}

/// A directory may be what a stage begins with.
#[test]
fn a_directory_is_a_base() {
    let project = Project::of("FROM base\nCOPY x /x\nCMD [\"/x\"]\n")
        .file("x", "x")
        .file("root/etc/f", "f");
    let context = format!("base={}", project.directory.join("root").display());
    project.build(&["--build-context", &context]).success();
    let out = project.sandbox.path().join("out");
    let output = format!("type=local,dest={}", out.display());
    project
        .build(&["--build-context", &context, "-o", &output])
        .success();
    assert_eq!(std::fs::read(out.join("etc/f")).unwrap(), b"f");
    assert_eq!(std::fs::read(out.join("x")).unwrap(), b"x");
    project.write("root/etc/f", "changed");
    project
        .build(&["--build-context", &context, "-o", &output])
        .success();
    assert_eq!(std::fs::read(out.join("etc/f")).unwrap(), b"changed");
}

/// A number that is no earlier stage is a mistake, whatever image has an id that begins like it.
#[test]
fn numbers_are_stages_and_no_ids() {
    let project = Project::new();
    let id = project
        .sandbox
        .berth(&["image", "inspect", "-f", "{{.Id}}", "busybox"])
        .success();
    let hex = id.trim_start_matches("sha256:").to_owned();
    for name in ["1", "7", &hex[..4], &hex[..12]] {
        project.write(
            "Dockerfile",
            &format!("FROM busybox AS a\nFROM busybox\nCOPY --from={name} /bin /b\n"),
        );
        let refused = project.build(&["--pull=never"]);
        assert_ne!(refused.status, 0, "{name}: {refused}");
    }
    project.write("Dockerfile", "FROM busybox\nCOPY --from=1 /bin /b\n");
    let refused = project.build(&[]).status(1);
    assert!(
        refused.stderr.contains("invalid stage index 1"),
        "{refused}"
    );
    for later in ["1", "late"] {
        project.write(
            "Dockerfile",
            &format!(
                "FROM busybox AS a\nCOPY --from={later} /bin /b\nFROM busybox AS late\nFROM a\n"
            ),
        );
        let refused = project.build(&["--pull=never"]).status(1);
        let reason = "it needs to be defined before the current stage";
        assert!(refused.stderr.contains(reason), "{refused}");
    }
}

/// An entrypoint drops the arguments of the base, never the stage's own.
#[test]
fn arguments_before_an_entrypoint_are_kept() {
    let project = Project::of(
        "FROM busybox AS base\nCMD [\"base\"]\nFROM base AS own\nCMD [\"own\"]\nENTRYPOINT [\"echo\"]\nFROM base AS dropped\nENTRYPOINT [\"echo\"]\n",
    );
    for (target, cmd) in [("own", "[\"own\"]"), ("dropped", "null")] {
        project.build(&["--target", target]).success();
        assert_eq!(project.config("{{json .Config.Cmd}}"), cmd, "{target}");
    }
}

/// `--jobs 1`: no two steps at once, whatever stages wait for each other.
#[test]
fn steps_take_turns_when_they_are_told_to() {
    let alone = "--mount=type=cache,target=/c mkdir /c/busy || exit 9; for i in $(seq 300); do :; done; rmdir /c/busy";
    let stage =
        |name: &str| format!("FROM busybox AS {name}\nRUN {alone}; echo {name} > /of-{name}\n");
    let mut dockerfile: String = ["a", "b", "c"].iter().map(|name| stage(name)).collect();
    dockerfile.push_str(&format!("FROM busybox\nCOPY --from=c /of-c /\nRUN --mount=from=b,target=/b {alone}\nCOPY --from=a /of-a /\n"));
    let project = Project::of(&dockerfile);
    project.build(&["--jobs=1"]).success();
    // Two that wait for each other need two.
    let meet = |own: &str, other: &str| {
        format!(
            "FROM busybox AS {own}\nRUN --mount=type=cache,id=meet,target=/c touch /c/{own}; while [ ! -e /c/{other} ]; do :; done\n"
        )
    };
    project.write(
        "Dockerfile",
        &format!(
            "{}{}FROM busybox\nCOPY --from=a /bin/sh /1\nCOPY --from=b /bin/sh /2\n",
            meet("a", "b"),
            meet("b", "a")
        ),
    );
    project.build(&["--jobs=2"]).success();
    project.build(&["--no-cache", "--jobs=0"]).success();
}

/// The first step that fails ends the others, which are of no use any more.
#[test]
fn a_failing_stage_ends_the_others() {
    let project = Project::of(
        "FROM busybox AS a\nRUN --mount=type=cache,target=/c touch /c/a; sleep 1000\n\
         FROM busybox AS b\nRUN --mount=type=cache,target=/c while [ ! -e /c/a ]; do :; done; exit 3\n\
         FROM busybox\nCOPY --from=a /x /\nCOPY --from=b /x /\n",
    );
    let failed = project.build(&[]).status(1);
    assert!(
        failed.stderr.contains("cannot build Dockerfile:4"),
        "{failed}"
    );
    assert!(failed.stderr.contains("exit code: 3"), "{failed}");
    assert!(failed.stderr.contains(" CANCELED\n"), "{failed}");
    project.sandbox.assert_nothing_left();
}
