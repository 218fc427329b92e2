//! Wrong input: each mistake has one screen, with what did not happen, why, and what to do; and nothing
//! is left behind.

mod damage;
mod usage;

use std::process::Command;

use berth_testkit::{ImageArchive, Layer, Sandbox, Screen, skip};
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
    insta::assert_snapshot!(screen, @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot pull localhost:1/nothing/here:1.0
    caused by: HEAD http://localhost:1/v2/nothing/here/manifests/1.0: Connection refused
    ");
}

#[test]
fn an_unknown_image_that_must_not_be_pulled() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(refused(&sandbox, &["run", "--pull", "never", "nothing"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: no such image: docker.io/library/nothing:latest

    hint: berth pull nothing:latest
    ");
}

#[test]
fn a_bad_reference() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(refused(&sandbox, &["run", "Not/A//Reference"]), @r#"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid image reference "Not/A//Reference"
    caused by: a repository's name must be lower case
    "#);
    insta::assert_snapshot!(refused(&sandbox, &["pull", "name:bad tag"]), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: invalid image reference "name:bad tag"
    caused by: a tag is a letter, digit or _, then up to 127 of them or . and -
    "#);
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
    insta::assert_snapshot!(refused(&sandbox, &["run", "--rm", "riscv"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot run this image here
    caused by: its program is built for riscv64, and this machine is amd64

    hint: use an image for linux/amd64
    ");
}

#[test]
fn a_missing_command() {
    let sandbox = Sandbox::with_busybox();
    insta::assert_snapshot!(refused(&sandbox, &["run", "--rm", "busybox", "no-such-command"]), @"
    exit: 127
    --- stdout ---
    --- stderr ---
    error: cannot run no-such-command
    caused by: executable file not found in $PATH
    ");
}

#[test]
fn an_entrypoint_that_is_not_executable() {
    let sandbox = Sandbox::with_busybox();
    insta::assert_snapshot!(refused(&sandbox, &["run", "--rm", "busybox", "/etc/passwd"]), @"
    exit: 126
    --- stdout ---
    --- stderr ---
    error: cannot run /etc/passwd
    caused by: Permission denied
    ");
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
    insta::assert_snapshot!(refused(&sandbox, &arguments), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    sh: can't create /file: Read-only file system
    ");
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
    insta::assert_snapshot!(screen, @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: the container name taken is in use
    caused by: container [ID] has it

    hint: berth rm taken
    hint: berth rename taken OTHER
    ");
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
    let screen = screen
        .replace(&port.to_string(), "[PORT]")
        .replace(&(port + 1).to_string(), "[NEXT]");
    insta::assert_snapshot!(screen.hide_ids(), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: port [PORT] is already in use
    caused by: Address already in use

    hint: choose another with -p [NEXT]:80
    hint: let the kernel choose one with -p 80
    ");
}

/// A guest that fails while its network is connected has none any more; why it failed is what counts.
#[test]
fn a_guest_says_itself_why_it_does_not_start() {
    let sandbox = Sandbox::with_busybox();
    let inner = sandbox.command(&["run", "--rm", "busybox", "true"]);
    let mut command = Command::new("chrt");
    command.args(["-f", "1"]).arg(inner.get_program());
    command.args(inner.get_args()).env_clear();
    let screen = Screen::new(&command.output().unwrap());
    if screen.status == 0 {
        let test = "a_guest_says_itself_why_it_does_not_start";
        return skip(test, "here real-time scheduling needs no time of its own");
    }
    let sentence =
        "error: cannot put the container's process into its cgroup\ncaused by: cannot write";
    assert!(screen.stderr.starts_with(sentence), "{screen}");
    assert!(
        screen
            .stderr
            .contains("\nhint: start berth without real-time"),
        "{screen}"
    );
    assert_untouched(&sandbox);
}
