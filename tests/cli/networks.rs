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

/// Whoever starts while the bridge is taken away gets it back.
#[test]
fn prune_never_breaks_a_start() {
    let sandbox = Sandbox::with_busybox();
    for _round in 0..10 {
        let starts: Vec<_> = (0..3)
            .map(|_| sandbox.start(&["run", "--rm", "busybox", "ip", "route"]))
            .collect();
        let prunes: Vec<_> = (0..3)
            .map(|_| sandbox.start(&["network", "prune", "--force"]))
            .collect();
        for start in starts {
            let screen = start.finish();
            let routed = screen.success().contains("default via ");
            assert!(routed, "{screen}");
        }
        for prune in prunes {
            prune.finish().success();
        }
    }
    sandbox.berth(&["network", "prune", "--force"]).success();
    sandbox.assert_nothing_left();
}

#[test]
fn the_networks_there_are() {
    let sandbox = Sandbox::with_busybox();
    insta::assert_snapshot!(sandbox.berth(&["network", "ls"]).hide_ids(), @"
    exit: 0
    --- stdout ---
    NETWORK ID     NAME      DRIVER    SCOPE
    [ID]   bridge    bridge    local
    [ID]   host      host      local
    [ID]   none      null      local
    --- stderr ---
    ");
    let start = [
        "run",
        "-d",
        "--name",
        "user",
        "--link-local-ip",
        "169.254.7.7",
        "busybox",
        "sleep",
        "1000",
    ];
    sandbox.berth(&start).success();
    let address = sandbox.inspect("user", "{{.NetworkSettings.IPAddress}}");
    let template = "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}} {{range .IPAM.Config}}{{.Subnet}} {{end}}";
    let told = sandbox
        .berth(&["network", "inspect", "-f", template, "bridge"])
        .success();
    assert!(told.starts_with(&format!("user {address}/")), "{told}");
    let addresses = sandbox
        .berth(&["exec", "user", "ip", "-4", "address"])
        .success();
    assert!(addresses.contains("inet 169.254.7.7/16 "), "{addresses}");
    let id = sandbox
        .berth(&["network", "ls", "-q", "--no-trunc", "-f", "name=bridge"])
        .success();
    assert_eq!(
        sandbox.inspect("user", "{{.NetworkSettings.Networks.bridge.NetworkID}}"),
        id
    );
    sandbox.berth(&["network", "exists", &id]).success();
    for arguments in [
        &["network", "rm", "host"][..],
        &["network", "create", "--driver", "bridge", "mine"],
        &["network", "inspect", "mine"],
    ] {
        assert_ne!(sandbox.berth(arguments).status, 0, "{arguments:?}");
    }
    insta::assert_snapshot!(sandbox.berth(&["network", "create", "mine"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot change which networks there are
    caused by: user-defined networks are not here yet: bridge, host and none are

    hint: share one network with berth run --network container:NAME
    ");
    sandbox.berth(&["rm", "-f", "user"]).success();
    sandbox.berth(&["network", "prune", "--force"]).success();
}

#[test]
fn hosts_files() {
    let sandbox = Sandbox::with_busybox();
    let base = sandbox.path().join("base");
    std::fs::write(&base, "10.9.8.7 first\n").unwrap();
    let base = base.display().to_string();
    let run = |flags: &[&str]| {
        let show = ["busybox", "cat", "/etc/hosts"];
        sandbox.berth(&[&["run", "--rm", "--network", "none"][..], flags, &show].concat())
    };
    let text = run(&["--hosts-file", &base, "--add-host", "db:10.0.0.1"]).success();
    assert_eq!(text, "10.9.8.7 first\n10.0.0.1\tdb");
    assert!(
        run(&["--no-hosts"]).stderr.contains("No such file"),
        "the image has none"
    );
    insta::assert_snapshot!(run(&["--no-hosts", "--add-host", "db:10.0.0.1"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: --no-hosts and --add-host cannot be used together

    hint: leave --no-hosts or --add-host away
    ");
}

/// A host with nothing but `lo`: containers have their networks, and nothing waits for a
/// name server.
#[test]
fn an_offline_host_runs_containers() {
    let sandbox = Sandbox::with_busybox();
    let berth = sandbox.command(&[]);
    let script = r#"
        ip link set lo up
        "$@" run --rm busybox ip -o -4 address show eth0 | grep -c 'inet '
        "$@" run --rm --network none busybox echo alone
        "$@" run -d --name served -p 127.0.0.1::80 busybox sleep 1000 >/dev/null && "$@" port served | grep -c 127.0.0.1
        "$@" rm -f served
        "$@" pull --quiet nowhere.example/image 2>&1 | head -n 1
        "$@" network prune --force
    "#;
    let mut offline = std::process::Command::new("unshare");
    offline.args(["--net", "sh", "-c", script, "sh"]);
    offline.arg(berth.get_program()).args(berth.get_args());
    let output = offline.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.trim(),
        "1\nalone\n1\nserved\nerror: cannot pull nowhere.example/image:latest\nDeleted Networks:\nbridge",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A restart by policy joins the network the other container has now, not what was its process once.
#[test]
fn a_restart_joins_what_is_there_now() {
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&["run", "-d", "--name", "first", "busybox", "sleep", "1000"])
        .success();
    let second = [
        "run",
        "-d",
        "--name",
        "second",
        "--restart",
        "always",
        "--network",
        "container:first",
        "busybox",
        "sh",
        "-c",
        "ip -o -4 address show eth0; exec sleep 1000",
    ];
    sandbox.berth(&second).success();
    let network = |name: &str| {
        let pid = sandbox.inspect(name, "{{.State.Pid}}");
        std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap()
    };
    assert_eq!(network("second"), network("first"));
    sandbox.berth(&["restart", "-t", "0", "first"]).success();
    let before = sandbox.inspect("second", "{{.State.Pid}}");
    // It is ended from outside: nothing inside can kill its pid 1.
    let kill = std::process::Command::new("kill")
        .args(["-KILL", &before])
        .status();
    assert!(kill.unwrap().success());
    let now = || sandbox.inspect("second", "{{.State.Pid}} {{.State.Status}}");
    while now() == format!("{before} running") || now().ends_with("restarting") {}
    assert_eq!(network("second"), network("first"));
}
