//! What images take, what is removed of them, and what is put right.

use std::path::Path;
use std::process::Command;

use berth_testkit::Sandbox;

/// The bytes that `du` finds.
fn du(path: &Path) -> u64 {
    let output = Command::new("du").arg("-sB1").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// The sum of the sizes that `system df` prints.
fn owned(sandbox: &Sandbox) -> f64 {
    let sizes = sandbox
        .berth(&["system", "df", "--format", "{{.Size}}"])
        .success();
    let bytes = |text: &str| {
        let digits = text.trim_end_matches(char::is_alphabetic);
        let factor = match &text[digits.len()..] {
            "B" => 1.0,
            "kB" => 1e3,
            "MB" => 1e6,
            // Any other unit would make the sum wrong, which is what the test is for.
            _ => f64::NAN,
        };
        digits.parse::<f64>().unwrap() * factor
    };
    sizes.lines().map(bytes).sum()
}

fn is_equal(sandbox: &Sandbox) {
    #[expect(clippy::cast_precision_loss, reason = "compared to one percent")]
    let all = du(&sandbox.data()) as f64;
    let sum = owned(sandbox);
    assert!(
        (sum - all).abs() < all * 0.01,
        "df says {sum}, du says {all}"
    );
}

#[test]
fn every_byte_has_an_owner() {
    let sandbox = Sandbox::with_busybox();
    is_equal(&sandbox);
    let script = "dd if=/dev/zero of=/data/x bs=1M count=3; dd if=/dev/zero of=/y bs=1M count=2; \
                  echo written; sleep 1000";
    let run = [
        "run",
        "-d",
        "--name",
        "w",
        "-v",
        "vol:/data",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    sandbox.berth(&run).success();
    sandbox.wait_for_log("w", "written");
    is_equal(&sandbox);
    let shown = |format: &str| {
        sandbox
            .berth(&["system", "df", "--format", format])
            .success()
    };
    assert!(
        shown("{{.Type}} {{.TotalCount}} {{.Active}}")
            .starts_with("Images 1 1\nContainers 1 1\nLocal Volumes 1 1\nBuild Cache 0 0")
    );
    assert!(shown("json").contains("\"Type\":\"Local Volumes\""));
    let verbose = sandbox.berth(&["system", "df", "-v"]).success();
    assert!(
        verbose.contains("VOLUME NAME") && verbose.contains("vol"),
        "{verbose}"
    );
    sandbox.berth(&["rm", "-f", "w"]).success();
    is_equal(&sandbox);
    let pruned = sandbox.berth(&["system", "prune", "-a", "-f"]).success();
    assert!(pruned.contains("Untagged: busybox:latest"), "{pruned}");
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
    assert_eq!(
        sandbox.berth(&["volume", "ls", "-q"]).success(),
        "vol",
        "named volumes stay"
    );
}

#[test]
fn what_was_removed_is_deleted_in_the_background() {
    let sandbox = Sandbox::with_busybox();
    sandbox.berth(&["rmi", "busybox"]).success();
    let trash = sandbox.data().join("trash");
    let begun = std::time::Instant::now();
    while std::fs::read_dir(&trash).unwrap().next().is_some() {
        assert!(begun.elapsed().as_secs() < 20, "the trash is never emptied");
        std::thread::yield_now();
    }
}

#[test]
fn images_are_removed_as_docker_and_podman_do() {
    let sandbox = Sandbox::with_busybox();
    sandbox.berth(&["tag", "busybox", "other:1"]).success();
    assert_eq!(
        sandbox.berth(&["rmi", "other:1"]).success(),
        "Untagged: other:1"
    );
    insta::assert_snapshot!(sandbox.berth(&["rmi", "nothing"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such image: nothing
    ");
    assert_eq!(sandbox.berth(&["rmi", "--ignore", "nothing"]).success(), "");
    assert_eq!(sandbox.berth(&["rmi", "-f", "nothing"]).status, 0);
    insta::assert_snapshot!(sandbox.berth(&["rmi"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: berth rmi needs IMAGE

    hint: usage: berth rmi [OPTIONS] IMAGE [IMAGE...]
    ");
    insta::assert_snapshot!(sandbox.berth(&["rmi", "-a", "busybox"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: --all and names cannot be used together

    hint: leave --all or the names away
    ");
    sandbox
        .berth(&["create", "--name", "user", "busybox"])
        .success();
    let refused = sandbox.berth(&["rmi", "busybox"]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.stderr.contains("was made from it"),
        "{}",
        refused.stderr
    );
    sandbox.berth(&["rm", "user"]).success();
    sandbox.berth(&["tag", "busybox", "a:1"]).success();
    sandbox.berth(&["tag", "busybox", "b:1"]).success();
    let all = sandbox.berth(&["rmi", "--all", "--no-prune"]).success();
    assert!(all.contains("Deleted: sha256:"), "{all}");
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
}

#[test]
fn newest_and_used_images_are_kept() {
    let sandbox = Sandbox::with_busybox();
    for tag in ["1", "2", "3"] {
        let change = format!("LABEL step={tag}");
        let save = [
            "save",
            "--format",
            "docker-archive",
            "-o",
            "root.tar",
            "busybox",
        ];
        sandbox.berth(&save).success();
        let import = ["import", "-c", &change, "root.tar", &format!("app:{tag}")];
        sandbox.berth(&import).success();
    }
    let prune = |flags: &[&str]| {
        let words = [&["image", "prune", "-f", "-a"], flags].concat();
        sandbox.berth(&words).success();
        let listed = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
        let listed = sandbox.berth(&listed).success();
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(
        prune(&["--unused-for", "1h"]),
        "app:1 app:2 app:3 busybox:latest"
    );
    assert_eq!(prune(&["--keep-last", "1"]), "app:3 busybox:latest");
    assert_eq!(prune(&["--filter", "label!=step"]), "app:3");
    assert_eq!(prune(&["--filter", "until=1h"]), "app:3");
    assert_eq!(prune(&[]), "");
}

#[test]
fn a_lost_layer_is_unpacked_again() {
    let sandbox = Sandbox::with_busybox();
    let whole = sandbox.berth(&["system", "check"]);
    assert_eq!((whole.status, whole.stdout.as_str()), (0, ""));
    let layers = sandbox.data().join("layers");
    let layer = std::fs::read_dir(&layers)
        .unwrap()
        .map(|entry| entry.unwrap())
        .find(|entry| entry.file_name().len() == 64)
        .unwrap();
    std::fs::remove_dir_all(layer.path()).unwrap();
    std::fs::create_dir_all(sandbox.data().join("names")).unwrap();
    std::os::unix::fs::symlink("0".repeat(64), sandbox.data().join("names/ghost")).unwrap();
    let found = sandbox.berth(&["system", "check", "--quick"]).hide_ids();
    assert_eq!(found.status, 1);
    assert!(found.stderr.contains("is missing"), "{}", found.stderr);
    assert!(
        found
            .stderr
            .contains("the name ghost leads to no container"),
        "{}",
        found.stderr
    );
    let repaired = sandbox.berth(&["system", "check", "--repair"]).success();
    assert!(repaired.contains("it was unpacked again"), "{repaired}");
    assert_eq!(sandbox.berth(&["system", "check"]).status, 0);
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "echo",
        "whole",
    ];
    assert_eq!(sandbox.berth(&run).success(), "whole");
}

#[test]
fn a_reset_leaves_nothing() {
    let sandbox = Sandbox::with_busybox();
    let run = ["run", "-d", "-v", "vol:/data", "busybox", "sleep", "1000"];
    sandbox.berth(&run).success();
    sandbox.berth(&["system", "reset", "--force"]).success();
    for listing in [
        &["ps", "-aq"][..],
        &["images", "-q"],
        &["volume", "ls", "-q"],
    ] {
        assert_eq!(sandbox.berth(listing).success(), "");
    }
    sandbox.assert_nothing_left();
}
