//! Small things that Dockerfiles rely on, as the tests of `BuildKit`'s frontend tell them.

use std::process::Command;

use crate::project::Project;

#[test]
fn steps_are_shown_with_what_their_variables_hold() {
    let project = Project::of(
        "FROM busybox\nARG FROM=a TO=/b\nENV V=value TOKEN=known\nCOPY ${FROM} $TO\nWORKDIR /w/$V\n\
         RUN echo \"$V\" '$V' $UNSET ${FROM}\n\
         RUN --mount=type=secret,id=t,env=TOKEN echo $TOKEN > /dev/null\n\
         RUN <<X\necho one\necho two\nX\n",
    )
    .file("a", "A");
    let built = project.build(&[]);
    built.success();
    for step in [
        "[2/6] COPY a /b\n",
        "[3/6] WORKDIR /w/value\n",
        "[4/6] RUN echo \"value\" '$V' $UNSET a\n",
        "[5/6] RUN --mount=type=secret,id=t,env=TOKEN echo $TOKEN > /dev/null\n",
        "[6/6] RUN <<X (echo one...)\n",
    ] {
        assert!(built.stderr.contains(step), "{built}");
    }
}

/// What waits for another stage has not begun.
#[test]
fn a_copy_begins_when_its_source_is_there() {
    let project = Project::of(
        "FROM busybox AS a\nRUN echo 1 > /a\nRUN echo 2 >> /a\nFROM scratch\nCOPY --from=a /a /\n",
    );
    let built = project.build(&["--progress", "rawjson"]);
    built.success();
    let at = |text: &str| {
        let mut lines = built.stderr.lines();
        lines.position(|line| line.contains(text)).unwrap()
    };
    let number = |text: &str| {
        let line = built.stderr.lines().nth(at(text)).unwrap();
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["step"].to_string()
    };
    let last = format!("\"event\":\"done\",\"step\":{},", number("RUN echo 2"));
    assert!(at(&last) < at("COPY --from=a"), "{built}");
}

#[test]
fn the_config_of_nothing_is_buildkits() {
    let project = Project::of("FROM scratch\nCMD a b\n");
    project.build(&[]).success();
    let template = "{{.Config.WorkingDir}} {{.Config.Cmd}} {{len .Config.Env}}";
    assert_eq!(project.config(template), "/ [/bin/sh -c a b] 1");
    project.build(&["--platform", "windows"]).success();
    assert_eq!(project.config(template), "/ [cmd /S /C a b] 0");
}

#[test]
fn the_file_itself_may_say_the_time_of_everything() {
    let project = Project::of(
        "ARG SOURCE_DATE_EPOCH=1445412480\nFROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /t\n",
    );
    assert_eq!(project.sh("cat /t"), "1445412480");
    assert_eq!(project.config("{{.Created}}"), "2015-10-21T07:28:00Z");
    let given = ["--build-arg", "SOURCE_DATE_EPOCH=1700000002"];
    project.build(&given).success();
    assert_eq!(project.config("{{.Created}}"), "2023-11-14T22:13:22Z");
    // An empty one takes it away.
    project
        .build(&["--build-arg", "SOURCE_DATE_EPOCH="])
        .success();
    assert!(project.config("{{.Created}}").as_str() > "2026");
    project.write(
        "Dockerfile",
        "ARG SOURCE_DATE_EPOCH=not-a-timestamp\nFROM busybox\n",
    );
    let failed = project.build(&[]).status(1);
    let reason = "invalid SOURCE_DATE_EPOCH: not-a-timestamp";
    assert!(failed.stderr.contains(reason), "{failed}");
}

#[test]
fn arguments_of_copies_are_divided_at_every_blank() {
    let project = Project::of("FROM scratch\nCOPY \"a b\" /\n").file("a b", "A");
    let failed = project.build(&[]).status(1);
    assert!(
        failed
            .stderr
            .contains("paths with blanks need the JSON form"),
        "{failed}"
    );
    project.write(
        "Dockerfile",
        "FROM scratch\nCOPY [\"a b\", \"/\"]\nCOPY \"Dockerfile\" '/d'\n",
    );
    project.build(&[]).success();
}

#[test]
fn the_history_tells_what_owners_come_to() {
    let project =
        Project::of("FROM busybox\nARG U=1:2\nCOPY --chown=$U --chmod=${M:-600} Dockerfile /\n");
    project.build(&[]).success();
    let words = ["history", "--no-trunc", "--format", "{{.CreatedBy}}", "t"];
    let history = project.sandbox.berth(&words).success();
    let expected = "COPY --chown=1:2 --chmod=600 Dockerfile / # buildkit";
    assert_eq!(history.lines().next(), Some(expected), "{history}");
}

/// What was found before a mistake is told, too, by builds and by `--check`, which ends with the mistake.
#[test]
fn warnings_come_before_a_mistake() {
    let project = Project::of("FROM scratch AS Bad\nMAINTAINER me\nBADCMD\n");
    let warnings = ["StageNameCasing", "MaintainerDeprecated"];
    let mistake = "line 3: unknown instruction: BADCMD";
    let built = project.build(&[]).status(1);
    let checked = project.build(&["--check"]).status(1);
    for warning in warnings {
        assert!(built.stderr.contains(warning), "{built}");
        assert!(
            checked.stdout.contains(&format!("WARNING: {warning} - ")),
            "{checked}"
        );
    }
    assert!(
        built.stderr.contains(mistake) && checked.stderr.contains(mistake),
        "{built} {checked}"
    );
    project.write(
        "Dockerfile",
        "# check=error=true\nFROM scratch as base\ncopy Dockerfile .\n",
    );
    let violation = "lint violation found for rules: FromAsCasing, ConsistentInstructionCasing";
    for options in [&[][..], &["--check"]] {
        let failed = project.build(options).status(1);
        assert!(failed.stderr.contains(violation), "{failed}");
    }
    // Steps that the target does not need are none of the build's business.
    project.write(
        "Dockerfile",
        "# check=error=true\nFROM scratch AS a\nENV b c\nFROM scratch\n",
    );
    project.build(&[]).success();
    for options in [&["--check"][..], &["--check", "--target", "a"]] {
        let checked = project.build(options).status(1);
        assert!(checked.stdout.contains("LegacyKeyValueFormat"), "{checked}");
    }
    let document = project.build(&["--call", "check,format=json"]).status(1);
    let document: serde_json::Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!(document["warnings"][0]["ruleName"], "LegacyKeyValueFormat");
}

#[test]
fn an_ignore_file_that_makes_no_sense_is_refused() {
    let project = Project::of("FROM scratch\nCOPY . .\n").file(".dockerignore", "!\n");
    let failed = project.build(&[]).status(1);
    assert!(
        failed.stderr.contains("illegal exclusion pattern"),
        "{failed}"
    );
    assert!(!failed.stderr.contains("#1 "), "{failed}");
}

/// A file of this machine with a context that came from elsewhere: an absolute path names it.
#[test]
fn an_absolute_dockerfile_is_not_looked_for_in_an_archive() {
    let project = Project::of("FROM scratch\nCOPY a /b\n").file("files/a", "A");
    let archive = project.sandbox.path().join("context.tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(project.directory.join("files"))
        .arg("-cf")
        .arg(&archive)
        .arg("a")
        .status();
    assert!(packed.unwrap().success());
    let out = project.sandbox.path().join("out");
    let file = project.directory.join("Dockerfile");
    let words = [
        "build",
        "-o",
        out.to_str().unwrap(),
        "-f",
        file.to_str().unwrap(),
        "-",
    ];
    let mut command = project.sandbox.command(&words);
    command.stdin(std::fs::File::open(&archive).unwrap());
    assert!(command.status().unwrap().success());
    assert_eq!(std::fs::read_to_string(out.join("b")).unwrap(), "A");
}

/// As buildx's: editors go to the places.
#[test]
fn answers_in_json_tell_places_and_the_text() {
    let project = Project::of(
        "FROM scratch AS a\nFROM scratch AS b\nARG V=1\nRUN --mount=type=secret,id=s --mount=type=ssh x\n",
    );
    let answer = |question: &str| -> serde_json::Value {
        let question = format!("{question},format=json");
        let answer = project.build(&["--call", &question]).success();
        serde_json::from_str(&answer).unwrap()
    };
    let line = |value: &serde_json::Value| value["location"]["ranges"][0]["start"]["line"].clone();
    let text = "RlJPTSBzY3JhdGNoIEFTIGEKRlJPTSBzY3JhdGNoIEFTIGIK";
    let (targets, outline) = (answer("targets"), answer("outline"));
    for document in [&targets, &outline] {
        let source = document["sources"][0].as_str().unwrap();
        assert!(source.starts_with(text), "{document}");
    }
    assert_eq!(line(&targets["targets"][1]), 2);
    assert_eq!(line(&outline["args"][0]), 3);
    assert_eq!(
        (line(&outline["secrets"][0]), line(&outline["ssh"][0])),
        (4.into(), 4.into())
    );
}
