//! Which containers a verb takes: by name, by file, all of them, or those that match.

use berth_testkit::Sandbox;

fn states(sandbox: &Sandbox) -> String {
    let format = "{{.Names}}={{.State}}";
    let list = sandbox.berth(&["ps", "-a", "--format", format]).success();
    let mut lines: Vec<&str> = list.lines().collect();
    lines.sort_unstable();
    lines.join(" ")
}

#[test]
fn filters_choose_for_every_verb() {
    let sandbox = Sandbox::with_busybox();
    for (name, tier) in [("a", "tier=one"), ("b", "tier=one"), ("c", "tier=two")] {
        let make = [
            "create",
            "--name",
            name,
            "--network",
            "none",
            "-l",
            tier,
            "busybox",
            "sleep",
            "1000",
        ];
        sandbox.berth(&make).success();
    }
    let on = |verb: &[&str], filter: &str| {
        sandbox
            .berth(&[verb, &["--filter", filter]].concat())
            .success();
        states(&sandbox)
    };
    assert_eq!(
        on(&["start"], "label=tier=one"),
        "a=running b=running c=created"
    );
    assert_eq!(on(&["pause"], "name=^a$"), "a=paused b=running c=created");
    assert_eq!(
        on(&["unpause"], "status=paused"),
        "a=running b=running c=created"
    );
    on(&["kill"], "name=b");
    sandbox.berth(&["wait", "b"]).success();
    assert_eq!(states(&sandbox), "a=running b=exited c=created");
    assert_eq!(
        on(&["stop", "-t", "0"], "label=tier"),
        "a=exited b=exited c=created"
    );
    assert_eq!(on(&["rm"], "status=exited"), "c=created");
    insta::assert_snapshot!(sandbox.berth(&["rm", "--filter", "label=tier", "c"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: --filter and names cannot be used together

    hint: leave --filter or the names away
    ");
    insta::assert_snapshot!(sandbox.berth(&["rm", "--filter", "color=red"]), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: invalid filter "color"

    hint: the keys are ancestor, before, exited, expose, health, id, is-task, label, label!, name, network, publish, since, status, volume
    "#);
    assert_eq!(states(&sandbox), "c=created");
}

/// One container that does not listen must not keep the others waiting, and advice is given once.
#[test]
fn several_are_stopped_at_once() {
    let sandbox = Sandbox::with_busybox();
    for name in ["a", "b", "c"] {
        let start = [
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "none",
            "busybox",
            "sleep",
            "1000",
        ];
        sandbox.berth(&start).success();
    }
    let begun = std::time::Instant::now();
    let screen = sandbox.berth(&["stop", "-t", "2", "a", "b", "c"]);
    let mut names: Vec<&str> = screen.stdout.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(
        begun.elapsed().as_secs() < 6,
        "one after the other: {screen}"
    );
    assert_eq!(
        screen.stderr.matches("ignores SIGTERM").count(),
        3,
        "{screen}"
    );
    assert_eq!(screen.stderr.matches("hint:").count(), 1, "{screen}");
    sandbox.berth(&["start", "a"]).success();
    // Who gives no time gets no advice.
    assert_eq!(sandbox.berth(&["stop", "-t", "0", "a"]).stderr, "");
}

#[test]
fn a_file_names_a_container() {
    let sandbox = Sandbox::with_busybox();
    let file = sandbox.path().join("id").display().to_string();
    let start = [
        "run",
        "-d",
        "--network",
        "none",
        "--cidfile",
        &file,
        "busybox",
        "sleep",
        "1000",
    ];
    sandbox.berth(&start).success();
    assert_eq!(
        sandbox
            .berth(&["exec", "--cidfile", &file, "echo", "here"])
            .success(),
        "here"
    );
    sandbox.berth(&["kill", "--cidfile", &file]).success();
    assert_eq!(
        sandbox.berth(&["wait", "--cidfile", &file]).success(),
        "137"
    );
    sandbox.berth(&["rm", "--cidfile", &file]).success();
    assert_eq!(states(&sandbox), "");
}

#[test]
fn a_containers_files_are_mounted_on_the_host() {
    let sandbox = Sandbox::with_busybox();
    let make = [
        "create",
        "--name",
        "c",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "cat /new; sleep 1000",
    ];
    sandbox.berth(&make).success();
    let mount = || {
        sandbox
            .command(&["container", "mount", "c"])
            .output()
            .unwrap()
    };
    let place = String::from_utf8(mount().stdout).unwrap();
    let place = std::path::Path::new(place.trim_end());
    std::fs::write(place.join("new"), "from outside\n").unwrap();
    sandbox.berth(&["start", "c"]).success();
    sandbox.wait_for_log("c", "from outside");
    // It is still there, and shows what the container does now.
    sandbox
        .berth(&["exec", "c", "sh", "-c", "echo inside > /made"])
        .success();
    assert_eq!(
        std::fs::read_to_string(place.join("made")).unwrap(),
        "inside\n"
    );
    assert!(
        std::fs::read_dir(place.join("proc"))
            .unwrap()
            .next()
            .is_none()
    );
    let list = sandbox.command(&["container", "mount"]).output().unwrap();
    assert!(
        String::from_utf8(list.stdout)
            .unwrap()
            .ends_with(&format!("{}\n", place.display()))
    );
    sandbox.berth(&["container", "unmount", "c"]).success();
    assert!(!place.exists());
    mount();
    sandbox.berth(&["rm", "-f", "c"]).success();
    sandbox.assert_nothing_left();
    let once = [
        "run",
        "-d",
        "--rm",
        "--name",
        "c",
        "--network",
        "none",
        "busybox",
        "sleep",
        "1000",
    ];
    sandbox.berth(&once).success();
    mount();
    sandbox.berth(&["stop", "-t", "0", "c"]).success();
    sandbox.assert_nothing_left();
}

#[test]
fn containers_are_listed_in_the_order_that_is_asked_for() {
    let sandbox = Sandbox::with_busybox();
    for (name, command) in [("b", "true"), ("c", "false"), ("a", "echo")] {
        let create = [
            "create",
            "--network",
            "none",
            "--name",
            name,
            "busybox",
            command,
        ];
        sandbox.berth(&create).success();
    }
    sandbox.berth(&["start", "c"]).success();
    sandbox.berth(&["wait", "c"]).success();
    let listed = |key: &str| {
        let sort = format!("--sort={key}");
        let rows = sandbox.berth(&["ps", "-a", &sort, "--format", "{{.Names}}"]);
        rows.success().replace('\n', " ")
    };
    assert_eq!(listed("names"), "a b c");
    assert_eq!(listed("command"), "a c b");
    // Those of one second stand as they did without it, the newest first.
    assert_eq!(listed("status").split(' ').next_back(), Some("c"));
    for key in ["created", "id", "image", "runningfor", "size"] {
        assert_eq!(listed(key).len(), 5, "{key}");
    }
    let ids = sandbox.berth(&["ps", "-aq", "--sort", "id"]).success();
    assert!(ids.lines().is_sorted(), "{ids}");
    let refused = sandbox.berth(&["ps", "--sort", "weight"]);
    assert_eq!(refused.status, 125, "{refused}");
    assert!(
        refused.stderr.contains("use one of: command created id"),
        "{refused}"
    );
}
