//! containerd's `hosts.toml` on the command line.

use berth_testkit::Sandbox;

use crate::imagetools::Served;

#[test]
fn a_registry_is_where_hosts_toml_says() {
    let shore = Sandbox::with_busybox();
    let served = Served::start(&shore);
    let ship = Sandbox::new();
    let place = ship.path().join(".config/containerd/certs.d/registry.test");
    std::fs::create_dir_all(&place).unwrap();
    let file = place.join("hosts.toml");
    let server = format!("server = \"http://{}\"\n", served.address);
    std::fs::write(&file, &server).unwrap();
    let image = "registry.test/team/box:1";
    shore
        .berth(&[
            "push",
            "-q",
            "busybox",
            &format!("{}/team/box:1", served.address),
        ])
        .success();
    let run = ["run", "--rm", "-q", image, "echo", "there"];
    assert_eq!(ship.berth(&run).success(), "there");
    let listed = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    assert_eq!(ship.berth(&listed).success(), image);
    let inspect = ["manifest", "inspect", "registry.test/team/box:1"];
    assert!(ship.berth(&inspect).success().contains("\"layers\""));

    std::fs::write(&file, format!("{server}resolver = true\n")).unwrap();
    insta::assert_snapshot!(ship.berth(&["pull", "-q", image]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot use [SANDBOX]/.config/containerd/certs.d/registry.test/hosts.toml
    caused by: unknown field `resolver`, expected one of `capabilities`, `ca`, `client`, `skip_verify`, `header`, `override_path`, `dial_timeout`, `proxy`
    ");
}
