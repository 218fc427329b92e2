//! Verbs that meet: starts beside starts, kills before removals, restarts of what is on its way elsewhere.

use berth_testkit::{Sandbox, Screen};

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Screen {
    sandbox.berth(&[&["run", "--network", "none"], arguments].concat())
}

/// What a person reads when a container has ended meanwhile; a process that had begun in it was killed with it.
fn assert_done_or_over(screen: &Screen) {
    let over = screen.stderr.contains("is not running");
    let with_it = screen.status == 137 && screen.stderr.is_empty();
    assert!(screen.status == 0 || over || with_it, "{screen}");
}

#[test]
fn every_start_finds_fresh_names_and_resolvers() {
    let sandbox = Sandbox::with_busybox();
    let script = "grep -c \"$(hostname)\" /etc/hosts; cat /etc/resolv.conf; \
                  echo 'nameserver 192.0.2.1' >> /etc/resolv.conf; echo '192.0.2.1 mine' >> /etc/hosts; \
                  grep -c mine /etc/hosts";
    let first = sandbox
        .berth(&["run", "--name", "again", "busybox", "sh", "-c", script])
        .success();
    assert!(first.ends_with("\n1"), "{first}");
    for _ in 0..3 {
        assert_eq!(sandbox.berth(&["start", "-a", "again"]).success(), first);
    }
}

#[test]
fn what_is_just_ending_is_started_anew() {
    let sandbox = Sandbox::with_busybox();
    run(&sandbox, &["--name", "short", "busybox", "echo", "hi"]).success();
    for _ in 0..25 {
        assert_eq!(sandbox.berth(&["start", "short"]).success(), "short");
    }
    for _ in 0..10 {
        sandbox.berth(&["start", "short"]).success();
        let output = sandbox.berth(&["start", "-a", "short"]).success();
        assert!(matches!(output.as_str(), "hi" | ""), "{output:?}");
    }
}

#[test]
fn operations_on_one_container_take_turns() {
    let sandbox = Sandbox::with_busybox();
    run(
        &sandbox,
        &["-d", "--name", "one", "busybox", "sleep", "1000"],
    )
    .success();
    for verb in ["start", "restart"] {
        let words = [
            &[verb][..],
            if verb == "restart" { &["-t", "0"] } else { &[] },
            &["one"],
        ];
        sandbox.berth(&["stop", "-t", "0", "one"]).success();
        let both = [(); 3].map(|()| sandbox.start(&words.concat()));
        for one in both {
            one.finish().success();
        }
        assert_eq!(sandbox.inspect("one", "{{.State.Running}}"), "true");
    }
    let restarts = sandbox.start(&["restart", "-t", "100", "one"]);
    sandbox.berth(&["rm", "-f", "one"]).success();
    let restarted = restarts.finish();
    let removed = restarted.stderr.contains("no such container");
    assert!(restarted.status == 0 || removed, "{restarted}");
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success(), "");
}

#[test]
fn what_was_killed_can_be_removed() {
    let sandbox = Sandbox::with_busybox();
    for _ in 0..5 {
        run(
            &sandbox,
            &["-d", "--name", "shot", "busybox", "sleep", "1000"],
        )
        .success();
        sandbox.berth(&["kill", "shot"]).success();
        sandbox.berth(&["rm", "shot"]).success();
    }
}

#[test]
fn a_kill_ends_the_restarting() {
    let sandbox = Sandbox::with_busybox();
    let loops = [
        "-d",
        "--name",
        "loops",
        "--restart",
        "always",
        "busybox",
        "false",
    ];
    run(&sandbox, &loops).success();
    let state = || sandbox.inspect("loops", "{{.State.Status}}");
    let begun = std::time::Instant::now();
    while state() != "restarting" {
        assert!(begun.elapsed().as_secs() < 20, "it never restarts");
    }
    assert_eq!(sandbox.berth(&["kill", "loops"]).success(), "loops");
    assert_eq!(state(), "exited");
}

#[test]
fn what_goes_with_its_end_survives_a_restart() {
    let sandbox = Sandbox::with_busybox();
    run(
        &sandbox,
        &["-d", "--rm", "--name", "gone", "busybox", "sleep", "1000"],
    )
    .success();
    let first = sandbox.inspect("gone", "{{.State.Pid}}");
    assert_eq!(
        sandbox.berth(&["restart", "-t", "0", "gone"]).success(),
        "gone"
    );
    assert_eq!(sandbox.inspect("gone", "{{.State.Running}}"), "true");
    assert_ne!(sandbox.inspect("gone", "{{.State.Pid}}"), first);
    sandbox.berth(&["stop", "-t", "0", "gone"]).success();
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success(), "");
}

#[test]
fn whoever_comes_too_late_is_told_so() {
    let sandbox = Sandbox::with_busybox();
    run(&sandbox, &["--name", "brief", "busybox", "true"]).success();
    for verb in [
        &["exec", "brief", "true"][..],
        &["top", "brief"],
        &["attach", "brief"],
    ] {
        for _ in 0..10 {
            sandbox.berth(&["start", "brief"]).success();
            assert_done_or_over(&sandbox.berth(verb));
        }
    }
}

#[test]
fn a_session_survives_its_killed_client() {
    let sandbox = Sandbox::with_busybox();
    run(
        &sandbox,
        &["-d", "--name", "host", "busybox", "sleep", "1000"],
    )
    .success();
    let script = "until [ -e /go ]; do echo tick; echo tock >&2; done; echo over > /over";
    let mut client = sandbox.start(&["exec", "host", "sh", "-c", script]);
    client.wait_for("tick");
    client.signal("KILL");
    assert_eq!(client.finish().status, 137);
    let see = "touch /go; until [ -s /over ]; do :; done; cat /over";
    let seen = sandbox.berth(&["exec", "host", "timeout", "20", "sh", "-c", see]);
    assert_eq!(seen.success(), "over");
}

#[test]
fn the_hosts_name_cannot_be_another() {
    let sandbox = Sandbox::with_busybox();
    let refused = run(
        &sandbox,
        &[
            "--rm",
            "--uts",
            "host",
            "--hostname",
            "x",
            "busybox",
            "true",
        ],
    );
    assert_eq!(refused.status, 125, "{refused}");
    let sentence = "conflicting options: hostname and the UTS mode";
    assert!(refused.stderr.contains(sentence), "{refused}");
}
