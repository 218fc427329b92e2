//! `berth artifact`: the screens, and who owns the bytes.

use berth_testkit::{ImageArchive, Sandbox};

fn write(sandbox: &Sandbox, name: &str, content: &[u8]) -> String {
    let path = sandbox.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn an_artifacts_life() {
    let sandbox = Sandbox::new();
    let notes = write(&sandbox, "notes.txt", b"hello\n");
    let model = write(&sandbox, "model.bin", &[7; 300_000]);
    let kind = ["--type", "application/vnd.example.model"];
    let added = sandbox
        .berth(&[&["artifact", "add"][..], &kind, &["team/m:1", &notes]].concat())
        .success();
    assert_eq!(added.len(), 64);
    let appended = sandbox
        .berth(&["artifact", "add", "--append", "team/m:1", &model])
        .success();
    let row = "{{.Repository}} {{.Tag}} {{.Digest}} {{.Created}} {{.Size}} {{.Type}}";
    let listed = sandbox.berth(&["artifact", "ls", "--no-trunc", "--format", row]);
    assert_eq!(
        listed.success(),
        format!("team/m 1 {appended} Less than a second ago 300kB application/vnd.example.model")
    );
    let table = sandbox.berth(&["artifact", "ls"]).success();
    assert!(table.starts_with("REPOSITORY"), "{table}");
    let rows = sandbox.berth(&["artifact", "ls", "-n"]).success();
    assert!(rows.starts_with("team/m"), "{rows}");
    assert_eq!(
        sandbox.berth(&["artifact", "ls", "-q"]).success(),
        appended[..12]
    );
    let shown = sandbox.berth(&[
        "artifact",
        "inspect",
        "-f",
        "{{.Name}} {{.Digest}} {{len .Manifest.layers}}",
        &appended[..12],
    ]);
    assert_eq!(
        shown.success(),
        format!("docker.io/team/m:1 sha256:{appended} 2")
    );
    let out = sandbox.path().join("out");
    let out = out.display().to_string();
    let extract = [
        "artifact",
        "extract",
        "--title",
        "model.bin",
        "team/m:1",
        &out,
    ];
    sandbox.berth(&extract).success();
    assert_eq!(std::fs::read(&out).unwrap(), [7; 300_000]);

    // It is nobody's image, and pruning images leaves it.
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
    let owner = [
        "system",
        "df",
        "--format",
        "{{.Type}} {{.TotalCount}} {{.Reclaimable}}",
    ];
    let owners = sandbox.berth(&owner).success();
    assert!(owners.contains("Images 0 0B (0%)"), "{owners}");
    assert!(owners.contains("Artifacts 1 0B (0%)"), "{owners}");
    sandbox.berth(&["image", "prune", "-af"]).success();
    sandbox.berth(&["system", "check"]).success();
    assert_eq!(
        sandbox.berth(&["artifact", "rm", "team/m:1"]).success(),
        appended
    );
    assert_eq!(
        sandbox
            .berth(&["artifact", "rm", "-i", "team/m:1"])
            .success(),
        ""
    );
    let owners = sandbox.berth(&owner).success();
    assert!(!owners.contains("Artifacts"), "{owners}");
}

#[test]
fn refusals_of_artifacts() {
    let sandbox = Sandbox::new();
    let file = write(&sandbox, "a", b"1");
    sandbox.berth(&["artifact", "add", "a", &file]).success();
    let screens = [
        &["artifact", "add", "a", &file][..],
        &["artifact", "add", "--append", "a", &file],
        &["artifact", "add", "--append", "--type", "a/b", "a", &file],
        &["artifact", "add", "--type", "nonsense", "b", &file],
        &["artifact", "add", "b", "/"],
        &["artifact", "extract", "--title", "b", "a", "/nowhere"],
        &["artifact", "rm"],
        &["artifact", "rm", "-a", "a"],
        &["artifact", "rm", "b"],
        &["artifact", "inspect", "b"],
    ];
    let screens = screens.map(|arguments| {
        let screen = sandbox.berth(arguments);
        screen
            .replace(&sandbox.path().display().to_string(), "[DIR]")
            .to_string()
    });
    insta::assert_snapshot!(screens.join("\n"), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot make the artifact a:latest
    caused by: an artifact has that name

    hint: --append adds to it, --replace takes its name

    exit: 1
    --- stdout ---
    --- stderr ---
    error: the artifact would have two files called a

    hint: --annotation org.opencontainers.image.title=… gives a file another name

    exit: 125
    --- stdout ---
    --- stderr ---
    error: --append and --type cannot be used together

    hint: leave --append or --type away

    exit: 1
    --- stdout ---
    --- stderr ---
    error: "nonsense" is no media type

    hint: write it as in application/vnd.example.thing

    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot read /
    caused by: it is no file

    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot extract to /nowhere
    caused by: the artifact has no such file

    exit: 1
    --- stdout ---
    --- stderr ---
    error: berth artifact rm needs ARTIFACT

    hint: usage: berth artifact rm [OPTIONS] ARTIFACT [ARTIFACT...]

    exit: 1
    --- stdout ---
    --- stderr ---
    error: --all and names cannot be used together

    hint: leave --all or the names away

    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such artifact: b

    hint: berth artifact ls

    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such artifact: b

    hint: berth artifact ls
    "#);
}

#[test]
fn what_is_absent_is_called_an_artifact() {
    let shore = Sandbox::with_busybox();
    let served = crate::imagetools::Served::start(&shore);
    let absent = format!("{}/team/absent:1", served.address);
    let ship = Sandbox::new();
    let mut screens = String::new();
    for arguments in [
        &["pull", "-q", &absent][..],
        &["push", "-q", &absent],
        &["inspect", &absent],
    ] {
        let screen = ship.berth(&[&["artifact"], arguments].concat());
        screens += &screen.replace(&served.address, "[REGISTRY]").to_string();
        screens += "\n\n";
    }
    insta::assert_snapshot!(screens.trim_end(), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such artifact: [REGISTRY]/team/absent:1
    caused by: GET http://[REGISTRY]/v2/team/absent/manifests/1: 404 Not Found: there is no manifest team/absent:1 (MANIFEST_UNKNOWN)


    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such artifact: [REGISTRY]/team/absent:1

    hint: berth artifact ls


    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such artifact: [REGISTRY]/team/absent:1

    hint: berth artifact ls
    ");
    // What `push` takes is taken all the same.
    let target = format!("{}/team/box:1", served.address);
    shore
        .berth(&["artifact", "push", "-q", "busybox", &target])
        .success();
}

/// Nothing that is asked of a push is left out silently; no registry is asked for that.
#[test]
fn what_means_nothing_for_files_is_refused() {
    let sandbox = Sandbox::new();
    let module = write(&sandbox, "app.wasm", b"\0asm\x01\0\0\0");
    for flags in [
        ["--compression-format", "gzip"],
        ["--platform", "linux/riscv64"],
        ["--format", "oci"],
        ["--format", "wasm"],
    ] {
        let push = [&["push"], &flags[..], &[&module, "127.0.0.1:1/app:1"]].concat();
        let refused = sandbox.berth(&push);
        let message = format!("error: {} means nothing for [SANDBOX]/app.wasm", flags[0]);
        assert!(refused.stderr.starts_with(&message), "{}", refused.stderr);
        assert_eq!(refused.status, 1);
    }
    let notes = write(&sandbox, "notes.txt", b"hello\n");
    sandbox
        .berth(&["artifact", "add", "127.0.0.1:1/m:1", &notes])
        .success();
    for flags in [["--compression-format", "gzip"], ["--format", "v2s2"]] {
        let push = [&["artifact", "push"], &flags[..], &["127.0.0.1:1/m:1"]].concat();
        let refused = sandbox.berth(&push);
        assert!(refused.stderr.contains("an artifact"), "{}", refused.stderr);
        assert_eq!(refused.status, 1);
    }
    // A module that was added is an image: its program goes as it is.
    let name = "127.0.0.1:1/w:1";
    sandbox.berth(&["artifact", "add", name, &module]).success();
    for format in [&[][..], &["--format", "wasm"]] {
        let push = [&["push", "--compression-format", "gzip", name], format].concat();
        let refused = sandbox.berth(&push);
        let message = "error: cannot compress a wasm program";
        assert!(refused.stderr.starts_with(message), "{}", refused.stderr);
    }
}

/// The data directory on a file system of its own; it goes with this.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(sandbox: &Sandbox) -> Self {
        let data = sandbox.data();
        std::fs::create_dir(&data).unwrap();
        let mounted = Self(data);
        mounted.mount(&["-t", "tmpfs", "tmpfs"]);
        mounted
    }

    fn mount(&self, arguments: &[&str]) {
        let mut command = std::process::Command::new("mount");
        assert!(
            command
                .args(arguments)
                .arg(&self.0)
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut command = std::process::Command::new("umount");
        drop(command.arg(&self.0).status());
    }
}

#[test]
fn what_cannot_be_written_to_can_be_read() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let notes = write(&sandbox, "notes.txt", b"hello\n");
    sandbox.berth(&["artifact", "add", "a", &notes]).success();
    sandbox.load(&ImageArchive::busybox());
    // As where the image was put by somebody who has no such locks.
    std::fs::remove_file(sandbox.data().join("images.lock")).unwrap();
    mounted.mount(&["-o", "remount,ro"]);
    let out = |name: &str| sandbox.path().join(name).display().to_string();
    let extract = ["artifact", "extract", "a", &out("notes")];
    sandbox.berth(&extract).success();
    assert_eq!(std::fs::read(out("notes")).unwrap(), b"hello\n");

    let other = Sandbox::with_busybox();
    let served = crate::imagetools::Served::start(&other);
    let there = format!("{}/box:1", served.address);
    sandbox.berth(&["push", "-q", "busybox", &there]).success();
    let formats = [
        &[][..],
        &["--format", "docker-archive"],
        &["--format", "oci-dir"],
    ];
    for (position, format) in formats.into_iter().enumerate() {
        let path = out(&format!("saved-{position}"));
        let save = [&["save", "busybox", "-o", &path], format].concat();
        sandbox.berth(&save).success();
        let ship = Sandbox::new();
        ship.berth(&["load", "-i", &path]).success();
        let run = ["run", "--rm", "busybox", "echo", "whole"];
        assert_eq!(ship.berth(&run).success(), "whole", "{format:?}");
    }
    let room = sandbox.berth(&["save", "--uncompressed", "busybox", "-o", &out("plain")]);
    assert!(
        room.stderr.contains("Read-only file system"),
        "{}",
        room.stderr
    );
}
