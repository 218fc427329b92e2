//! Twice at once, fifty at once.

use berth_testkit::Sandbox;

#[test]
fn fifty_starts_at_once_all_succeed() {
    let sandbox = Sandbox::with_busybox();
    let running: Vec<_> = (0..50)
        .map(|i| {
            let name = format!("one-{i}");
            sandbox.start(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"])
        })
        .collect();
    for child in running {
        assert_eq!(child.finish().success().len(), 64);
    }
    let mut addresses = Vec::new();
    for i in 0..50 {
        let template = "{{.NetworkSettings.Networks.bridge.IPAddress}}";
        addresses.push(sandbox.inspect(&format!("one-{i}"), template));
    }
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(
        addresses.len(),
        50,
        "each container has an address of its own"
    );
    assert_eq!(sandbox.berth(&["ps", "-q"]).success().lines().count(), 50);
}

#[test]
fn one_name_is_given_once() {
    let sandbox = Sandbox::with_busybox();
    let running: Vec<_> = (0..10)
        .map(|_| sandbox.start(&["create", "--name", "wanted", "busybox", "true"]))
        .collect();
    let made = running.into_iter().map(|child| child.finish().status);
    assert_eq!(made.filter(|status| *status == 0).count(), 1);
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success().lines().count(), 1);
}

#[test]
fn listing_goes_on_beside_a_stopped_command() {
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&["create", "--name", "other", "busybox", "true"])
        .success();
    let mut stuck = sandbox.start(&[
        "run",
        "-i",
        "--name",
        "stuck",
        "--network",
        "none",
        "busybox",
        "cat",
    ]);
    stuck.write(b"there\n");
    stuck.wait_for("there");
    stuck.signal("STOP");
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success().lines().count(), 2);
    stuck.signal("CONT");
    stuck.close_input();
    assert_eq!(stuck.finish().status, 0);
}

/// Everybody who waits for a container is an open file of its monitor: the limit of whoever started it is the guest's.
#[test]
fn a_low_limit_of_open_files_is_the_guests_alone() {
    let sandbox = Sandbox::with_busybox();
    let script = r#"ulimit -Sn 64; exec "$0" "$@""#;
    let words = ["-c", script];
    let started = sandbox.command(&["run", "-d", "--name", "low", "--network", "none"]);
    let status = std::process::Command::new("sh")
        .args(words)
        .arg(started.get_program())
        .args(started.get_args())
        .envs(
            started
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .args(["busybox", "sleep", "1000"])
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let waiting: Vec<_> = (0..70).map(|_| sandbox.start(&["wait", "low"])).collect();
    let limit = sandbox.berth(&["exec", "low", "sh", "-c", "ulimit -Sn"]);
    assert_eq!(limit.success(), "64");
    sandbox.berth(&["stop", "-t", "0", "low"]).success();
    for waiter in waiting {
        assert_eq!(waiter.finish().success(), "137");
    }
}
