//! Volumes and mounts: what is shared, what stays, what goes, and that the host's own files are left alone.

use std::fs;

use berth_testkit::{Sandbox, Screen};

const QUIET: [&str; 4] = ["run", "--rm", "--network", "none"];

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Screen {
    sandbox.berth(&[&QUIET[..], arguments].concat())
}

fn up(sandbox: &Sandbox, name: &str, arguments: &[&str]) {
    let start = ["run", "-d", "--network", "none", "--name", name];
    sandbox.berth(&[&start[..], arguments].concat()).success();
}

fn volumes(sandbox: &Sandbox) -> String {
    sandbox.berth(&["volume", "ls", "-q"]).success()
}

#[test]
fn a_part_of_a_volume() {
    let sandbox = Sandbox::with_busybox();
    let fill = "mkdir -p /v/a/b; echo part > /v/a/b/file; ln -s /etc /v/out; ln -s a/b /v/in";
    run(&sandbox, &["-v", "vol:/v", "busybox", "sh", "-c", fill]).success();
    let with = |part: &str, command: &[&str]| {
        let mount = format!("type=volume,src=vol,dst=/x,volume-subpath={part}");
        run(
            &sandbox,
            &[&["--mount", &mount, "busybox"], command].concat(),
        )
    };
    assert_eq!(with("a/b", &["cat", "/x/file"]).success(), "part");
    assert_eq!(with("a/b/file", &["cat", "/x"]).success(), "part");
    assert_eq!(with("in", &["cat", "/x/file"]).success(), "part");
    // CVE-2017-1002101: a link in the volume leads nowhere outside it.
    assert_ne!(with("out", &["true"]).status, 0);
    insta::assert_snapshot!(with("../..", &["true"]), @r#"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: volume-subpath "../.." must be a relative path within the volume
    "#);
    insta::assert_snapshot!(with("nope", &["true"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot mount [SANDBOX]/data/volumes/vol/_data/nope into the container
    caused by: No such file or directory

    hint: mkdir -p [SANDBOX]/data/volumes/vol/_data/nope
    ");
    sandbox.assert_nothing_left();
}

#[test]
fn an_images_files() {
    let sandbox = Sandbox::with_busybox();
    let list = |mount: &str| run(&sandbox, &["--mount", mount, "busybox", "ls", "/x"]);
    let whole = list("type=image,src=busybox,dst=/x").success();
    assert!(whole.lines().any(|line| line == "etc"), "{whole}");
    let part = list("type=image,src=busybox,dst=/x,image-subpath=etc").success();
    assert!(part.lines().any(|line| line == "passwd"), "{part}");
    let write = [
        "--mount",
        "type=image,src=busybox,dst=/x",
        "busybox",
        "touch",
        "/x/new",
    ];
    assert!(
        run(&sandbox, &write)
            .stderr
            .contains("Read-only file system")
    );
}

#[test]
fn a_volume_in_memory_is_shared_while_it_is_used() {
    let sandbox = Sandbox::with_busybox();
    let create = [
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=1m,mode=755",
        "mem",
    ];
    sandbox.berth(&create).success();
    let options = sandbox.berth(&["volume", "inspect", "-f", "{{json .Options}}", "mem"]);
    assert_eq!(
        options.success(),
        r#"{"device":"tmpfs","o":"size=1m,mode=755","type":"tmpfs"}"#
    );
    up(
        &sandbox,
        "one",
        &["-v", "mem:/m", "busybox", "sleep", "1000"],
    );
    up(
        &sandbox,
        "two",
        &["-v", "mem:/m", "busybox", "sleep", "1000"],
    );
    sandbox
        .berth(&["exec", "one", "sh", "-c", "echo shared > /m/file"])
        .success();
    assert_eq!(
        sandbox.berth(&["exec", "two", "cat", "/m/file"]).success(),
        "shared"
    );
    let kind = sandbox
        .berth(&["exec", "two", "stat", "-f", "-c", "%T", "/m"])
        .success();
    assert_eq!(kind, "tmpfs");
    sandbox.berth(&["rm", "-f", "one"]).success();
    assert_eq!(
        sandbox.berth(&["exec", "two", "cat", "/m/file"]).success(),
        "shared"
    );
    insta::assert_snapshot!(sandbox.berth(&["volume", "rm", "mem"]).hide_ids(), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the volume mem is in use
    caused by: container [ID] mounts it

    hint: berth rm [ID]
    ");
    sandbox.berth(&["rm", "-f", "two"]).success();
    sandbox.assert_nothing_left();
    assert_eq!(
        run(&sandbox, &["-v", "mem:/m", "busybox", "ls", "/m"]).success(),
        ""
    );
    sandbox.assert_nothing_left();
    sandbox.berth(&["volume", "rm", "mem"]).success();
}

#[test]
fn a_volume_that_is_a_directory_of_the_host_keeps_its_files() {
    let sandbox = Sandbox::with_busybox();
    let theirs = sandbox.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("file"), "kept").unwrap();
    let device = format!("device={}", theirs.display());
    sandbox
        .berth(&[
            "volume",
            "create",
            "-o",
            "type=none",
            "-o",
            &device,
            "-o",
            "o=bind",
            "dir",
        ])
        .success();
    up(
        &sandbox,
        "one",
        &["-v", "dir:/d", "busybox", "sleep", "1000"],
    );
    assert_eq!(
        sandbox.berth(&["exec", "one", "cat", "/d/file"]).success(),
        "kept"
    );
    // The monitor is lost: nobody unmounts, and still nothing of the host's is deleted.
    let pid = sandbox.inspect("one", "{{.State.Pid}}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let monitor = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:\t"))
        .unwrap()
        .to_owned();
    std::process::Command::new("kill")
        .args(["-9", &monitor])
        .status()
        .unwrap();
    while fs::exists(format!("/proc/{pid}")).unwrap() {
        std::thread::yield_now();
    }
    sandbox.berth(&["rm", "-f", "one"]).success();
    sandbox.berth(&["volume", "rm", "dir"]).success();
    assert_eq!(fs::read_to_string(theirs.join("file")).unwrap(), "kept");
    sandbox.assert_nothing_left();
}

#[test]
fn wrong_volume_options_are_refused() {
    let sandbox = Sandbox::new();
    let create = |options: &[&str]| {
        let mut words = vec!["volume", "create"];
        for option in options {
            words.extend(["-o", option]);
        }
        words.push("wrong");
        sandbox.berth(&words)
    };
    insta::assert_snapshot!(create(&["color=red"]), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: invalid volume option "color"

    hint: the options are type, device and o
    "#);
    insta::assert_snapshot!(create(&["type=tmpfs"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the volume option device is missing
    ");
    insta::assert_snapshot!(create(&["type=nfs", "device=:/srv", "o=addr=10.0.0.1"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot mount nfs volumes
    caused by: the kernel needs the help of mount(8) for it

    hint: mount it on the host and use -v PATH:TARGET
    ");
    insta::assert_snapshot!(create(&["size=1g"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot limit the size of a volume
    caused by: a plain directory has no size of its own

    hint: -o type=tmpfs -o device=tmpfs -o o=size=64m is a volume in memory
    ");
    assert_eq!(volumes(&sandbox), "");
}

#[test]
fn a_volume_nobody_named_goes_with_its_last_container() {
    let sandbox = Sandbox::with_busybox();
    up(
        &sandbox,
        "owner",
        &["--rm", "-v", "/data", "busybox", "sleep", "1000"],
    );
    sandbox
        .berth(&["exec", "owner", "sh", "-c", "echo kept > /data/file"])
        .success();
    up(
        &sandbox,
        "heir",
        &[
            "--rm",
            "--volumes-from",
            "owner:ro,z",
            "busybox",
            "sleep",
            "1000",
        ],
    );
    sandbox.berth(&["kill", "owner"]).success();
    sandbox
        .berth(&["wait", "--condition", "removed", "--ignore", "owner"])
        .success();
    assert_eq!(
        sandbox
            .berth(&["exec", "heir", "cat", "/data/file"])
            .success(),
        "kept"
    );
    let write = sandbox.berth(&["exec", "heir", "touch", "/data/new"]);
    assert!(write.stderr.contains("Read-only file system"), "{write}");
    assert_eq!(volumes(&sandbox).lines().count(), 1);
    sandbox.berth(&["rm", "-f", "heir"]).success();
    sandbox.assert_nothing_left();
    assert_eq!(volumes(&sandbox), "");
}

#[test]
fn rm_with_volumes_spares_what_others_mount() {
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&[
            "create", "--name", "owner", "-v", "/data", "busybox", "true",
        ])
        .success();
    sandbox
        .berth(&[
            "create",
            "--name",
            "heir",
            "--volumes-from",
            "owner",
            "busybox",
            "true",
        ])
        .success();
    sandbox.berth(&["rm", "-v", "owner"]).success();
    assert_eq!(volumes(&sandbox).lines().count(), 1);
    // Without -v it stays for those who want it still.
    sandbox.berth(&["rm", "heir"]).success();
    let name = volumes(&sandbox);
    assert_eq!(name.lines().count(), 1);
    let named = format!("{name}:/again");
    run(&sandbox, &["-v", &named, "busybox", "true"]).success();
    sandbox.assert_nothing_left();
    assert_eq!(volumes(&sandbox), name, "its name was said: it stays");
    sandbox.berth(&["volume", "prune", "-f"]).success();
    assert_eq!(volumes(&sandbox), "");
}

#[test]
fn mounts_are_told_as_docker_tells_them() {
    let sandbox = Sandbox::with_busybox();
    let host = sandbox.path().join("host");
    fs::create_dir(&host).unwrap();
    let bind = format!("{}:/h:ro", host.display());
    let make = [
        "create",
        "--name",
        "c",
        "-v",
        "vol:/v",
        "-v",
        &bind,
        "-v",
        "/anonymous",
        "--tmpfs",
        "/t",
        "--mount",
        "type=tmpfs,dst=/m",
        "busybox",
    ];
    sandbox.berth(&make).success();
    let template = "{{range .Mounts}}{{.Type}} {{.Destination}} {{.Mode}} {{.RW}} {{.Propagation}}\n{{end}}{{.HostConfig.Binds}} {{.HostConfig.Tmpfs}} {{.Config.Volumes}}";
    let shown = sandbox.berth(&["inspect", "-f", template, "c"]);
    insta::assert_snapshot!(shown, @"
    exit: 0
    --- stdout ---
    volume /v z true 
    bind /h ro false rprivate
    tmpfs /m  true 
    volume /anonymous  true 
    [vol:/v [SANDBOX]/host:/h:ro] map[/t:] map[/anonymous:map[]]
    --- stderr ---
    ");
    let row = "{{.LocalVolumes}} {{.Networks}}";
    assert_eq!(
        sandbox.berth(&["ps", "-a", "--format", row]).success(),
        "2 bridge"
    );
}

/// A directory's owner is the container's user, whoever that is; on disk nothing changes.
#[test]
fn a_bind_that_matches_its_user() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let sandbox = Sandbox::with_busybox();
    let theirs = sandbox.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(1234), Some(2345)).unwrap();
    let bind = format!("{}:/d:idmap", theirs.display());
    let script = "stat -c %u:%g /d; echo x > /d/file-$(id -u)";
    for user in ["0", "1000"] {
        let arguments = ["-u", user, "-v", &bind, "busybox", "sh", "-c", script];
        let shown = run(&sandbox, &arguments).success();
        assert!(shown.starts_with(&format!("{user}:")), "{shown}");
        let written = fs::metadata(theirs.join(format!("file-{user}"))).unwrap();
        assert_eq!(written.uid(), 1234, "{user}");
    }
}

/// What has a file system of its own cannot be put in place whole: what came of half an archive goes again.
#[test]
fn half_an_archive_leaves_nothing_in_a_volume() {
    let sandbox = Sandbox::with_busybox();
    let memory = ["-o", "type=tmpfs", "-o", "device=tmpfs", "mem"];
    sandbox
        .berth(&[&["volume", "create"], &memory[..]].concat())
        .success();
    up(
        &sandbox,
        "one",
        &["-v", "mem:/m", "busybox", "sleep", "1000"],
    );
    let whole = berth_testkit::Layer::new()
        .file("first", 0o644, b"here\n")
        .file("second", 0o644, &[7; 4096])
        .finish();
    let import = ["volume", "import", "mem", "-"];
    let half = sandbox.berth_with_input(&import, &whole[..2500]);
    assert_eq!(half.status, 1, "{half}");
    assert_eq!(sandbox.berth(&["exec", "one", "ls", "/m"]).success(), "");
    sandbox.berth_with_input(&import, &whole).success();
    let listed = sandbox.berth(&["exec", "one", "ls", "/m"]);
    assert_eq!(listed.success(), "first\nsecond");
    sandbox.berth(&["rm", "-f", "one"]).success();
}

/// Files, links and owners go out and come in; what is no archive leaves the volume as it was.
#[test]
fn a_volume_is_carried_in_an_archive() {
    let sandbox = Sandbox::with_busybox();
    let fill = "mkdir /v/d; echo kept > /v/d/file; ln -s d/file /v/link; chown 12:34 /v/d/file";
    run(&sandbox, &["-v", "one:/v", "busybox", "sh", "-c", fill]).success();
    let file = sandbox.path().join("one.tar").display().to_string();
    sandbox
        .berth(&["volume", "export", "-o", &file, "one"])
        .success();
    sandbox.berth(&["volume", "create", "two"]).success();
    let wrong = sandbox.berth_with_input(&["volume", "import", "two", "-"], b"no archive at all");
    assert_eq!(wrong.status, 1, "{wrong}");
    sandbox.berth(&["volume", "import", "two", &file]).success();
    let show = "cat /v/link; stat -c %u:%g /v/d/file";
    let shown = run(&sandbox, &["-v", "two:/v", "busybox", "sh", "-c", show]);
    assert_eq!(shown.success(), "kept\n12:34");
    insta::assert_snapshot!(sandbox.berth(&["volume", "import", "two", &file]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot import into the volume two
    caused by: it is not empty

    hint: berth volume create another one
    ");
    insta::assert_snapshot!(sandbox.berth(&["volume", "export", "-o", &file, "three"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such volume: three

    hint: berth volume ls lists the volumes
    ");
}
