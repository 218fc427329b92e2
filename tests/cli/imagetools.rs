//! `berth buildx imagetools` against a registry that berth serves.

use std::net::TcpListener;

use berth_testkit::{Running, Sandbox};

/// The sandbox's own images, served; it ends when it is dropped.
pub(crate) struct Served {
    pub(crate) address: String,
    running: Option<Running>,
}

impl Served {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::with(sandbox, &[])
    }

    pub(crate) fn with(sandbox: &Sandbox, flags: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let serve = ["serve", "registry", "--listen", &address];
        let mut running = sandbox.start(&[&serve, flags].concat());
        running.wait_for("serving");
        Self {
            address,
            running: Some(running),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal("TERM");
            drop(running.finish());
        }
    }
}

#[test]
fn images_are_looked_at_and_made_where_they_are() {
    let sandbox = Sandbox::with_busybox();
    let served = Served::start(&sandbox);
    let address = &served.address;
    let tools =
        |arguments: &[&str]| sandbox.berth(&[&["buildx", "imagetools"], arguments].concat());
    let (one, list) = (format!("{address}/app:one"), format!("{address}/app:list"));
    sandbox.berth(&["push", "-q", "busybox", &one]).success();
    let digest = tools(&["inspect", "--format", "{{.Manifest.Digest}}", &one]).success();
    let system = tools(&["inspect", "--format", "{{.Image.OS}} {{.Name}}", &one]).success();
    assert_eq!(system, format!("linux {one}"));

    let metadata = sandbox.path().join("metadata.json").display().to_string();
    let note = "index:org.opencontainers.image.title=t";
    tools(&[
        "create",
        "-t",
        &list,
        "--annotation",
        note,
        "--metadata-file",
        &metadata,
        &one,
    ])
    .success();
    let shown = tools(&["inspect", &list])
        .replace(address, "[REGISTRY]")
        .replace(&digest, "[DIGEST]");
    let made = tools(&["inspect", "--format", "{{.Manifest.Digest}}", &list]).success();
    insta::assert_snapshot!(shown.replace(&made, "[LIST]"), @"
    exit: 0
    --- stdout ---
    Name:      [REGISTRY]/app:list
    MediaType: application/vnd.oci.image.index.v1+json
    Digest:    [LIST]
    Annotations: 
      org.opencontainers.image.title: t
               
    Manifests: 
      Name:      [REGISTRY]/app:list@[DIGEST]
      MediaType: application/vnd.oci.image.manifest.v1+json
      Platform:  linux/amd64
    --- stderr ---
    ");
    assert!(std::fs::read_to_string(&metadata).unwrap().contains(&made));
    let raw = tools(&["inspect", "--raw", &list]).success();
    assert!(raw.contains(&digest) && raw.starts_with('{'), "{raw}");
    // An image for one platform is told as such, in a list too.
    let system = tools(&["inspect", "--format", "{{.Image.OS}}", &list]).success();
    assert_eq!(system, "linux");
    let statements = "{{json .Provenance}} {{json .SBOM}}";
    let statements = tools(&["inspect", "--format", statements, &list]).success();
    assert_eq!(statements, "{} {}");

    // Adding what is there already changes nothing of the entries.
    tools(&["create", "--append", "-t", &list, &digest]).success();
    let number = ["inspect", "--format", "{{len .Manifest.Manifests}}", &list];
    assert_eq!(tools(&number).success(), "1");
    let dry = tools(&["create", "--dry-run", "-p", "linux/s390x", &list]);
    insta::assert_snapshot!(dry, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: nothing is left to make an image of

    hint: berth buildx imagetools inspect tells the platforms of a source
    ");
    let nothing = tools(&["create", &one]);
    insta::assert_snapshot!(nothing.replace(address, "[REGISTRY]"), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot tell what to call the image

    hint: add --tag NAME, or --dry-run to print it
    ");
    let manifest = tools(&["create", "--dry-run", "--annotation", "manifest:a=b", &one]);
    insta::assert_snapshot!(manifest.replace(address, "[REGISTRY]"), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: invalid annotation "manifest:a=b"
    caused by: only an index and its entries can be annotated here

    hint: write it as index:KEY=VALUE or manifest-descriptor[PLATFORM]:KEY=VALUE
    "#);
}

#[test]
fn what_a_registry_says_does_not_reach_the_terminal_as_it_is() {
    let sandbox = Sandbox::with_busybox();
    let served = Served::start(&sandbox);
    let (one, list) = (
        served.address.clone() + "/app:1",
        served.address.clone() + "/app:list",
    );
    sandbox.berth(&["push", "-q", "busybox", &one]).success();
    let tools =
        |arguments: &[&str]| sandbox.berth(&[&["buildx", "imagetools"], arguments].concat());
    let note = "index:note=\u{1b}[31mred\u{9b}0m";
    tools(&["create", "-t", &list, "--annotation", note, &one]).success();
    let template = "{{.Name}}\t{{index .Manifest.annotations \"note\"}}";
    for arguments in [
        &["inspect", &list][..],
        &["inspect", "--format", template, &list],
    ] {
        let shown = tools(arguments).success();
        assert!(shown.contains(r"\u{1b}[31mred\u{9b}0m"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown}");
    }
}

#[test]
fn what_was_pushed_a_moment_ago_stays_and_prune_says_so() {
    let sandbox = Sandbox::new();
    let served = Served::start(&sandbox);
    let one = served.address.clone() + "/app:1";
    let other = Sandbox::with_busybox();
    other.berth(&["push", "-q", "busybox", &one]).success();
    for prune in [&["image", "prune", "-af"][..], &["system", "prune", "-af"]] {
        let pruned = sandbox.berth(prune);
        assert_eq!(pruned.status, 0, "{pruned}");
        assert!(
            pruned.stderr.contains("stays on the disk for now"),
            "{pruned}"
        );
    }
    drop(served);
    let pruned = sandbox.berth(&["image", "prune", "-af"]);
    assert_eq!((pruned.status, pruned.stderr.as_str()), (0, ""), "{pruned}");
}
