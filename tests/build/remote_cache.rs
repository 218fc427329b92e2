//! `--cache-to`, `--cache-from` and `--push`: what one machine has built, another need not build again.

use std::collections::BTreeSet;

use berth_testkit::{Running, Sandbox};

use crate::project::{Project, cached};

/// Two stages, so that the modes differ: `only` is in no layer of the result.
const STAGES: &str = "FROM busybox AS build\nCOPY a /a\nRUN echo only > /only && cat /a > /out\n\
                      FROM busybox\nWORKDIR /w\nCOPY --from=build /out /w/out\nRUN cat out > made\n";

/// A registry on a free port, ended when it is dropped.
pub(crate) struct Registry {
    running: Option<Running>,
    pub(crate) address: String,
    sandbox: Sandbox,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let sandbox = Sandbox::new();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let mut running = sandbox.start(&["serve", "registry", "--listen", &address]);
        running.wait_for("serving");
        Self {
            running: Some(running),
            address,
            sandbox,
        }
    }

    /// How many blobs it holds.
    fn blobs(&self) -> usize {
        let blobs = self.sandbox.data().join("oci/blobs/sha256");
        std::fs::read_dir(blobs).map_or(0, Iterator::count)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal("TERM");
            drop(running.finish());
        }
    }
}

fn machine() -> Project {
    Project::of(STAGES).file("a", "content")
}

/// Builds on one machine with `to` and on another with `from`; how many steps the other took over.
fn taken_over(to: &str, from: &str) -> usize {
    let first = machine();
    first.build(&["--cache-to", to]).success();
    let other = machine();
    let built = other.build(&["--cache-from", from]);
    built.success();
    assert_eq!(other.run("cat made out"), "contentcontent");
    // What was taken over is known here from now on.
    let again = other.build(&[]);
    again.success();
    assert_eq!(cached(&again), 5, "{again}");
    other.sandbox.assert_nothing_left();
    cached(&built)
}

#[test]
fn a_directory_carries_the_cache_to_another_machine() {
    let place = Sandbox::new();
    let at = place.path().join("cache").display().to_string();
    let (to, from) = (
        format!("type=local,dest={at}"),
        format!("type=local,src={at}"),
    );
    // The layers of the result are enough where nobody needs what they were made from …
    assert_eq!(taken_over(&to, &from), 5);
    // … and those of every stage in any case, compressed or not.
    assert_eq!(taken_over(&format!("{to},mode=max"), &from), 5);
    let compressed = format!("{to},mode=max,compression=zstd,tag=z");
    assert_eq!(taken_over(&compressed, &format!("{from},tag=z")), 5);
    // The other name is still there.
    let third = machine();
    let built = third.build(&["--cache-from", &from]);
    built.success();
    assert_eq!(cached(&built), 5, "{built}");
    // A changed file changes what depends on it and nothing else.
    let changed = machine();
    changed.write("a", "changed");
    let built = changed.build(&["--cache-from", &from]);
    built.success();
    assert_eq!(
        (cached(&built), changed.run("cat made").as_str()),
        (1, "changed")
    );
}

#[test]
fn a_registry_carries_the_cache_to_another_machine() {
    let registry = Registry::start();
    let name = format!("{}/team/app:cache", registry.address);
    let to = format!("type=registry,ref={name},mode=max,compression=gzip");
    assert_eq!(taken_over(&to, &name), 5);
    assert_eq!(taken_over(&name, &format!("type=registry,ref={name}")), 5);
}

/// `type=inline`: the image that is pushed tells how its own layers were made.
#[test]
fn a_pushed_image_is_a_cache_itself() {
    let registry = Registry::start();
    let name = format!("{}/team/app:1", registry.address);
    let first = machine();
    let context = first.directory.to_str().unwrap();
    let words = [
        "build",
        "-t",
        &name,
        "--push",
        "--cache-to",
        "type=inline",
        context,
    ];
    first.sandbox.berth(&words).success();
    first.sandbox.berth(&["tag", &name, "t"]).success();
    let other = machine();
    let built = other.build(&["--cache-from", &name, "--cache-to", "type=inline"]);
    built.success();
    assert_eq!(cached(&built), 5, "{built}");
    assert_eq!(other.id(), first.id(), "the same layers, the same image");
    let argument = machine();
    let built = argument.build(&[
        "--build-arg",
        "BUILDKIT_INLINE_CACHE=1",
        "--cache-from",
        &name,
    ]);
    built.success();
    assert_eq!((cached(&built), argument.id()), (5, first.id()));
}

#[test]
fn an_image_is_pushed_as_it_is_built() {
    let registry = Registry::start();
    let name = |tag: &str| format!("{}/team/app:{tag}", registry.address);
    let project = machine();
    let file = project.sandbox.path().join("metadata");
    let command = |output: &[&str]| {
        let context = project.directory.to_str().unwrap();
        let file = file.to_str().unwrap();
        project
            .sandbox
            .berth(&[&["build", "--metadata-file", file, context], output].concat())
    };
    command(&["-t", &name("1"), "-t", &name("2"), "--push"]).success();
    let metadata: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    let other = Sandbox::new();
    for tag in ["1", "2"] {
        other.berth(&["pull", &name(tag)]).success();
        let found = other
            .berth(&[
                "image",
                "inspect",
                "-f",
                "{{json .RepoDigests}}",
                &name(tag),
            ])
            .success();
        assert!(found.contains(digest), "{found} {digest}");
    }
    let before = registry.blobs();
    let archive = project
        .sandbox
        .path()
        .join("also.tar")
        .display()
        .to_string();
    command(&[
        "-t",
        &name("3"),
        "-o",
        "type=image,push=true,compression=zstd",
        "-o",
        &format!("type=oci,dest={archive}"),
    ])
    .success();
    assert!(
        registry.blobs() > before,
        "compressed layers are other blobs"
    );
    assert!(std::fs::metadata(&archive).is_ok());
    command(&["-t", &name("4"), "-o", "type=registry"]).success();
    other.berth(&["pull", &name("4")]).success();
    // Nowhere to push to is told before anything is built.
    let nameless = command(&["--push"]).status(1);
    assert!(!nameless.stderr.contains("#1"), "{nameless}");
    assert!(nameless.stderr.contains("without a name"), "{nameless}");
}

#[test]
fn a_cache_that_is_not_there_is_no_failure() {
    let project = machine();
    let built = project.build(&[
        "--cache-from",
        "type=local,src=/nowhere",
        "--cache-from",
        "127.0.0.1:1/x",
    ]);
    built.success();
    assert_eq!(cached(&built), 0);
    assert_eq!(built.stderr.matches("no cache: ").count(), 2, "{built}");
    // One that cannot be written is, unless that is said to be right.
    let to = "type=registry,ref=127.0.0.1:1/x";
    let failed = project.build(&["--cache-to", to]).status(1);
    assert!(
        failed
            .stderr
            .contains("cannot export the cache to 127.0.0.1:1/x"),
        "{failed}"
    );
    project
        .build(&["--cache-to", &format!("{to},ignore-error=true")])
        .success();
    for kind in ["gha", "s3,bucket=b", "azblob,name=n"] {
        let refused = project
            .build(&["--cache-to", &format!("type={kind}")])
            .status(1);
        assert!(
            refused
                .stderr
                .contains("caches lie in registries and directories"),
            "{refused}"
        );
    }
}

/// What lies in a cache is believed only as far as its digests go.
#[test]
fn a_damaged_cache_is_not_believed() {
    let place = Sandbox::new();
    let at = place.path().join("cache");
    let first = machine();
    first
        .build(&[
            "--cache-to",
            &format!("type=local,dest={},mode=max", at.display()),
        ])
        .success();
    for entry in std::fs::read_dir(at.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        // Documents are JSON; every layer gets another content of the same length.
        if bytes.first() != Some(&b'{') {
            let text = bytes.windows(7).position(|window| window == b"content");
            if let Some(at) = text {
                bytes[at..at + 7].copy_from_slice(b"hostile");
                std::fs::write(&path, bytes).unwrap();
            }
        }
    }
    let other = machine();
    other
        .build(&["--cache-from", &format!("type=local,src={}", at.display())])
        .success();
    assert_eq!(other.run("cat made out"), "contentcontent");
}

/// `--cache-from` takes an image that is here, without any registry.
#[test]
fn an_image_of_the_store_is_a_cache() {
    let first = machine();
    first.build(&["--cache-to", "type=inline"]).success();
    let archive = first.sandbox.path().join("t.tar").display().to_string();
    first
        .sandbox
        .berth(&["save", "-o", &archive, "t"])
        .success();
    let other = machine();
    other.sandbox.berth(&["load", "-i", &archive]).success();
    let built = other.build(&["--cache-from", "t"]);
    built.success();
    assert_eq!(cached(&built), 5, "{built}");
    assert_eq!(other.run("cat made out"), "contentcontent");
}

/// A linked copy fits upon any stage, but whom a name means only its own stage knows.
#[test]
fn a_linked_copy_is_whose_its_own_stage_says() {
    let place = Sandbox::new();
    let at = place.path().join("cache").display().to_string();
    let machine = |id: u32| {
        Project::of(&format!(
            "FROM busybox AS made\nRUN echo 1 > /f\n\
             FROM busybox\nRUN echo 'app:x:{id}:{id}::/:/bin/sh' >> /etc/passwd\n\
             COPY --link --chown=app --from=made /f /f\n"
        ))
    };
    let first = machine(1000);
    first
        .build(&["--cache-to", &format!("type=local,dest={at}")])
        .success();
    assert_eq!(first.run("stat -c %u /f"), "1000");
    for id in [1000, 1001] {
        let other = machine(id);
        let from = format!("type=local,src={at}");
        other.build(&["--cache-from", &from]).success();
        assert_eq!(other.run("stat -c %u /f"), id.to_string());
    }
}

/// Of a stage that is not in the result a cache may know only what it came to. That is enough until its files are needed.
#[test]
fn a_stage_is_built_when_its_files_are_needed() {
    let place = Sandbox::new();
    let at = place.path().join("cache").display().to_string();
    let (to, from) = (
        format!("type=local,dest={at}"),
        format!("type=local,src={at}"),
    );
    let text = |copied: &str| {
        format!(
            "FROM busybox AS base\nWORKDIR /w\nCOPY a .\nRUN cat /dev/urandom | head -c 20 | sha256sum > unique\n\
             FROM base AS build\nRUN cat a unique > out\nFROM busybox\nCOPY --from=build {copied} /\nRUN cat out > /made\n"
        )
    };
    let machine = |copied: &str| Project::of(&text(copied)).file("a", "content\n");
    let first = machine("/w/out");
    first.build(&["--cache-to", &to]).success();
    let made = first.run("cat /made");
    let other = machine("/w/out");
    let built = other.build(&["--cache-from", &from, "--cache-to", &to]);
    built.success();
    assert_eq!(
        (cached(&built), other.run("cat /made")),
        (6, made.clone()),
        "{built}"
    );
    // What it told on was of use to the next one, too.
    let third = machine("/w/out");
    third.build(&["--cache-from", &from]).success();
    assert_eq!(third.run("cat /made"), made);
    // Another file of it was never exported: the stages are built, once, and all that comes of them.
    third.write("Dockerfile", &text("/w/out /w/a"));
    let built = third.build(&["--cache-from", &from]);
    built.success();
    let anew = third.run("cat /made");
    assert!(anew.starts_with("content\n") && anew != made, "{anew}");
    // Another stage that comes between makes a step tell its name again.
    let lines = built.stderr.lines();
    let named: BTreeSet<&str> = lines
        .filter(|line| line.contains("RUN cat /dev/urandom"))
        .collect();
    assert_eq!(named.len(), 2, "{built}");
    // And so they are when they are the result.
    let target = machine("/w/out");
    target
        .build(&["--cache-from", &from, "--target", "build"])
        .success();
    assert_eq!(target.run("cat /w/a"), "content");
    let all = format!("{to}-all,mode=max");
    let fourth = machine("/w/out");
    fourth
        .build(&["--cache-from", &from, "--cache-to", &all])
        .success();
    let fifth = machine("/w/out");
    let built = fifth.build(&["--cache-from", &format!("{from}-all")]);
    built.success();
    assert_eq!(
        (cached(&built), fifth.run("cat /made")),
        (6, made),
        "{built}"
    );
    fifth.sandbox.assert_nothing_left();
}

/// A variable that holds nothing gives a copy neither an owner nor a mode.
#[test]
fn a_copy_with_an_empty_owner_and_mode_has_none() {
    let place = Sandbox::new();
    let at = place.path().join("cache").display().to_string();
    let machine = |flags: &str| {
        Project::of(&format!(
            "FROM busybox AS made\nRUN echo 1 > /f && chmod 640 /f && chown 1000:1001 /f\n\
             FROM busybox\nARG NOTHING\nCOPY {flags} --from=made /f /f\n"
        ))
    };
    let about = |project: &Project| {
        let history = project.sandbox.berth(&["history", "--no-trunc", "t"]);
        let history = history.success();
        assert!(history.contains("COPY /f /f # buildkit"), "{history}");
        project.run("stat -c '%u %g %a' /f")
    };
    let empty = "--chown=$NOTHING --chmod=$NOTHING";
    let first = machine(empty);
    first
        .build(&["--cache-to", &format!("type=local,dest={at}")])
        .success();
    assert_eq!(about(&first), "1000 1001 640");
    for flags in ["", empty] {
        let other = machine(flags);
        let built = other.build(&["--cache-from", &format!("type=local,src={at}")]);
        built.success();
        assert_eq!(cached(&built), 2, "{built}");
        assert_eq!(about(&other), "1000 1001 640");
    }
}

/// A stage that is begun anew because its files are needed takes over what was made a moment ago.
#[test]
fn a_command_is_executed_once_where_a_stage_is_begun_anew() {
    let place = Sandbox::new();
    let at = place.path().join("cache").display().to_string();
    let machine = |said: &str| {
        Project::of(&format!(
            "FROM busybox AS made\nRUN echo 1 > /f\nFROM busybox AS next\nRUN printf '%s-%s\\n' it {said} | tee /x\n\
             COPY --link --from=made /f /f\nRUN cat /f /x > /g\nFROM busybox\nCOPY --from=next /g /g\n"
        ))
    };
    let to = format!("type=local,dest={at}");
    machine("one").build(&["--cache-to", &to]).success();
    let other = machine("two");
    let built = other.build(&["--cache-from", &format!("type=local,src={at}")]);
    built.success();
    assert_eq!(built.stderr.matches(" it-two").count(), 1, "{built}");
    assert_eq!(other.run("cat /g"), "1\nit-two");
}
