//! What stands on an image.

use berth_testkit::Sandbox;

#[test]
fn what_stands_on_an_image_is_shown() {
    let sandbox = Sandbox::new();
    let build = |name: &str, text: &str| {
        let context = sandbox.path().join(name);
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("file"), name).unwrap();
        std::fs::write(context.join("Dockerfile"), text).unwrap();
        let context = context.display().to_string();
        sandbox
            .berth(&["build", "-q", "-t", name, &context])
            .success();
    };
    build("base", "FROM scratch\nCOPY file /base");
    build("left", "FROM base\nCOPY file /left");
    build("top", "FROM left\nCOPY file /top");
    let tree = sandbox.berth(&["image", "tree", "--whatrequires", "base"]);
    let tree = tree.success();
    let tops: Vec<&str> = tree.lines().filter(|line| line.contains("── ID")).collect();
    let [left, top] = tops[..] else {
        panic!("{tree}")
    };
    assert!(left.starts_with("└──") && left.ends_with("Top Layer of: [left:latest]"));
    assert!(top.starts_with("    └──") && top.ends_with("Top Layer of: [top:latest]"));
    let nothing = sandbox.berth(&["image", "tree", "--whatrequires", "top"]);
    assert!(nothing.success().ends_with("Image Layers"));
}

#[test]
fn what_a_power_cut_left_is_taken_away_by_the_next_command() {
    let sandbox = Sandbox::with_busybox();
    let data = sandbox.data();
    let stray = data.join("oci/blobs/sha256").join("ab".repeat(32));
    std::fs::write(&stray, b"").unwrap();
    sandbox.berth(&["images"]).success();
    assert!(stray.exists());
    std::fs::write(data.join("ingest/unsynced-1"), b"").unwrap();
    sandbox.berth(&["images"]).success();
    assert!(!stray.exists() && !data.join("ingest/unsynced-1").exists());
    let run = sandbox.berth(&["run", "--rm", "busybox", "echo", "here"]);
    assert_eq!(run.success(), "here");
}

#[test]
fn nothing_is_added_while_what_a_power_cut_left_cannot_be_cleared_away() {
    let sandbox = Sandbox::with_busybox();
    let data = sandbox.data();
    let id = sandbox.berth(&["create", "busybox"]).success();
    let container = data.join("containers").join(&id);
    for file in ["record.json", "launch.json"] {
        std::fs::write(container.join(file), b"").unwrap();
    }
    std::fs::write(data.join("ingest/unsynced-1"), b"").unwrap();
    let file = sandbox.path().join("file");
    std::fs::write(&file, b"content").unwrap();
    let add = ["artifact", "add", "a", file.to_str().unwrap()];
    insta::assert_snapshot!(sandbox.berth(&add), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot add to the image store
    caused by: what a power cut may have damaged is not cleared away yet

    hint: berth system check --repair
    ");
    let repaired = sandbox.berth(&["system", "check", "--repair"]);
    let repaired = repaired.success();
    assert!(repaired.contains("it was set aside"), "{repaired}");
    assert!(!data.join("ingest/unsynced-1").exists());
    sandbox.berth(&add).success();
}
