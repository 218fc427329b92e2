//! One name for several platforms: lists made, changed, chosen from, and removed by platform.

use berth_testkit::{Layer, Sandbox};

/// A module whose `_start` returns at once: types, functions, exports, code.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\
    \x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// `both:1`: busybox for this host, and for wasm the smallest program there is.
fn both(sandbox: &Sandbox) {
    let import = ["import", "--platform", "wasi/wasm", "-", "app:wasm"];
    let tar = Layer::new().file("app.wasm", 0o755, MODULE);
    sandbox.berth_with_input(&import, &tar.finish()).success();
    let create = ["manifest", "create", "both:1", "busybox", "app:wasm"];
    assert_eq!(
        sandbox.berth(&create).success(),
        "Created manifest list docker.io/library/both:1"
    );
}

#[test]
fn a_list_of_images_is_made_changed_and_removed() {
    let sandbox = Sandbox::with_busybox();
    both(&sandbox);
    let inspect = |name: &str| {
        let text = sandbox.berth(&["manifest", "inspect", name]).success();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let list = inspect("both:1");
    assert_eq!(list["manifests"][0]["platform"]["os"], "linux");
    assert_eq!(list["manifests"][1]["platform"]["os"], "wasi");
    let annotate = [
        "manifest",
        "annotate",
        "--variant",
        "v2",
        "--os-features",
        "sse4",
        "--annotation",
        "a=b",
        "both:1",
        "busybox",
    ];
    sandbox.berth(&annotate).success();
    let entry = &inspect("both:1")["manifests"][0];
    assert_eq!(entry["platform"]["variant"], "v2");
    assert_eq!(entry["platform"]["os.features"][0], "sse4");
    assert_eq!(entry["annotations"]["a"], "b");
    let taken = sandbox.berth(&["manifest", "create", "both:1"]);
    assert!(
        taken.stderr.contains("the name both:1 is taken"),
        "{}",
        taken.stderr
    );
    sandbox
        .berth(&["manifest", "create", "--amend", "both:1", "busybox"])
        .success();
    assert_eq!(inspect("both:1")["manifests"].as_array().unwrap().len(), 2);
    assert!(
        inspect("busybox")["layers"].is_array(),
        "an image has a manifest too"
    );
    sandbox
        .berth(&["manifest", "remove", "both:1", "app:wasm"])
        .success();
    assert_eq!(inspect("both:1")["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(sandbox.berth(&["manifest", "exists", "both:1"]).status, 0);
    sandbox.berth(&["manifest", "rm", "both:1"]).success();
    assert_eq!(sandbox.berth(&["manifest", "exists", "both:1"]).status, 1);
    assert_eq!(sandbox.berth(&["manifest", "exists", "busybox"]).status, 1);
    let listed = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    assert_eq!(sandbox.berth(&listed).success(), "app:wasm\nbusybox:latest");
}

#[test]
fn an_entry_is_chosen_of_an_image_for_several_platforms() {
    let sandbox = Sandbox::with_busybox();
    both(&sandbox);
    let manifest = |arguments: &[&str]| sandbox.berth(&[&["manifest"], arguments].concat());
    manifest(&["create", "list:1"]).success();
    let entries = || {
        let text = manifest(&["inspect", "list:1"]).success();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let entries = list["manifests"].as_array().unwrap().iter();
        let tell = |entry: &serde_json::Value| {
            let platform = &entry["platform"];
            let word = |key: &str| platform[key].as_str().unwrap_or("-").to_owned();
            format!(
                "{}/{}/{}",
                word("os"),
                word("architecture"),
                word("variant")
            )
        };
        entries.map(tell).collect::<Vec<_>>().join(" ")
    };
    let wasm = manifest(&["inspect", "both:1"]).success();
    let wasm: serde_json::Value = serde_json::from_str(&wasm).unwrap();
    let added = manifest(&[
        "add",
        "--arch",
        "wasm",
        "--annotation",
        "a=b",
        "list:1",
        "both:1",
    ]);
    assert_eq!(
        added.success(),
        wasm["manifests"][1]["digest"].as_str().unwrap()
    );
    assert_eq!(entries(), "wasi/wasm/-");
    let absent = manifest(&["add", "--arch", "s390x", "list:1", "both:1"]);
    assert_eq!(absent.status, 1, "{}", absent.stderr);
    assert!(
        absent
            .stderr
            .contains("what is here is for linux/amd64, wasi/wasm"),
        "{}",
        absent.stderr
    );
    assert_eq!(entries(), "wasi/wasm/-");
    // A single image is what it is said to be.
    manifest(&["add", "--arch", "s390x", "list:1", "busybox"]).success();
    assert_eq!(entries(), "wasi/wasm/- linux/s390x/-");
    manifest(&["remove", "list:1", "busybox"]).success();
    let id = sandbox
        .berth(&["images", "-q", "--no-trunc", "busybox"])
        .success();
    let id = id.lines().next().unwrap();
    manifest(&["add", "--variant", "v3", "list:1", id]).success();
    assert_eq!(entries(), "wasi/wasm/- linux/amd64/v3");
    manifest(&["add", "--all", "list:1", "both:1"]).success();
    assert_eq!(entries(), "linux/amd64/- wasi/wasm/-");
}

#[test]
fn an_image_for_native_and_wasm_is_one_image() {
    let sandbox = Sandbox::with_busybox();
    both(&sandbox);
    sandbox.berth(&["rmi", "busybox", "app:wasm"]).success();
    let tree = sandbox.berth(&["images", "--tree"]).hide_ids().stdout;
    assert!(tree.contains("both:1"), "{tree}");
    assert!(tree.contains("├─ linux/amd64"), "{tree}");
    assert!(tree.contains("└─ wasi/wasm"), "{tree}");
    assert_eq!(sandbox.berth(&["images", "--tree", "--quiet"]).status, 125);
    let platform = |flags: &[&str]| {
        let create = [&["create"], flags, &["both:1"]].concat();
        let screen = sandbox.berth(&create);
        let id = screen.success();
        let runtime = sandbox.inspect(&id, "{{.Runtime}}");
        sandbox.berth(&["rm", &id]).success();
        runtime
    };
    assert_eq!(platform(&[]), "linux");
    assert_eq!(platform(&["--prefer", "native"]), "linux");
    assert_eq!(
        platform(&["--prefer", "wasm", "--entrypoint", "/app.wasm"]),
        "wasm"
    );
    assert_eq!(
        platform(&["--platform", "wasi/wasm", "--entrypoint", "/app.wasm"]),
        "wasm"
    );
    sandbox
        .berth(&["rmi", "--platform", "linux/amd64", "both:1"])
        .success();
    assert_eq!(
        platform(&["--entrypoint", "/app.wasm"]),
        "wasm",
        "what is left is taken"
    );
    let inspect = ["image", "inspect", "--platform", "linux/amd64", "both:1"];
    assert_eq!(sandbox.berth(&inspect).status, 1);
    sandbox
        .berth(&["rmi", "--platform", "wasi/wasm", "both:1"])
        .success();
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
}
