//! Containers with users of their own, and whose the files of a mount are.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};

use berth_testkit::Sandbox;

/// `run --rm --network none … busybox sh -c SCRIPT`.
fn run(sandbox: &Sandbox, flags: &[&str], script: &str) -> berth_testkit::Screen {
    let run = ["run", "--rm", "--network", "none"];
    sandbox.berth(&[&run[..], flags, &["busybox", "sh", "-c", script]].concat())
}

/// First id inside, first id outside, how many.
fn map(sandbox: &Sandbox, container: &str) -> Vec<u64> {
    let text = sandbox
        .berth(&["exec", container, "cat", "/proc/self/uid_map"])
        .success();
    text.split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect()
}

#[test]
fn every_container_has_ids_of_its_own() {
    let sandbox = Sandbox::with_busybox();
    let names = ["a", "b", "c", "d", "e", "f"];
    std::thread::scope(|scope| {
        for name in names {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let create = [
                    "create",
                    "--name",
                    name,
                    "--network",
                    "none",
                    "--userns",
                    "auto",
                ];
                sandbox
                    .berth(&[&create[..], &["busybox", "sleep", "100"]].concat())
                    .success();
            });
        }
    });
    let mut starts = Vec::new();
    for name in names {
        sandbox.berth(&["start", name]).success();
        let lines = map(&sandbox, name);
        assert_eq!((lines[0], lines[2]), (0, 65_536), "{lines:?}");
        let recorded = sandbox.inspect(name, "{{index .HostConfig.IDMappings.UidMap 0}}");
        assert_eq!(recorded, format!("0:{}:65536", lines[1]));
        starts.push(lines[1]);
        sandbox.berth(&["kill", name]).success();
    }
    starts.sort_unstable();
    for pair in starts.windows(2) {
        assert!(pair[1] - pair[0] >= 65_536, "{starts:?}");
    }
    // What is free again is used again, and a second start has the ids of the first.
    sandbox.berth(&["rm", "a"]).success();
    sandbox.berth(&["start", "b"]).success();
    assert!(starts.contains(&map(&sandbox, "b")[1]));
    sandbox
        .berth(&["rm", "-f", "b", "c", "d", "e", "f"])
        .success();
}

#[test]
fn maps_are_what_was_asked_for() {
    let sandbox = Sandbox::with_busybox();
    let script =
        "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; echo ok > /dev/stdout";
    let maps = [
        "--uidmap",
        "0:100000:1000",
        "--uidmap",
        "1000:7:1",
        "--gidmap",
        "0:5000:20",
    ];
    let screen = run(
        &sandbox,
        &[&maps[..], &["--user", "1000:3"]].concat(),
        script,
    );
    insta::assert_snapshot!(screen, @"
    exit: 0
    --- stdout ---
     0 100000 1000
     1000 7 1
     0 5000 20
    1000
    ok
    --- stderr ---
    ");
    let screen = run(
        &sandbox,
        &["--userns", "auto:size=10,uidmapping=5:4242:1"],
        "while read inside outside count; do echo $inside $count; done < /proc/self/uid_map",
    );
    assert_eq!(screen.success(), "0 5\n5 1\n6 4");
    sandbox
        .berth(&[
            "run",
            "-d",
            "--name",
            "first",
            "--network",
            "none",
            "--userns",
            "auto",
            "busybox",
            "sleep",
            "100",
        ])
        .success();
    let first = map(&sandbox, "first");
    let joined = ["--userns", "container:first", "--pid", "container:first"];
    let screen = run(
        &sandbox,
        &joined,
        "cat /proc/self/uid_map; cat /proc/1/comm",
    );
    let text = screen.success();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(numbers, first);
    assert!(text.ends_with("sleep"), "{text}");
    sandbox.berth(&["rm", "-f", "first"]).success();
}

#[test]
fn what_cannot_be_is_refused() {
    let sandbox = Sandbox::with_busybox();
    for (flags, sentence) in [
        (&["--userns", "keep-id"][..], "cannot use --userns keep-id"),
        (&["--userns", "nomap"], "cannot use --userns nomap"),
        (&["--userns", "ns:/proc/1/ns/user"], "there is no such mode"),
        (&["--userns", "private"], "needs a map"),
        (
            &["--userns", "auto", "--uidmap", "0:1:1"],
            "cannot be used together",
        ),
        (&["--userns", "auto:size=0"], "invalid --userns"),
        (&["--uidmap", "1:100:3"], "cannot run as user 0"),
        (
            &["--uidmap", "0:100:3", "--user", "5"],
            "cannot run as user 5",
        ),
        (
            &["--uidmap", "0:100:3", "--uidmap", "9:102:1"],
            "an id of the host is mapped twice",
        ),
        (
            &["--userns", "container:nobody"],
            "no such container: nobody",
        ),
        (
            &["-v", "/proc/fs:/x:idmap"],
            "the kernel cannot do that on proc",
        ),
        (&["-v", "x:/x:idmap=people"], "is no id map"),
        (
            &["--mount", "type=tmpfs,dst=/x,idmap"],
            "only bind mounts and volumes",
        ),
    ] {
        let screen = run(&sandbox, flags, "true");
        assert_eq!(screen.status, 125, "{flags:?}\n{screen}");
        assert!(screen.stderr.contains(sentence), "{flags:?}\n{screen}");
    }
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success(), "");
}

#[test]
fn the_host_shares_what_it_is_asked_to() {
    let sandbox = Sandbox::with_busybox();
    let script =
        "[ -e /sys/class/net/lo ] && ls -A /dev/mqueue && touch /sys/x 2>/dev/null || echo ok";
    for flags in [
        &["--userns", "auto", "--ipc", "host"][..],
        &["--userns", "auto", "--pid", "host"],
        &["--userns", "auto", "--uts", "host", "--cgroupns", "host"],
        &["--userns", "auto", "--privileged"],
        &["--userns", "auto", "--read-only", "--init"],
    ] {
        let screen = run(&sandbox, flags, script);
        assert_eq!(screen.status, 0, "{flags:?}\n{screen}");
    }
    let host = [
        "run",
        "--rm",
        "--network",
        "host",
        "--userns",
        "auto",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    assert_eq!(sandbox.berth(&host).success(), "ok");
    // The nodes of the host keep their owners: root here is not root there.
    let device = ["--userns", "auto", "--device", "/dev/full:/dev/mine"];
    let screen = run(&sandbox, &device, "stat -c '%t:%T %u' /dev/mine");
    assert_eq!(screen.success(), "1:7 65534");
}

#[test]
fn files_of_a_mount_are_whose_they_are_said_to_be() {
    let sandbox = Sandbox::with_busybox();
    let source = sandbox.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    let give = |owner: u32| {
        for path in [source.clone(), source.join("file")] {
            chown(path, Some(owner), Some(owner)).unwrap();
        }
    };
    let owner = |name: &str| fs::metadata(source.join(name)).unwrap().uid();
    let bind = |options: &str| format!("{}:/m:{options}", source.display());
    give(1234);
    // The invoking user's files are the container's user's, and what that one makes is the invoking user's.
    let script = "stat -c %u /m/file && touch /m/new";
    for user in ["0", "1000"] {
        let screen = run(&sandbox, &["-u", user, "-v", &bind("idmap")], script);
        assert_eq!(screen.success(), user);
        assert_eq!(owner("new"), 1234);
        fs::remove_file(source.join("new")).unwrap();
    }
    let same = [
        "--userns",
        "auto",
        "-u",
        "7",
        "-v",
        &bind("idmap=match-user"),
    ];
    assert_eq!(run(&sandbox, &same, script).success(), "7");
    assert_eq!(owner("new"), 1234);
    fs::remove_file(source.join("new")).unwrap();
    // With users of its own, idmap alone shows ids as an image has them.
    let own = ["--userns", "auto", "-v", &bind("idmap")];
    assert_eq!(run(&sandbox, &own, "stat -c %u /m/file").success(), "1234");
    let none = ["--userns", "auto", "-v", &bind("rw")];
    assert_eq!(
        run(&sandbox, &none, "stat -c %u /m/file").success(),
        "65534"
    );
    let lines = format!(
        "type=bind,src={},dst=/m,\"idmap=uids=1234-33-1;gids=1234-34-1\"",
        source.display()
    );
    assert_eq!(
        run(&sandbox, &["--mount", &lines], "stat -c %u:%g /m/file").success(),
        "33:34"
    );
    // U gives them away for good.
    assert_eq!(
        run(&sandbox, &["-u", "42", "-v", &bind("U")], script).success(),
        "42"
    );
    assert_eq!((owner("file"), owner("new")), (42, 42));
    // Volumes are everybody's: whoever mounts them sees the ids of images.
    for flags in [&["--userns", "auto"][..], &[], &["--userns", "auto"]] {
        let flags = [flags, &["-v", "kept:/kept"]].concat();
        let screen = run(
            &sandbox,
            &flags,
            "touch /kept/$$ && stat -c %u /kept /kept/* | sort -u",
        );
        assert_eq!(screen.success(), "0", "{flags:?}");
    }
    let image = [
        "--userns",
        "auto",
        "--mount",
        "type=image,src=busybox,dst=/img",
    ];
    assert_eq!(run(&sandbox, &image, "stat -c %u /img/bin").success(), "0");
}
