//! `berth manifest` with images that only a registry has.

use berth_testkit::Sandbox;
use serde_json::Value;

use crate::imagetools::Served;

#[test]
fn a_list_is_made_of_what_a_registry_has() {
    let shore = Sandbox::with_busybox();
    let served = Served::start(&shore);
    let address = &served.address;
    let (one, two) = (format!("{address}/app:one"), format!("{address}/other:two"));
    shore.berth(&["push", "-q", "busybox", &one]).success();
    let tar = berth_testkit::Layer::new().file("hello", 0o644, b"hello\n");
    let import = ["import", "--platform", "linux/s390x", "-", &two];
    shore.berth_with_input(&import, &tar.finish()).success();
    shore.berth(&["push", "-q", &two]).success();

    let ship = Sandbox::new();
    let manifest = |arguments: &[&str]| ship.berth(&[&["manifest"], arguments].concat());
    let misspelt = manifest(&["create", "app:1", &one, &format!("{address}/absent:1")]);
    insta::assert_snapshot!(misspelt.replace(address, "[REGISTRY]"), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such image: [REGISTRY]/absent:1
    caused by: GET http://[REGISTRY]/v2/absent/manifests/1: 404 Not Found: there is no manifest absent:1 (MANIFEST_UNKNOWN)
    ");
    assert_eq!(manifest(&["exists", "app:1"]).status, 1, "it made no list");
    let made = manifest(&["create", "--insecure", "app:1", &one]);
    assert_eq!(
        made.success(),
        "Created manifest list docker.io/library/app:1"
    );
    let added = manifest(&["add", "app:1", &format!("docker://{two}")]).success();
    let verbose = manifest(&["inspect", "--verbose", "app:1"]).success();
    let verbose: Value = serde_json::from_str(&verbose).unwrap();
    assert_eq!(
        verbose[1]["Descriptor"]["platform"]["architecture"],
        "s390x"
    );
    assert_eq!(verbose[1]["Descriptor"]["digest"], added.as_str());
    assert!(verbose[1]["Manifest"]["layers"].is_array(), "{verbose:#}");
    let annotate = ["annotate", "--os-version", "7", "app:1", &two];
    manifest(&annotate).success();
    let target = format!("{address}/third/app:1");
    manifest(&["push", "--quiet", "--purge", "app:1", &target]).success();
    assert_eq!(manifest(&["exists", "app:1"]).status, 1, "--purge");
    assert_eq!(
        ship.berth(&["images", "-q"]).success(),
        "",
        "nothing was fetched"
    );
    let there = ["run", "--rm", "--quiet", &target, "echo", "there"];
    assert_eq!(ship.berth(&there).success(), "there");
    let listed = manifest(&["inspect", &target]).success();
    assert!(listed.contains("\"os.version\": \"7\""), "{listed}");

    let offline = ship.berth(&["--offline", "manifest", "create", "app:2", &two]);
    insta::assert_snapshot!(offline.replace(address, "[REGISTRY]"), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such image: [REGISTRY]/other:two
    caused by: it is not here, and --offline forbids to ask for it
    ");
    let format = manifest(&["push", "--format", "wasm", "app:1", &target]);
    assert_eq!(format.status, 125);
    assert!(
        format.stderr.contains("use oci or v2s2"),
        "{}",
        format.stderr
    );
}

fn rows(sandbox: &Sandbox) -> String {
    let listed = ["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
    sandbox.berth(&listed).success()
}

#[test]
fn a_list_whose_images_are_elsewhere_is_an_image_here() {
    let shore = Sandbox::with_busybox();
    let served = Served::start(&shore);
    let image = format!("{}/app:one", served.address);
    shore.berth(&["push", "-q", "busybox", &image]).success();
    let ship = Sandbox::new();
    let create = ["manifest", "create", "--insecure", "app:1", &image];
    ship.berth(&create).success();
    let rows = || rows(&ship);
    let inspect = |template: &str| {
        ship.berth(&["inspect", "--format", template, "app:1"])
            .success()
    };
    let id = inspect("{{.Id}}");
    let short = &id["sha256:".len()..][..12];
    assert_eq!(rows(), format!("app:1 {short}"));
    let size = inspect("{{.Size}} {{json .RepoTags}}");
    let is_told = size.ends_with("[\"app:1\"]") && !size.starts_with("0 ");
    assert!(is_told, "{size}");
    assert_eq!(ship.berth(&["image", "exists", "app:1"]).status, 0);
    assert_eq!(
        ship.berth(&["info", "--format", "{{.Images}}"]).success(),
        "1"
    );

    // A further name is the same list: it can be pushed, because it is known where its image is.
    ship.berth(&["tag", "app:1", "app:2"]).success();
    assert_eq!(rows(), format!("app:1 {short}\napp:2 {short}"));
    assert_eq!(ship.berth(&["images", "-q"]).success(), short);
    let all = format!("{}/third", served.address);
    ship.berth(&["tag", short, &format!("{all}:1"), &format!("{all}:2")])
        .success();
    ship.berth(&["push", "-q", "--all-tags", &all]).success();
    let there = ["run", "--rm", "-q", &format!("{all}:2"), "echo", "there"];
    assert_eq!(shore.berth(&there).success(), "there");

    let several = ship.berth(&["rmi", short]);
    assert_eq!(several.status, 1);
    let reason = format!("{short} has names in several repositories");
    assert!(several.stderr.contains(&reason), "{}", several.stderr);
    let untagged = ship.berth(&["rmi", "app:1"]).success();
    assert_eq!(untagged, "Untagged: app:1");
    ship.berth(&["untag", &format!("{all}:1")]).success();
    let gone = ship.berth(&["rmi", "-f", short]).success();
    assert!(gone.ends_with(&format!("Deleted: {id}")), "{gone}");
    assert_eq!(rows(), "");
    let blobs = std::fs::read_dir(ship.data().join("oci/blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 0, "its document went too");
}

#[test]
fn a_list_without_a_name_is_dangling() {
    let ship = Sandbox::new();
    ship.berth(&["manifest", "create", "empty:1"]).success();
    ship.berth(&["untag", "empty:1"]).success();
    let dangling = ["images", "--filter", "dangling=true", "-q"];
    assert_eq!(ship.berth(&dangling).success().len(), 12);
    ship.berth(&["image", "prune", "-f"]).success();
    assert_eq!(rows(&ship), "");
    ship.berth(&["manifest", "create", "empty:2"]).success();
    ship.berth(&["image", "prune", "-f"]).success();
    assert!(rows(&ship).starts_with("empty:2 "), "{}", rows(&ship));
    ship.berth(&["rmi", "--all"]).success();
    assert_eq!(rows(&ship), "");
}

#[test]
fn images_are_listed_in_the_order_and_of_the_kind_asked_for() {
    let sandbox = Sandbox::new();
    let import = |name: &str, bytes: usize| {
        let tar = berth_testkit::Layer::new().file("hello", 0o644, &vec![7; bytes]);
        sandbox
            .berth_with_input(&["import", "-", name], &tar.finish())
            .success()
    };
    let middle = import("b:2", 2000);
    import("c:1", 1000);
    import("a:3", 3000);
    sandbox.berth(&["tag", "b:2", "z:9"]).success();
    sandbox
        .berth(&["manifest", "create", "list:1", "c:1"])
        .success();
    let list = |flags: &[&str]| {
        let names = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
        let screen = sandbox.berth(&[&names, flags].concat()).success();
        screen
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(list(&["--sort", "repository"]), "a:3 b:2 c:1 list:1 z:9");
    assert_eq!(list(&["--sort", "tag"]), "c:1 list:1 b:2 a:3 z:9");
    let by_size = list(&["--sort", "size"]);
    assert!(by_size.ends_with("b:2 z:9 a:3"), "{by_size}");
    assert_eq!(list(&["--sort", "created"]), list(&[]));
    let id = middle.trim_start_matches("sha256:");
    let of = |filter: &str| list(&["--sort", "repository", "--filter", filter]);
    assert_eq!(of(&format!("id={}", &id[..12])), "b:2 z:9");
    assert_eq!(of("manifest=true"), "list:1");
    assert_eq!(of("containers=true"), "");
    assert_eq!(of("readonly=true"), "");
    assert_eq!(of("intermediate=false"), "a:3 b:2 c:1 list:1 z:9");
    assert_eq!(of("after=c:1"), "a:3");
    let ids = sandbox
        .berth(&["images", "-q", "--sort", "repository"])
        .success();
    assert_eq!(ids.lines().count(), 3, "each id once: {ids}");
    let rows = sandbox
        .berth(&["images", "-n", "--sort", "repository"])
        .success();
    assert!(rows.starts_with("a "), "{rows}");
    let unknown = sandbox.berth(&["images", "--filter", "colour=red"]);
    assert_eq!(unknown.status, 1, "{}", unknown.stderr);
    let history = sandbox.berth(&["images", "--history"]);
    assert!(
        history.stderr.contains("are not kept"),
        "{}",
        history.stderr
    );
}
