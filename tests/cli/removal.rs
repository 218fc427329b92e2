//! Removing images and what is left of builds, also while others make containers of them.

use std::sync::atomic::{AtomicBool, Ordering};

use berth_testkit::{ImageArchive, Sandbox};

#[test]
fn an_image_gets_several_names_or_none() {
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&["tag", "busybox", "a:1", "team/b", "localhost:5000/c:2"])
        .success();
    let names = ["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
    let listed = sandbox.berth(&names).success();
    let mut lines: Vec<(&str, &str)> = listed
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    lines.sort_unstable();
    let all: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    let wanted = [
        "a:1",
        "busybox:latest",
        "localhost:5000/c:2",
        "team/b:latest",
    ];
    assert_eq!(all, wanted);
    assert!(lines.iter().all(|(_, id)| *id == lines[0].1));
    // One name that is none, and no name is given.
    let bad = sandbox.berth(&["tag", "busybox", "d:1", "BAD"]);
    assert_eq!(bad.status, 1);
    assert_eq!(sandbox.berth(&names).success().lines().count(), 4);
    let untag = |arguments: &[&str]| sandbox.berth(&[&["untag"], arguments].concat());
    assert_eq!(
        untag(&["busybox", "a:1", "d:1"]).status,
        1,
        "d:1 is not its name"
    );
    assert_eq!(sandbox.berth(&names).success().lines().count(), 4);
    untag(&["busybox", "a:1"]).success();
    assert_eq!(sandbox.berth(&names).success().lines().count(), 3);
    untag(&["team/b"]).success();
    let left = sandbox.berth(&names).success();
    assert!(
        left.contains(":<none> ") && left.lines().count() == 1,
        "all names went: {left}"
    );
}

#[test]
fn prune_frees_all_that_builds_keep() {
    let sandbox = Sandbox::with_busybox();
    let context = sandbox.path().join("context");
    std::fs::create_dir(&context).unwrap();
    let dockerfile = "FROM busybox\nCOPY Dockerfile /\n\
                      RUN --mount=type=cache,target=/cache echo kept > /cache/file && echo made > /made\n";
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let context = context.display().to_string();
    sandbox
        .berth(&["build", "-q", "-t", "built", &context])
        .success();
    let build = sandbox.data().join("build");
    let kept = |name: &str| std::fs::read_dir(build.join(name)).map_or(0, Iterator::count);
    assert!(kept("cache") >= 2 && kept("mounts") == 1);
    let all = ["system", "prune", "--all", "--force"];
    let said = sandbox.berth(&all).success();
    assert!(said.contains("Total reclaimed space:"), "{said}");
    for name in ["cache", "mounts"] {
        assert_eq!(kept(name), 0, "{name}");
    }
    let size = ["system", "df", "--format", "{{.Type}} {{.TotalCount}}"];
    let left = sandbox.berth(&size).success();
    assert!(left.contains("Images 0\n"), "{left}");
    // What the build's steps ran in is gone with them.
    let run = std::fs::read_dir(sandbox.run_directory()).unwrap();
    let run = run.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let steps: Vec<String> = run
        .filter(|name| name.len() == 64 || name == "build")
        .collect();
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(
        sandbox.berth(&["builder", "du"]).success().lines().last(),
        Some("Total:        0B")
    );
}

#[test]
fn a_container_that_was_made_has_its_image_whoever_removes_it() {
    const ROUNDS: usize = 12;
    let sandbox = Sandbox::with_busybox();
    let done = AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                removed += usize::from(sandbox.berth(&["rmi", "-f", "busybox"]).status == 0);
                sandbox.load(&ImageArchive::busybox());
            }
            removed
        });
        let mut made = 0;
        // An image that is away just now makes no container; that is the remover's right.
        while made < ROUNDS {
            let name = format!("c{made}");
            let create = [
                "create", "--pull", "never", "--name", &name, "busybox", "echo", "whole",
            ];
            if sandbox.berth(&create).status == 0 {
                assert_eq!(sandbox.berth(&["start", "-a", &name]).success(), "whole");
                made += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(remover.join().unwrap() > 0);
        made
    });
    assert_eq!(made, ROUNDS);
    // … and keeps it: what the last removal left behind takes nothing from them.
    drop(sandbox.berth(&["rmi", "-f", "busybox"]));
    sandbox.berth(&["image", "prune", "-f"]).success();
    for number in 0..ROUNDS {
        let name = format!("c{number}");
        assert_eq!(sandbox.berth(&["start", "-a", &name]).success(), "whole");
    }
}

#[test]
fn nothing_is_removed_while_a_container_cannot_be_read() {
    let sandbox = Sandbox::with_busybox();
    let create = ["create", "--name", "one", "busybox", "echo", "whole"];
    let id = sandbox.berth(&create).success();
    let directory = sandbox.data().join("containers").join(&id);
    // Whose image and layers these are cannot be told any more.
    let files = ["record.json", "launch.json"].map(|name| directory.join(name));
    let whole = files.each_ref().map(|file| std::fs::read(file).unwrap());
    for file in &files {
        std::fs::write(file, b"{").unwrap();
    }
    let refused = sandbox.berth(&["rmi", "-f", "busybox"]);
    assert_eq!(refused.status, 1);
    let told = refused.to_string();
    assert!(
        told.contains("cannot tell which images the containers use"),
        "{told}"
    );
    for (file, bytes) in files.iter().zip(whole) {
        std::fs::write(file, bytes).unwrap();
    }
    assert_eq!(sandbox.berth(&["start", "-a", "one"]).success(), "whole");
}

#[test]
fn the_same_image_under_another_manifest_keeps_its_name() {
    let sandbox = Sandbox::with_busybox();
    let id = sandbox.berth(&["images", "-q"]).success();
    let packed = [
        "image",
        "convert",
        "--compression",
        "zstd",
        "busybox",
        "packed:1",
    ];
    sandbox.berth(&packed).success();
    let names = || {
        let names = ["images", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"];
        let screen = sandbox.berth(&names).success();
        let mut names: Vec<String> = screen.lines().map(str::to_owned).collect();
        names.sort();
        names.join(", ").replace(&id, "ID")
    };
    assert_eq!(names(), "ID busybox:latest, ID packed:1");
    sandbox.berth(&["untag", "packed:1"]).success();
    let dangling = ["images", "-q", "--filter", "dangling=true"];
    assert_eq!(sandbox.berth(&dangling).success(), id);
    let pruned = sandbox.berth(&["image", "prune", "-f"]).success();
    assert!(!pruned.contains("busybox"), "{pruned}");
    assert_eq!(names(), "ID busybox:latest");
    sandbox.berth(&["run", "--rm", "busybox", "true"]).success();

    // An id means all of what it is; a name what it leads to.
    sandbox.berth(&packed).success();
    sandbox.berth(&["untag", &id, "packed:1"]).success();
    assert_eq!(names(), "ID busybox:latest, ID packed:<none>");
    sandbox.berth(&["image", "prune", "-f"]).success();
    sandbox.berth(&packed).success();
    sandbox.berth(&["untag", &id]).success();
    assert_eq!(names(), "ID busybox:<none>, ID packed:<none>");
    sandbox.berth(&["tag", &id, "busybox"]).success();
    sandbox.berth(&["image", "prune", "-f"]).success();
    assert_eq!(names(), "ID busybox:latest");

    // By name one goes, and what it is stays; by id both go.
    sandbox.berth(&packed).success();
    let removed = sandbox.berth(&["rmi", "packed:1"]).success();
    assert!(!removed.contains("Deleted"), "{removed}");
    assert_eq!(names(), "ID busybox:latest");
    sandbox.berth(&packed).success();
    assert_eq!(sandbox.berth(&["rmi", &id]).status, 1, "it has two names");
    let removed = sandbox.berth(&["rmi", "-f", &id]).success();
    for name in ["busybox:latest", "packed:1"] {
        assert!(
            removed.contains(&format!("Untagged: {name}\n")),
            "{removed}"
        );
    }
    assert_eq!(names(), "");
}
