//! Wrong input: each mistake has one screen, with what did not happen, why, and what to do; and nothing
//! is left behind.

use berth_testkit::{ImageArchive, Kind, Layer, Sandbox, Screen, Twin};
use serde_json::json;

/// After a refused command there is no container, no name, no run directory.
fn assert_untouched(sandbox: &Sandbox) {
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success(), "");
    sandbox.assert_nothing_left();
}

fn refused(sandbox: &Sandbox, arguments: &[&str]) -> Screen {
    let screen = sandbox.berth(arguments).hide_ids();
    assert_untouched(sandbox);
    screen
}

#[test]
fn an_unknown_image_is_looked_for_where_it_says() {
    let sandbox = Sandbox::new();
    let screen = refused(&sandbox, &["run", "--rm", "localhost:1/nothing/here:1.0"]);
    insta::assert_snapshot!(screen, @"");
}

#[test]
fn an_unknown_image_that_must_not_be_pulled() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(refused(&sandbox, &["run", "--pull", "never", "nothing"]), @"");
}

#[test]
fn a_bad_reference() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(refused(&sandbox, &["run", "Not/A//Reference"]), @"");
    insta::assert_snapshot!(refused(&sandbox, &["pull", "name:bad tag"]), @"");
}

#[test]
fn an_image_for_another_architecture() {
    let sandbox = Sandbox::new();
    let layer = Layer::new()
        .file(
            "program",
            0o755,
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0",
        )
        .finish();
    let config = json!({ "Entrypoint": ["/program"] });
    sandbox.load(&ImageArchive::new(
        "riscv:latest",
        ("linux", "riscv64"),
        &config,
        &layer,
    ));
    insta::assert_snapshot!(refused(&sandbox, &["run", "--rm", "riscv"]), @"");
}

#[test]
fn a_missing_command() {
    let sandbox = Sandbox::with_busybox();
    insta::assert_snapshot!(refused(&sandbox, &["run", "--rm", "busybox", "no-such-command"]), @"");
}

#[test]
fn an_entrypoint_that_is_not_executable() {
    let sandbox = Sandbox::with_busybox();
    insta::assert_snapshot!(refused(&sandbox, &["run", "--rm", "busybox", "/etc/passwd"]), @"");
}

#[test]
fn a_read_only_root() {
    let sandbox = Sandbox::with_busybox();
    let arguments = [
        "run",
        "--rm",
        "--read-only",
        "busybox",
        "sh",
        "-c",
        "echo x > /file",
    ];
    insta::assert_snapshot!(refused(&sandbox, &arguments), @"");
}

#[test]
fn a_name_in_use() {
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&["create", "--name", "taken", "busybox", "true"])
        .success();
    let screen = sandbox
        .berth(&["run", "--name", "taken", "busybox", "true"])
        .hide_ids();
    insta::assert_snapshot!(screen, @"");
    assert_eq!(
        sandbox.berth(&["start", "taken"]).success(),
        "taken",
        "the old one is untouched"
    );
}

#[test]
fn a_port_in_use() {
    let sandbox = Sandbox::with_busybox();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let publish = format!("127.0.0.1:{port}:80");
    let screen = sandbox.berth(&["run", "--rm", "-p", &publish, "busybox", "true"]);
    assert_untouched(&sandbox);
    insta::assert_snapshot!(screen.replace(&port.to_string(), "[PORT]").hide_ids(), @"");
}

#[test]
fn bad_values_of_flags() {
    let sandbox = Sandbox::with_busybox();
    let mistakes: [&[&str]; 14] = [
        &["-m", "lots"],
        &["-m", "1m"],
        &["--cpus", "1000"],
        &["--cpus", "-1"],
        &["-p", "70000:80"],
        &["-p", "80:80:80:80"],
        &["-v", "relative/path:/x"],
        &["-v", "/a:/b:bogus"],
        &["--mount", "type=bind,target=/x"],
        &["--network", "container:nobody"],
        &["--ulimit", "nofile"],
        &["--cap-add", "FLY"],
        &["--restart", "sometimes"],
        &["--user", "4294967296"],
    ];
    let mut screens = String::new();
    for mistake in mistakes {
        let arguments = [&["run", "--rm"], mistake, &["busybox", "true"]].concat();
        let screen = refused(&sandbox, &arguments);
        screens.push_str(&format!("run {}\n{screen}\n", mistake.join(" ")));
    }
    insta::assert_snapshot!(screens, @"");
}

#[test]
fn bad_signals() {
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&[
            "run",
            "-d",
            "--name",
            "up",
            "--network",
            "none",
            "busybox",
            "sleep",
            "100",
        ])
        .success();
    insta::assert_snapshot!(sandbox.berth(&["kill", "-s", "SIGFOO", "up"]), @"");
    insta::assert_snapshot!(sandbox.berth(&["stop", "-s", "99", "up"]), @"");
    assert_eq!(sandbox.inspect("up", "{{.State.Running}}"), "true");
}

#[test]
fn unknown_verbs_and_flags() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.berth(&["rum", "busybox"]), @"");
    insta::assert_snapshot!(sandbox.berth(&["run", "--interactiv", "busybox"]), @"");
    insta::assert_snapshot!(sandbox.berth(&["ps", "--frobnicate"]), @"");
    insta::assert_snapshot!(sandbox.berth(&["run"]), @"");
}

#[test]
fn containers_that_are_not_there() {
    let sandbox = Sandbox::new();
    let mut screens = String::new();
    for arguments in [
        &["start", "nobody"][..],
        &["stop", "nobody"],
        &["rm", "nobody"],
        &["rm", "-f", "nobody"],
        &["logs", "nobody"],
        &["exec", "nobody", "true"],
        &["attach", "nobody"],
        &["wait", "nobody"],
        &["inspect", "nobody"],
        &["port", "nobody"],
        &["rename", "nobody", "somebody"],
    ] {
        screens.push_str(&format!(
            "{}\n{}\n",
            arguments.join(" "),
            sandbox.berth(arguments)
        ));
    }
    insta::assert_snapshot!(screens, @"");
}

#[test]
fn damaged_archives() {
    let sandbox = Sandbox::new();
    let whole = ImageArchive::twin(&Twin::new(Kind::Native, "hello"));
    let bytes = whole.bytes();
    let cut = sandbox.berth_with_input(&["load"], &bytes[..bytes.len() / 2]);
    assert_untouched(&sandbox);
    insta::assert_snapshot!(cut.hide_ids(), @"");
    insta::assert_snapshot!(sandbox.berth_with_input(&["load"], b"not an archive at all"), @"");
    insta::assert_snapshot!(sandbox.berth_with_input(&["load"], b""), @"");
    insta::assert_snapshot!(sandbox.berth(&["load", "-i", "/nowhere.tar"]), @"");
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
}

#[test]
fn a_layer_that_is_not_what_its_image_says() {
    let sandbox = Sandbox::new();
    let whole = ImageArchive::busybox();
    let mut bytes = whole.bytes().to_vec();
    let at = bytes
        .windows(6)
        .position(|window| window == b"root:x")
        .unwrap();
    bytes[at] = b'R';
    let screen = sandbox.berth_with_input(&["load"], &bytes).hide_ids();
    insta::assert_snapshot!(screen, @"");
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
}

#[test]
fn a_damaged_record_does_not_hide_the_others() {
    let sandbox = Sandbox::with_busybox();
    let damaged = sandbox
        .berth(&["create", "--name", "damaged", "busybox", "true"])
        .success();
    sandbox
        .berth(&["create", "--name", "whole", "busybox", "true"])
        .success();
    let record = sandbox
        .data()
        .join("containers")
        .join(&damaged)
        .join("record.json");
    std::fs::write(&record, "{ this is not").unwrap();
    let listed = sandbox
        .berth(&["ps", "-a", "--format", "{{.Names}}"])
        .hide_ids();
    insta::assert_snapshot!(listed, @"");
    sandbox.berth(&["rm", "-f", &damaged]).success();
    assert_eq!(
        sandbox
            .berth(&["ps", "-a", "--format", "{{.Names}}"])
            .success(),
        "whole"
    );
}

#[test]
fn a_full_disk() {
    let sandbox = Sandbox::new();
    let data = sandbox.data();
    std::fs::create_dir(&data).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(mounted.success());
    let screen = sandbox
        .berth_with_input(&["load"], ImageArchive::busybox().bytes())
        .hide_ids();
    let images = sandbox.berth(&["images", "-q"]);
    std::process::Command::new("umount")
        .arg(&data)
        .status()
        .unwrap();
    insta::assert_snapshot!(screen, @"");
    assert_eq!(images.success(), "");
}
