//! What an image has that its Dockerfile does not say: Podman's flags, annotations, times of files.

use std::os::unix::fs::MetadataExt as _;

use crate::project::Project;

/// A context whose Dockerfile begins with `busybox`, beside the image `base`, which has a label and a variable.
fn upon_base(dockerfile: &str) -> Project {
    let project = Project::of("FROM busybox\nLABEL a=b c=d\nENV OLD=1\n");
    project.build_base();
    project.file("Dockerfile", dockerfile)
}

#[test]
fn variables_and_labels_are_adjusted() {
    let project = upon_base(
        "FROM busybox AS one\nRUN echo \"$GIVEN $OWN\" > /before\nENV OWN=own\nLABEL e=f\n\
         FROM one\nRUN echo \"$GIVEN $OWN\" > /after\n",
    );
    let flags = "--from base --env GIVEN=x --env OWN=y --unsetenv OLD --unsetlabel a";
    let flags: Vec<&str> = flags.split(' ').collect();
    project.build(&flags).success();
    assert_eq!(project.run("cat /before /after"), "x y\nx own");
    let found = project.config("{{json .Config.Env}} {{json .Config.Labels}}");
    assert!(found.contains(r#""GIVEN=x","OWN=own"]"#), "{found}");
    assert!(!found.contains("OLD"), "{found}");
    assert!(found.ends_with(r#"{"c":"d","e":"f"}"#), "{found}");
    let without = ["--from", "base", "--inherit-labels=false", "--label", "g=h"];
    project.build(&without).success();
    assert_eq!(project.config("{{json .Config.Labels}}"), r#"{"g":"h"}"#);
}

#[test]
fn a_history_is_left_out_and_all_layers_become_one() {
    let project = upon_base("FROM base\nRUN echo new > /new\nRUN rm /bin/vi\n");
    let script = "cat /new; ls /bin/vi 2>&1 | wc -l; ls /bin | wc -l";
    project.build(&[]).success();
    let expected = project.run(script);
    project.build(&["--squash-all", "--omit-history"]).success();
    assert_eq!(project.run(script), expected);
    assert_eq!(project.config("{{len .RootFS.Layers}}"), "1");
    let history = ["history", "--no-trunc", "--format", "{{.CreatedBy}}", "t"];
    let history = project.sandbox.berth(&history).success();
    assert!(!history.contains("RUN"), "{history}");
}

#[test]
fn ignore_files_and_arguments_are_read_where_they_are_named() {
    let project = Project::of("FROM busybox\nARG A\nARG B\nCOPY . /c/\nRUN echo $A $B > /args\n")
        .file(".dockerignore", "one\n")
        .file("one", "")
        .file("two", "")
        .file("values", "# of this build\nA=file\nB=file\n");
    let at = |name: &str| project.directory.join(name).display().to_string();
    let ignore = project.sandbox.path().join("ignore");
    std::fs::write(&ignore, "*\n!one\n").unwrap();
    let built = project.build(&[
        "--ignorefile",
        ignore.to_str().unwrap(),
        "--build-arg-file",
        &at("values"),
        "--build-arg",
        "B=flag",
    ]);
    built.success();
    assert_eq!(project.run("ls /c; cat /args"), "one\nfile flag");
    let missing = project.build(&["--ignorefile", &at("none")]).status(1);
    assert!(missing.stderr.contains("cannot read"), "{missing}");
}

/// Nothing is given that has no effect, and nobody says so.
#[test]
fn arguments_that_nothing_declares_are_named() {
    let project = Project::of("FROM busybox\nONBUILD ARG LATER\n");
    project.build_base();
    project.write(
        "Dockerfile",
        "ARG GLOBAL=busybox\nFROM $GLOBAL AS unused\nARG ELSEWHERE\nFROM base\nARG OWN\n",
    );
    let mut flags = Vec::new();
    for name in [
        "GLOBAL=busybox",
        "ELSEWHERE=1",
        "OWN=1",
        "LATER=1",
        "http_proxy=",
    ] {
        flags.extend(["--build-arg", name]);
    }
    let built = project.build(&flags);
    built.success();
    assert!(!built.stderr.contains("Warning"), "{built}");
    flags.extend(["--build-arg", "TYPO=1", "--build-arg", "AGAIN=2"]);
    let warned = project.build(&flags);
    warned.success();
    let sentence = "[Warning] One or more build-args [AGAIN TYPO] were not consumed";
    assert!(warned.stderr.contains(sentence), "{warned}");
    let timeless = project.build(&["--rewrite-timestamp"]);
    timeless.success();
    let sentence = "[Warning] rewrite-timestamp changes nothing";
    assert!(timeless.stderr.contains(sentence), "{timeless}");
}

#[test]
fn annotations_are_of_manifests_entries_and_the_index() {
    let project = Project::of("FROM scratch\nLABEL a=b\n");
    let built = project.build(&[
        "--platform=linux/amd64,linux/arm64",
        "--annotation=index,manifest:both=1",
        "--annotation=manifest[linux/arm64]:arm=1",
        "--annotation=manifest-descriptor[linux/amd64]:entry=1",
    ]);
    built.success();
    let inspect = |name: &str| {
        let text = project
            .sandbox
            .berth(&["manifest", "inspect", name])
            .success();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let index = inspect("t");
    assert_eq!(index["annotations"], serde_json::json!({"both": "1"}));
    let entries = index["manifests"].as_array().unwrap();
    let expected = [
        (
            "amd64",
            serde_json::json!({"entry": "1"}),
            serde_json::json!({"both": "1"}),
        ),
        (
            "arm64",
            serde_json::Value::Null,
            serde_json::json!({"both": "1", "arm": "1"}),
        ),
    ];
    assert_eq!(entries.len(), expected.len());
    for (entry, (architecture, of_entry, of_manifest)) in entries.iter().zip(expected) {
        assert_eq!(entry["platform"]["architecture"], architecture);
        assert_eq!(entry["annotations"], of_entry);
        let digest = entry["digest"].as_str().unwrap();
        assert_eq!(inspect(&format!("t@{digest}"))["annotations"], of_manifest);
    }
    for (flag, reason) in [
        ("--annotation=index:a=b", "a single platform has none"),
        (
            "--annotation=manifest[linux/s390x]:a=b",
            "nothing is built for that platform",
        ),
        ("--annotation=bogus", "it must be NAME=VALUE"),
    ] {
        let refused = project.build(&[flag]).status(1);
        assert!(refused.stderr.contains(reason), "{flag}: {refused}");
    }
}

/// An index is made of one platform too, where it is asked for, and each platform has one entry.
#[test]
fn an_index_of_one_platform_has_annotations() {
    let project = Project::of("FROM scratch\nLABEL a=b\n");
    let built = project.build(&[
        "--build-arg=BUILDKIT_MULTI_PLATFORM=1",
        "--platform=linux/amd64,linux/amd64",
        "--platform=linux/amd64",
        "--annotation=index:of=index",
        "--annotation=manifest-descriptor:of=entry",
    ]);
    built.success();
    let shown = project.sandbox.berth(&["manifest", "inspect", "t"]);
    let index: serde_json::Value = serde_json::from_str(&shown.success()).unwrap();
    assert_eq!(index["annotations"], serde_json::json!({"of": "index"}));
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{index}");
    assert_eq!(
        entries[0]["annotations"],
        serde_json::json!({"of": "entry"})
    );
    project
        .build(&["--platform=linux/arm64,linux/arm64/v8"])
        .success();
    let shown = project
        .sandbox
        .berth(&["manifest", "inspect", "t"])
        .success();
    assert!(!shown.contains("\"manifests\""), "{shown}");
}

/// As with `BuildKit`: that time is the files', whether or not those of layers are rewritten.
#[test]
fn files_alone_have_the_given_time() {
    let project = Project::of("FROM busybox\nRUN mkdir /d && echo > /d/f\n");
    let out = project.sandbox.path().join("out");
    let archive = project.sandbox.path().join("out.tar");
    let output = format!("type=tar,dest={}", archive.display());
    let flags = [
        "--source-date-epoch=60",
        "-o",
        out.to_str().unwrap(),
        "-o",
        &output,
    ];
    project.build(&flags).success();
    for path in ["d", "d/f", "bin", "bin/busybox"] {
        let metadata = std::fs::symlink_metadata(out.join(path)).unwrap();
        assert_eq!(metadata.mtime(), 60, "{path}");
    }
    let archive = std::fs::read(archive).unwrap();
    let late = archive
        .chunks(512)
        .filter(|block| block.get(257..262) == Some(b"ustar"));
    let late: Vec<_> = late
        .filter(|head| &head[136..147] != b"00000000074")
        .collect();
    assert!(late.is_empty(), "{} files", late.len());
}

#[test]
fn commands_are_given_what_is_asked_for() {
    let project = Project::of(
        "FROM busybox\nRUN grep CapBnd /proc/self/status > /found; id -G >> /found; cat /etc/resolv.conf >> /found\n",
    )
    .file("profile.json", r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
    let profile = project.directory.join("profile.json");
    let profile = format!("seccomp={}", profile.display());
    let flags = "--cap-drop all --cap-add sys_ptrace,kill --group-add 55 --dns 9.9.9.9 --dns-search example.com \
                 --dns-option use-vc --network private --add-host db=10.0.0.1 --security-opt";
    let mut flags: Vec<&str> = flags.split_whitespace().collect();
    flags.push(&profile);
    project.build(&flags).success();
    assert_eq!(
        project.run("cat /found"),
        "CapBnd:\t0000000000080020\n0 55\nnameserver 9.9.9.9\nsearch example.com\noptions use-vc"
    );
    project.write(
        "Dockerfile",
        "FROM busybox\nCOPY own /etc/hosts\nCOPY own /etc/hostname\nRUN cat /etc/hosts /etc/hostname > /found\n",
    );
    project.write("own", "of the image\n");
    project.build(&["--no-hosts", "--no-hostname"]).success();
    assert_eq!(project.run("cat /found"), "of the image\nof the image");
    project.build(&[]).success();
    assert!(!project.run("cat /found").contains("of the image"));
    for (flag, status) in [
        ("--add-host=nowhere", 125),
        ("--security-opt=seccomp=none.json", 1),
    ] {
        let refused = project.build(&[flag]).status(status);
        assert!(refused.stderr.contains("--"), "{flag}: {refused}");
    }
}

#[test]
fn podmans_other_flags_are_refused_in_a_sentence() {
    let project = Project::of("FROM scratch\nLABEL a=b\n");
    for flag in ["--skip-unused-stages", "--pull-never", "--layers"] {
        project.build(&[flag]).success();
    }
    for (flag, sentence) in [
        ("--format=dir", "use oci or docker"),
        ("--skip-unused-stages=false", "--target builds one"),
        ("--manifest=list", "-t names what is built"),
        ("--timestamp=0", "--source-date-epoch"),
        ("--all-platforms", "--platform names each of them"),
        ("--save-stages", "--target makes an image of a stage"),
    ] {
        let refused = project.build(&[flag]).status(125);
        assert!(refused.stderr.contains(sentence), "{flag}: {refused}");
    }
    let missing = project.build(&["--authfile=/none/auth.json"]).status(1);
    let sentence = "cannot read the logins of /none/auth.json";
    assert!(missing.stderr.contains(sentence), "{missing}");
}

/// Of one kind, whoever's documents the base has; and the parts of a platform are flags, too.
#[test]
fn images_are_described_by_whose_documents_is_asked_for() {
    let project = upon_base("FROM base\nRUN echo > /new\nHEALTHCHECK CMD true\n");
    let types = || {
        let text = project
            .sandbox
            .berth(&["manifest", "inspect", "t"])
            .success();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let of = |part: &serde_json::Value| part["mediaType"].as_str().unwrap().to_owned();
        let mut found = vec![of(&manifest), of(&manifest["config"])];
        found.extend(manifest["layers"].as_array().unwrap().iter().map(of));
        found
    };
    project.build(&["--format", "docker"]).success();
    assert!(
        types().iter().all(|found| found.contains(".docker.")),
        "{:?}",
        types()
    );
    assert_eq!(
        project.config("{{.Config.Healthcheck.Test}}"),
        "[CMD-SHELL true]"
    );
    project.sandbox.berth(&["tag", "t", "base"]).success();
    project.build(&["--format", "oci"]).success();
    assert_eq!(types().len(), 5);
    assert!(
        types().iter().all(|found| found.contains(".oci.")),
        "{:?}",
        types()
    );
    let refused = project
        .build(&["--format=docker", "--annotation=a=b"])
        .status(1);
    assert!(
        refused.stderr.contains("they have no annotations"),
        "{refused}"
    );
    project.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    project
        .build(&["--arch", "arm64", "--os", "freebsd"])
        .success();
    assert_eq!(project.config("{{.Os}}/{{.Architecture}}"), "freebsd/arm64");
    let both = project
        .build(&["--arch", "arm64", "--platform", "linux"])
        .status(125);
    assert!(both.stderr.contains("cannot be used together"), "{both}");
}
