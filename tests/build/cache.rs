//! The same steps are not made twice, and no step is taken for another.

use crate::project::{Project, cached};

#[test]
fn the_same_dockerfile_twice_is_fully_cached() {
    let project = Project::of("FROM busybox\nWORKDIR /app\nCOPY a .\nRUN echo made > b\nRUN true\nRUN true\nCMD [\"cat\", \"/app/a\"]\n")
        .file("a", "one");
    let first = project.build(&[]);
    first.success();
    assert_eq!(cached(&first), 0);
    let id = project.id();
    let second = project.build(&[]);
    second.success();
    assert_eq!(cached(&second), 5, "{second}");
    assert_eq!(project.id(), id, "the same steps are the same image");
    let third = project.build(&["--no-cache"]);
    third.success();
    assert_eq!(cached(&third), 0);
    project.sandbox.assert_nothing_left();
}

#[test]
fn content_decides_and_not_times() {
    let project = Project::of("FROM busybox\nCOPY a /a\nRUN cat /a > /b\n").file("a", "one");
    assert_eq!(project.sh("cat /b"), "one");
    let first = project.id();
    project.write("a", "two");
    assert_eq!(project.sh("cat /b"), "two");
    assert_ne!(project.id(), first);
    // Changed back and forth: the first result is still known.
    project.write("a", "one");
    let again = project.build(&[]);
    again.success();
    assert_eq!((cached(&again), project.id()), (2, first.clone()));
    // The same content written anew has new times and nothing else.
    std::fs::remove_file(project.directory.join("a")).unwrap();
    project.write("a", "one");
    let touched = project.build(&[]);
    touched.success();
    assert_eq!((cached(&touched), project.id()), (2, first));
    project.mode("a", 0o755);
    let executable = project.build(&[]);
    executable.success();
    assert_eq!(cached(&executable), 0, "a mode is content");
}

/// CVE-2024-24557: what a step depends on is in its key, the whole config included.
#[test]
fn no_step_is_taken_for_another() {
    let project = Project::of("FROM busybox\nENV A=1\nRUN echo $A > /a\n");
    assert_eq!(project.sh("cat /a"), "1");
    for (dockerfile, expected) in [
        ("FROM busybox\nENV A=2\nRUN echo $A > /a\n", "2"),
        ("FROM busybox\nARG A=3\nRUN echo $A > /a\n", "3"),
        (
            "FROM busybox\nENV A=1\nSHELL [\"/bin/sh\", \"-c\", \"echo shell > /a; true\"]\nRUN echo $A > /a\n",
            "shell",
        ),
        (
            "FROM busybox\nENV A=1\nLABEL x=y\nRUN echo $A > /a; echo new >> /a\n",
            "1\nnew",
        ),
    ] {
        project.write("Dockerfile", dockerfile);
        let built = project.build(&[]);
        built.success();
        assert_eq!(cached(&built), 0, "{dockerfile}");
        assert_eq!(project.run("cat /a"), expected, "{dockerfile}");
    }
    project.write("Dockerfile", "FROM busybox\nARG A=3\nRUN echo $A > /a\n");
    let argument = project.build(&["--build-arg", "A=4"]);
    argument.success();
    assert_eq!(
        (cached(&argument), project.run("cat /a").as_str()),
        (0, "4")
    );
}

#[test]
fn the_filter_makes_one_stage_again() {
    let project = Project::of(
        "FROM busybox AS a\nRUN true\nFROM busybox AS b\nRUN true\nCOPY --from=a /bin/true /x\n",
    );
    project.build(&[]).success();
    let filtered = project.build(&["--no-cache-filter", "a"]);
    filtered.success();
    assert_eq!(cached(&filtered), 2, "{filtered}");
}

#[test]
fn a_cache_mount_persists_and_is_in_no_image() {
    let project = Project::of(
        "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c echo $N >> /c/log; cp /c/log /log\n",
    );
    project.build(&["--build-arg", "N=1"]).success();
    project.build(&["--build-arg", "N=2"]).success();
    assert_eq!(
        project.run("cat /log; ls /c 2>&1 | head -1"),
        "1\n2\nls: /c: No such file or directory"
    );
}

#[test]
fn pruning_takes_the_cache_and_leaves_the_images() {
    let project = Project::of("FROM busybox\nRUN echo kept > /a\n");
    project.build(&[]).success();
    let listed = project.sandbox.berth(&["builder", "du"]).success();
    assert!(listed.contains("Reclaimable"), "{listed}");
    project
        .sandbox
        .berth(&["builder", "prune", "-af"])
        .success();
    assert_eq!(project.run("cat /a"), "kept");
    let rebuilt = project.build(&[]);
    rebuilt.success();
    assert_eq!(cached(&rebuilt), 0);
    // Without the image the layers of the cache stay of use.
    project.sandbox.berth(&["rmi", "t"]).success();
    let again = project.build(&[]);
    again.success();
    assert_eq!(cached(&again), 1, "{again}");
    assert_eq!(project.run("cat /a"), "kept");
}

#[test]
fn an_epoch_makes_the_same_image_anywhere() {
    let dockerfile = "FROM scratch\nCOPY a /d/a\nCOPY b /d/e/\nWORKDIR /w\nLABEL x=y\n";
    let digest = || {
        let project = Project::new()
            .file("Dockerfile", dockerfile)
            .file("a", "1")
            .file("b", "2");
        project
            .build(&["--source-date-epoch", "1700000000", "--rewrite-timestamp"])
            .success();
        assert!(
            project
                .config("{{.Created}}")
                .starts_with("2023-11-14T22:13:20")
        );
        project.config("{{.Id}} {{.RootFS.Layers}}")
    };
    assert_eq!(digest(), digest());
}

/// What stays within a budget is of use: a step stays with those it was made upon.
#[test]
fn pruning_keeps_to_a_budget() {
    let fill = |name: &str| format!("RUN head -c 200000 /dev/urandom > /{name}\n");
    let project = Project::of(&format!("FROM busybox\n{}{}", fill("a"), fill("b")));
    project.build(&[]).success();
    project.write("Other", &format!("FROM busybox\n{}", fill("other")));
    let other = project.directory.join("Other").display().to_string();
    let words = ["build", "-t", "o", &other];
    project.sandbox.berth(&words).success();
    project.sandbox.berth(&["rmi", "t", "o"]).success();
    let entries = || {
        let listed = project.sandbox.berth(&["builder", "du"]).success();
        let lines = listed.lines().skip(1);
        lines.take_while(|line| !line.starts_with("Shared")).count()
    };
    assert_eq!(entries(), 3);
    let prune = |budget: &str| {
        let words = ["builder", "prune", "-af", "--keep-storage", budget];
        project.sandbox.berth(&words).success()
    };
    prune("700k");
    assert_eq!(entries(), 3, "everything fits");
    // The one that was used last fits; of the other two the one below, without which the upper is of no use.
    prune("450k");
    assert_eq!(entries(), 2);
    assert_eq!(cached(&project.sandbox.berth(&words)), 1);
    assert_eq!(cached(&project.build(&[])), 1);
    prune("1k");
    assert_eq!(entries(), 0);
}

/// What is mounted of the context is copied once, whatever number of commands sees it.
#[test]
fn mounted_sources_are_copied_once() {
    let project = Project::of(
        "FROM busybox\nRUN --mount=target=/s stat -c %i /s/f > /1\nRUN --mount=target=/s stat -c %i /s/f > /2\n\
         RUN --mount=target=/s,rw stat -c %i /s/f > /3; echo changed > /s/f\nRUN --mount=target=/s cat /s/f > /4\n",
    )
    .file("f", "same");
    let found = project.sh("cat /1 /2 /3 /4");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[0], lines[1]);
    assert_ne!(
        lines[1], lines[2],
        "what can be written is a copy of its own"
    );
    assert_eq!(lines[3], "same");
}

/// What is remembered of a context's files is an entry of its own, and goes with the others.
#[test]
fn what_is_remembered_of_files_can_be_pruned() {
    let project = Project::of("FROM busybox\nCOPY f /c\n").file("f", "x");
    let words = [
        "builder",
        "du",
        "--verbose",
        "--filter",
        "type=source.local",
    ];
    // Nothing is remembered of a file that has just changed: it might change again within the same tick.
    let begun = std::time::Instant::now();
    let listed = loop {
        project.build(&["--no-cache"]).success();
        let listed = project.sandbox.berth(&words).success();
        if listed.contains("source.local") || begun.elapsed().as_secs() > 30 {
            break listed;
        }
    };
    assert!(
        listed.contains("source.local: digests of a context's files"),
        "{listed}"
    );
    let files = project.sandbox.data().join("build/files");
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 1);
    let prune = ["builder", "prune", "-af"];
    project.sandbox.berth(&prune).success();
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 0);
    project.build(&[]).success();
}

/// What a cache mount has gathered can be had as a tar, by its id or by its target.
#[test]
fn a_cache_mount_is_exported() {
    let project = Project::of(
        "FROM busybox\nRUN --mount=type=cache,target=/c mkdir /c/d && echo kept > /c/d/a\n\
         RUN --mount=type=cache,id=named,target=/c echo other > /c/b; touch /c/.wh.b\n",
    );
    project.build(&[]).success();
    let berth = |words: &[&str]| project.sandbox.berth(words);
    let archive = project.directory.join("c.tar");
    let archive = archive.to_str().unwrap();
    berth(&["builder", "export", "-o", archive, "/c"]).success();
    let listed = berth(&["builder", "du", "--filter", "description=named"]).success();
    let id = listed.lines().nth(1).unwrap().split(' ').next().unwrap();
    for name in ["named", id] {
        let screen = berth(&["builder", "export", name]);
        assert!(
            screen.status == 0 && screen.stdout.contains("other\n"),
            "{name}"
        );
        // In layers such a name means that something is gone; in a mount it is a name.
        assert!(screen.stdout.contains(".wh.b\0"), "{name}");
    }
    let new = project.directory.join("new.tar");
    insta::assert_snapshot!(berth(&["builder", "export", "-o", new.to_str().unwrap(), "absent"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such cache mount: absent

    hint: berth builder du --filter type=exec.cachemount --verbose
    ");
    assert!(!new.exists());
    project.write("Dockerfile", "FROM busybox\nADD c.tar /c/\n");
    assert_eq!(project.sh("cat /c/d/a"), "kept");
}

/// What a step does not see is no reason to make it again.
#[test]
fn labels_and_commands_make_no_step_new() {
    let dockerfile = |label: &str| {
        format!(
            "FROM busybox\nLABEL a={label}\nEXPOSE {label}\nCMD [\"{label}\"]\nHEALTHCHECK CMD {label}\nVOLUME /{label}\n\
             WORKDIR /w\nCOPY f .\nRUN echo x > /x\nENV E={label}\nCOPY f /g\nRUN echo $E > /e\n"
        )
    };
    let project = Project::of(&dockerfile("1")).file("f", "");
    project.build(&[]).success();
    project.write("Dockerfile", &dockerfile("2"));
    let again = project.build(&[]);
    assert_eq!(cached(&again), 4, "{again}");
    assert_eq!(project.run("cat /e"), "2");
    assert_eq!(project.config("{{.Config.Labels.a}}"), "2");
}

/// A cache mount of one id that asks for another owner is another directory, as with `BuildKit`: what is there already
/// may be somebody else's.
#[test]
fn cache_mounts_with_owners_are_their_own() {
    let project = Project::of(
        "FROM busybox\nRUN --mount=type=cache,target=/c touch /c/root\nUSER 1000\n\
         RUN --mount=type=cache,target=/c,uid=1000 touch /c/own && ls /c > /tmp/one\n\
         RUN --mount=type=cache,target=/c,uid=1000,mode=0755 ls /c > /tmp/two\nUSER 0\n\
         RUN --mount=type=cache,target=/c ls /c > /tmp/three\n",
    );
    assert_eq!(
        project.sh("cat /tmp/one /tmp/two /tmp/three"),
        "own\nown\nroot"
    );
}

/// Images write times with years of four digits.
#[test]
fn a_time_that_cannot_be_written_is_refused() {
    let project = Project::of("FROM scratch\nCOPY Dockerfile /\n");
    for time in ["99999999999999", "-99999999999", "253402300800", "x"] {
        let argument = format!("SOURCE_DATE_EPOCH={time}");
        for options in [["--source-date-epoch", time], ["--build-arg", &argument]] {
            let refused = project.build(&options);
            assert_ne!(refused.status, 0, "{options:?}");
            assert!(refused.stderr.contains(time), "{refused}");
        }
    }
    project.build(&["--source-date-epoch", "-1"]).success();
    assert_eq!(project.config("{{.Created}}"), "1969-12-31T23:59:59Z");
}

/// What has no time of its own has that of the build: the cache gives no other.
#[test]
fn the_cache_keeps_the_time_that_files_were_given() {
    let project =
        Project::of("FROM scratch\nWORKDIR /w\nCOPY <<EOF /new/text\nx\nEOF\nCOPY f /f\n")
            .file("f", "f");
    let id = |options: &[&str]| {
        project.build(options).success();
        project.id()
    };
    project.build(&[]).success();
    let (old, new) = (["--source-date-epoch", "1"], ["--source-date-epoch", "2"]);
    let first = id(&old);
    assert_eq!(id(&[&old[..], &["--no-cache"]].concat()), first);
    let second = id(&new);
    assert_eq!(id(&[&new[..], &["--no-cache"]].concat()), second);
    assert_eq!(id(&old), first);
    let again = project.build(&old);
    again.success();
    assert_eq!(cached(&again), 3, "{again}");
}

/// What two commands mount of the context is what it holds when each of them begins.
#[test]
fn a_mount_is_what_its_key_says() {
    let project = Project::of(
        "FROM busybox AS a\nRUN --mount=source=f,target=/f --mount=type=cache,target=/c cat /f > /one; touch /c/ready\n\
         FROM busybox AS b\nRUN --mount=type=cache,target=/c while [ ! -e /c/go ]; do sleep 0.1; done\n\
         RUN --mount=source=f,target=/f cat /f > /two\n\
         FROM busybox\nCOPY --from=a /one /one\nCOPY --from=b /two /two\n",
    )
    .file("f", "old ");
    let context = project.directory.to_str().unwrap();
    let running = project.sandbox.start(&["build", "-t", "t", context]);
    let cache = project.cache_with("ready");
    project.write("f", "new ");
    std::fs::write(cache.join("go"), "").unwrap();
    running.finish().success();
    assert_eq!(project.run("cat /one /two"), "old new");
    assert_eq!(project.sh("cat /one /two"), "new new");
}

/// A file that is written while others are copied is not kept beneath the key of what it was.
#[test]
fn a_copy_that_is_not_what_its_key_says_is_not_kept() {
    let project = Project::of("FROM busybox\nCOPY c /c\n").file("c/z", "good");
    let big = std::fs::File::create(project.directory.join("c/a")).unwrap();
    big.set_len(300 << 20).unwrap();
    let context = project.directory.to_str().unwrap();
    let words = ["build", "--progress", "plain", "-t", "t", context];
    let running = project.sandbox.start(&words);
    let ingest = project.sandbox.data().join("ingest");
    crate::project::wait_until("it is copied", || {
        let mut names = crate::project::tree_of_what_changes(&ingest).into_iter();
        names.any(|name| name.ends_with("c/a"))
    });
    project.write("c/z", "evil");
    let screen = running.finish();
    screen.success();
    assert!(
        screen.stderr.contains("the cache does not keep this step"),
        "{screen}"
    );
    project.write("c/z", "good");
    assert_eq!(project.sh("cat /c/z"), "good");
}

/// What prune throws away is deleted, and is in nobody's way meanwhile.
#[test]
fn what_was_pruned_is_deleted() {
    let project = Project::of("FROM busybox\nCOPY f /f\n").file("f", "x");
    project.build(&[]).success();
    project.sandbox.berth(&["rmi", "t"]).success();
    let trash = project.sandbox.data().join("trash");
    std::fs::write(trash.join("b".repeat(64)), "thrown away by the image store").unwrap();
    project
        .sandbox
        .berth(&["container", "prune", "-f"])
        .success();
    for prune in [
        &["builder", "prune", "-af"][..],
        &["container", "prune", "-f"],
    ] {
        project.sandbox.berth(prune).success();
    }
    std::fs::write(trash.join("kept"), "thrown away by a killed one").unwrap();
    project
        .sandbox
        .berth(&["builder", "prune", "-af"])
        .success();
    crate::project::wait_until("the trash is empty", || {
        std::fs::read_dir(&trash).unwrap().next().is_none()
    });
}
