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
    error: no such image: nothing

    hint: berth pull nothing
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

#[test]
#[expect(clippy::too_many_lines, reason = "its lines are the screens")]
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
        let processors = std::thread::available_parallelism().unwrap();
        let screen = refused(&sandbox, &arguments)
            .replace(&format!("to {processors}.00"), "to [CPUS]")
            .replace(&format!("only {processors} CPU"), "only [CPUS] CPU");
        screens.push_str(&format!("run {}\n{screen}\n", mistake.join(" ")));
    }
    insta::assert_snapshot!(screens, @r#"
    run -m lots
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "lots" for --memory
    caused by: it must be a number of bytes such as 512, 64m or 1.5g

    run -m 1m
    exit: 125
    --- stdout ---
    --- stderr ---
    error: the minimum memory limit is 6MB

    run --cpus 1000
    exit: 125
    --- stdout ---
    --- stderr ---
    error: --cpus goes from 0.01 to [CPUS], as there are only [CPUS] CPUs available

    run --cpus -1
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "-1" for --cpus
    caused by: it must be a number such as 0.5 or 2

    run -p 70000:80
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "70000:80" for --publish
    caused by: "70000" is no port number

    run -p 80:80:80:80
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "80:80:80:80" for --publish
    caused by: an IPv6 address stands in brackets: [::1]:8080:80

    run -v relative/path:/x
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid volume name "relative/path"
    caused by: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed

    hint: to mount a directory of the host, write its absolute path

    run -v /a:/b:bogus
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid volume "/a:/b:bogus"
    caused by: "bogus" is no option of a volume

    hint: write it as [SOURCE:]DESTINATION[:OPTIONS]

    run --mount type=bind,target=/x
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "type=bind,target=/x" for --mount
    caused by: the field source is missing

    run --network container:nobody
    exit: 125
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    run --ulimit nofile
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "nofile" for --ulimit
    caused by: it must be NAME=SOFT[:HARD]

    run --cap-add FLY
    exit: 125
    --- stdout ---
    --- stderr ---
    error: unknown capability "FLY"

    hint: man 7 capabilities lists them; write NET_ADMIN or CAP_NET_ADMIN

    run --restart sometimes
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "sometimes" for --restart
    caused by: it must be no, always, unless-stopped or on-failure[:TIMES]

    run --user 4294967296
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid user id 4294967296
    caused by: ids go from 0 to 2147483647
    "#);
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
    insta::assert_snapshot!(sandbox.berth(&["kill", "-s", "SIGFOO", "up"]), @r#"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "SIGFOO" for --signal

    hint: use a name such as SIGTERM or a number from 1 to 64
    "#);
    insta::assert_snapshot!(sandbox.berth(&["stop", "-s", "99", "up"]), @r#"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "99" for --signal

    hint: use a name such as SIGTERM or a number from 1 to 64
    "#);
    assert_eq!(sandbox.inspect("up", "{{.State.Running}}"), "true");
}

#[test]
fn unknown_verbs_and_flags() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.berth(&["rum", "busybox"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: unknown command berth rum

    hint: did you mean berth run?
    ");
    insta::assert_snapshot!(sandbox.berth(&["run", "--interactiv", "busybox"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: unknown flag --interactiv of berth run

    hint: did you mean --interactive?
    ");
    insta::assert_snapshot!(sandbox.berth(&["ps", "--frobnicate"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: unknown flag --frobnicate of berth ps

    hint: berth ps --help lists the flags
    ");
    insta::assert_snapshot!(sandbox.berth(&["run"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: berth run needs IMAGE

    hint: usage: berth run [OPTIONS] IMAGE [COMMAND] [ARG...]
    ");
}

#[test]
#[expect(clippy::too_many_lines, reason = "its lines are the screens")]
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
    insta::assert_snapshot!(screens, @"
    start nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    stop nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    rm nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    rm -f nobody
    exit: 0
    --- stdout ---
    --- stderr ---

    logs nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    exec nobody true
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    attach nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    wait nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    inspect nobody
    exit: 1
    --- stdout ---
    []
    --- stderr ---
    error: no such object: nobody

    hint: berth ps -a lists the containers, berth images the images

    port nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    rename nobody somebody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a
    ");
}

#[test]
fn damaged_archives() {
    let sandbox = Sandbox::new();
    let whole = ImageArchive::twin(&Twin::new(Kind::Native, "hello"));
    let bytes = whole.bytes();
    let cut = sandbox.berth_with_input(&["load"], &bytes[..bytes.len() / 2]);
    assert_untouched(&sandbox);
    insta::assert_snapshot!(cut.hide_ids(), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: it is damaged or no tar archive: unexpected EOF during skip
    ");
    insta::assert_snapshot!(sandbox.berth_with_input(&["load"], b"not an archive at all"), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: it is damaged or no tar archive: failed to read entire block
    ");
    insta::assert_snapshot!(sandbox.berth_with_input(&["load"], b""), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: it is empty

    hint: berth load -i FILE
    ");
    insta::assert_snapshot!(sandbox.berth(&["load", "-i", "/nowhere.tar"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot open /nowhere.tar
    caused by: No such file or directory
    ");
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
    insta::assert_snapshot!(screen, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: unpacked layer sha256:[ID] is damaged
    caused by: its content has the digest sha256:[ID]
    ");
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
    insta::assert_snapshot!(listed, @"
    exit: 0
    --- stdout ---
    whole
    damaged
    --- stderr ---
    ");
    let inspected = sandbox
        .berth(&["inspect", "--type", "container", "damaged"])
        .hide_ids();
    insta::assert_snapshot!(inspected, @"
    exit: 1
    --- stdout ---
    []
    --- stderr ---
    error: container [ID] is damaged
    caused by: [SANDBOX]/data/containers/[ID]/record.json is damaged
    caused by: key must be a string at line 1 column 3

    hint: berth rm -f [ID]
    ");
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
    insta::assert_snapshot!(screen, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: cannot write to [SANDBOX]/data
    caused by: No space left on device

    hint: berth image prune
    ");
    assert_eq!(images.success(), "");
}
