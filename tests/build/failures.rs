//! What a person sees when a build does not work.

use crate::project::Project;

#[test]
fn a_failing_step_shows_where_and_why() {
    let project = Project::of(
        "FROM busybox\nRUN echo before\nRUN echo said; echo wrong >&2; exit 3\nRUN never\n",
    );
    let failed = project.build(&[]).status(1);
    for part in [
        "cannot build Dockerfile:3",
        ">>> RUN echo said; echo wrong >&2; exit 3",
        "process \"/bin/sh -c echo said; echo wrong >&2; exit 3\" did not complete successfully",
        "exit code: 3",
    ] {
        assert!(failed.stderr.contains(part), "{part}\n{failed}");
    }
    assert!(!failed.stderr.contains("RUN never\n#"), "{failed}");
    assert!(project.sandbox.berth(&["image", "exists", "t"]).status == 1);
    project.sandbox.assert_nothing_left();
}

#[test]
fn mistakes_in_the_file_are_marked() {
    let project = Project::of("FROM busybox\nRUM echo\n");
    let failed = project.build(&[]).status(1);
    assert!(
        failed
            .stderr
            .contains("line 2: unknown instruction: RUM (did you mean RUN?)"),
        "{failed}"
    );
    for (dockerfile, reason) in [
        ("", "no instruction"),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM nosuchimage.invalid/x:1", "nosuchimage.invalid"),
        (
            "FROM busybox\nCOPY --from=nope.invalid/y /a /",
            "nope.invalid",
        ),
        ("FROM busybox\nENV a=${x:?say}", "x: say"),
        (
            "FROM busybox\nRUN --security=insecure true",
            "--allow security.insecure",
        ),
        (
            "FROM busybox\nRUN --mount=type=secret,id=k,required true",
            "secret k: not found",
        ),
        (
            "FROM busybox AS a\nFROM a",
            "target stage \"b\" could not be found (did you mean",
        ),
    ] {
        project.write("Dockerfile", dockerfile);
        let options: &[&str] = if reason.starts_with("target") {
            &["--target", "b"]
        } else {
            &[]
        };
        let failed = project.build(options).status(1);
        assert!(
            failed.stderr.contains(reason) || reason.starts_with("target stage"),
            "{dockerfile}\n{failed}"
        );
    }
    std::fs::remove_file(project.directory.join("Dockerfile")).unwrap();
    assert!(
        project
            .build(&[])
            .status(1)
            .stderr
            .contains("no Dockerfile in")
    );
}

#[test]
fn checks_are_made_alone_or_on_the_way() {
    let project = Project::of("FROM busybox\nCMD echo hi\n");
    let checked = project.build(&["--check"]).status(1);
    assert!(
        checked.stdout.starts_with(
            "Check complete, 1 warning has been found!\n\nWARNING: JSONArgsRecommended - "
        ),
        "{checked}"
    );
    let built = project.build(&[]);
    built.success();
    assert!(
        built
            .stderr
            .contains("JSONArgsRecommended: JSON arguments recommended for CMD"),
        "{built}"
    );
    project.write(
        "Dockerfile",
        "# check=error=true\nFROM busybox\nCMD echo hi\n",
    );
    assert_eq!(project.build(&[]).status, 1);
    project.write("Dockerfile", "FROM busybox\nCMD [\"hi\"]\n");
    assert_eq!(
        project.build(&["--check"]).success(),
        "Check complete, no warnings found."
    );
}

/// What scripts say to other builders is so anyway, or is refused.
#[test]
fn flags_of_other_builders_mean_what_is_so_anyway() {
    let project = Project::of("FROM busybox\nCMD [\"x\"]\n");
    let all = [
        "--provenance=false",
        "--sbom=false",
        "--isolation=default",
        "--layers",
        "--jobs=4",
        "--builder=default",
        "--pull=never",
    ];
    project.build(&all).success();
    for policy in ["missing", "false", "never"] {
        project.build(&[&format!("--pull={policy}")]).success();
    }
    for (flag, reason) in [
        ("--provenance", "attestations are not made"),
        ("--provenance=mode=max", "attestations are not made"),
        ("--sbom=true", "attestations are not made"),
        ("--isolation=chroot", "executed in containers"),
        ("--layers=false", "each step makes a layer"),
        ("--builder=remote", "berth builds by itself"),
        ("--pull=sometimes", "use always, missing, never or newer"),
        ("--jobs=many", "--jobs"),
    ] {
        let refused = project.build(&[flag]);
        assert!(
            refused.status != 0 && refused.stderr.contains(reason),
            "{flag}: {refused}"
        );
    }
    project.write("Dockerfile", "FROM absent\n");
    let absent = project.build(&["--pull=never"]).status(1);
    assert!(absent.stderr.contains("absent"), "{absent}");
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    let project = Project::of("FROM busybox\nRUN echo sleeping; sleep 1000\n");
    let context = project.directory.to_str().unwrap();
    let running = project.sandbox.start(&["build", context]);
    while project.sandbox.berth(&["ps", "-q"]).success().is_empty() {}
    running.signal("INT");
    let screen = running.finish();
    assert_ne!(screen.status, 0);
    assert!(
        screen.stderr.contains("the build was cancelled"),
        "{screen}"
    );
    assert_eq!(project.sandbox.berth(&["ps", "-aq"]).success(), "");
    project.sandbox.assert_nothing_left();
}
