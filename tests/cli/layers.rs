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
