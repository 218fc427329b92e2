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
