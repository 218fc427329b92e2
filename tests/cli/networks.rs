//! The default network is on the host only as long as somebody wants it there.

use berth_testkit::Sandbox;

#[test]
fn prune_takes_an_unused_bridge_and_leaves_one_in_use() {
    let sandbox = Sandbox::with_busybox();
    let prune = || sandbox.berth(&["network", "prune", "--force"]).success();
    assert_eq!(prune(), "", "it was never made");
    let run = ["run", "-d", "--name", "user", "busybox", "sleep", "1000"];
    sandbox.berth(&run).success();
    assert_eq!(prune(), "", "a running container is on it");
    let routes = sandbox.berth(&["exec", "user", "ip", "route"]).success();
    assert!(routes.contains("default via "), "{routes}");
    sandbox.berth(&["stop", "-t", "0", "user"]).success();
    assert_eq!(prune(), "Deleted Networks:\nbridge");
    assert_eq!(prune(), "");
    sandbox.berth(&["start", "user"]).success();
    let routes = sandbox.berth(&["exec", "user", "ip", "route"]).success();
    assert!(routes.contains("default via "), "it is made anew: {routes}");
}
