//! What images take, what is removed of them, and what is put right.

use std::path::Path;
use std::process::Command;

use berth_testkit::Sandbox;

/// The bytes that `du` finds.
fn du(path: &Path) -> u64 {
    let output = Command::new("du").arg("-sB1").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// The sum of the sizes that `system df` prints.
fn owned(sandbox: &Sandbox) -> f64 {
    let sizes = sandbox
        .berth(&["system", "df", "--format", "{{.Size}}"])
        .success();
    let bytes = |text: &str| {
        let digits = text.trim_end_matches(char::is_alphabetic);
        let factor = match &text[digits.len()..] {
            "B" => 1.0,
            "kB" => 1e3,
            "MB" => 1e6,
            // Any other unit would make the sum wrong, which is what the test is for.
            _ => f64::NAN,
        };
        digits.parse::<f64>().unwrap() * factor
    };
    sizes.lines().map(bytes).sum()
}

fn is_equal(sandbox: &Sandbox) {
    #[expect(clippy::cast_precision_loss, reason = "compared to one percent")]
    let all = du(&sandbox.data()) as f64;
    let sum = owned(sandbox);
    assert!(
        (sum - all).abs() < all * 0.01,
        "df says {sum}, du says {all}"
    );
}

#[test]
fn every_byte_has_an_owner() {
    let sandbox = Sandbox::with_busybox();
    is_equal(&sandbox);
    let script = "dd if=/dev/zero of=/data/x bs=1M count=3; dd if=/dev/zero of=/y bs=1M count=2; \
                  echo written; sleep 1000";
    let run = [
        "run",
        "-d",
        "--name",
        "w",
        "-v",
        "vol:/data",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    sandbox.berth(&run).success();
    sandbox.wait_for_log("w", "written");
    is_equal(&sandbox);
    let shown = |format: &str| {
        sandbox
            .berth(&["system", "df", "--format", format])
            .success()
    };
    assert!(
        shown("{{.Type}} {{.TotalCount}} {{.Active}}")
            .starts_with("Images 1 1\nContainers 1 1\nLocal Volumes 1 1\nBuild Cache 0 0")
    );
    assert!(shown("json").contains("\"Type\":\"Local Volumes\""));
    let verbose = sandbox.berth(&["system", "df", "-v"]).success();
    assert!(
        verbose.contains("VOLUME NAME") && verbose.contains("vol"),
        "{verbose}"
    );
    sandbox.berth(&["rm", "-f", "w"]).success();
    is_equal(&sandbox);
    let pruned = sandbox.berth(&["system", "prune", "-a", "-f"]).success();
    assert!(pruned.contains("Untagged: busybox:latest"), "{pruned}");
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
    assert_eq!(
        sandbox.berth(&["volume", "ls", "-q"]).success(),
        "vol",
        "named volumes stay"
    );
}

#[test]
fn what_was_removed_is_deleted_in_the_background() {
    let sandbox = Sandbox::with_busybox();
    sandbox.berth(&["rmi", "busybox"]).success();
    let trash = sandbox.data().join("trash");
    let begun = std::time::Instant::now();
    while std::fs::read_dir(&trash).unwrap().next().is_some() {
        assert!(begun.elapsed().as_secs() < 20, "the trash is never emptied");
        std::thread::yield_now();
    }
}

#[test]
fn images_are_removed_as_docker_and_podman_do() {
    let sandbox = Sandbox::with_busybox();
    sandbox.berth(&["tag", "busybox", "other:1"]).success();
    assert_eq!(
        sandbox.berth(&["rmi", "other:1"]).success(),
        "Untagged: other:1"
    );
    insta::assert_snapshot!(sandbox.berth(&["rmi", "nothing"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such image: nothing
    ");
    assert_eq!(sandbox.berth(&["rmi", "--ignore", "nothing"]).success(), "");
    assert_eq!(sandbox.berth(&["rmi", "-f", "nothing"]).status, 0);
    insta::assert_snapshot!(sandbox.berth(&["rmi"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: berth rmi needs IMAGE

    hint: usage: berth rmi [OPTIONS] IMAGE [IMAGE...]
    ");
    insta::assert_snapshot!(sandbox.berth(&["rmi", "-a", "busybox"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: --all and names cannot be used together

    hint: leave --all or the names away
    ");
    sandbox
        .berth(&["create", "--name", "user", "busybox"])
        .success();
    let refused = sandbox.berth(&["rmi", "busybox"]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.stderr.contains("was made from it"),
        "{}",
        refused.stderr
    );
    sandbox.berth(&["rm", "user"]).success();
    sandbox.berth(&["tag", "busybox", "a:1"]).success();
    sandbox.berth(&["tag", "busybox", "b:1"]).success();
    let all = sandbox.berth(&["rmi", "--all", "--no-prune"]).success();
    assert!(all.contains("Deleted: sha256:"), "{all}");
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
}

#[test]
fn newest_and_used_images_are_kept() {
    let sandbox = Sandbox::with_busybox();
    for tag in ["1", "2", "3"] {
        let change = format!("LABEL step={tag}");
        let save = [
            "save",
            "--format",
            "docker-archive",
            "-o",
            "root.tar",
            "busybox",
        ];
        sandbox.berth(&save).success();
        let import = ["import", "-c", &change, "root.tar", &format!("app:{tag}")];
        sandbox.berth(&import).success();
    }
    let prune = |flags: &[&str]| {
        let words = [&["image", "prune", "-f", "-a"], flags].concat();
        sandbox.berth(&words).success();
        let listed = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
        let listed = sandbox.berth(&listed).success();
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(
        prune(&["--unused-for", "1h"]),
        "app:1 app:2 app:3 busybox:latest"
    );
    assert_eq!(prune(&["--keep-last", "1"]), "app:3 busybox:latest");
    assert_eq!(prune(&["--filter", "label!=step"]), "app:3");
    assert_eq!(prune(&["--filter", "until=1h"]), "app:3");
    assert_eq!(prune(&[]), "");
}

#[test]
fn a_lost_layer_is_unpacked_again() {
    let sandbox = Sandbox::with_busybox();
    let whole = sandbox.berth(&["system", "check"]);
    assert_eq!((whole.status, whole.stdout.as_str()), (0, ""));
    let layers = sandbox.data().join("layers");
    let layer = std::fs::read_dir(&layers)
        .unwrap()
        .map(|entry| entry.unwrap())
        .find(|entry| entry.file_name().len() == 64)
        .unwrap();
    std::fs::remove_dir_all(layer.path()).unwrap();
    std::fs::create_dir_all(sandbox.data().join("names")).unwrap();
    std::os::unix::fs::symlink("0".repeat(64), sandbox.data().join("names/ghost")).unwrap();
    let found = sandbox.berth(&["system", "check", "--quick"]).hide_ids();
    assert_eq!(found.status, 1);
    assert!(found.stderr.contains("is missing"), "{}", found.stderr);
    assert!(
        found
            .stderr
            .contains("the name ghost leads to no container"),
        "{}",
        found.stderr
    );
    let repaired = sandbox.berth(&["system", "check", "--repair"]).success();
    assert!(repaired.contains("it was unpacked again"), "{repaired}");
    assert_eq!(sandbox.berth(&["system", "check"]).status, 0);
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "echo",
        "whole",
    ];
    assert_eq!(sandbox.berth(&run).success(), "whole");
}

#[test]
fn a_reset_leaves_nothing() {
    let sandbox = Sandbox::with_busybox();
    let run = ["run", "-d", "-v", "vol:/data", "busybox", "sleep", "1000"];
    sandbox.berth(&run).success();
    sandbox.berth(&["system", "reset", "--force"]).success();
    for listing in [
        &["ps", "-aq"][..],
        &["images", "-q"],
        &["volume", "ls", "-q"],
    ] {
        assert_eq!(sandbox.berth(listing).success(), "");
    }
    sandbox.assert_nothing_left();
}

/// A module whose `_start` returns at once: types, functions, exports, code.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\
    \x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// `both:1`: busybox for this host, and for wasm the smallest program there is.
fn both(sandbox: &Sandbox) {
    let import = ["import", "--platform", "wasi/wasm", "-", "app:wasm"];
    let tar = berth_testkit::Layer::new().file("app.wasm", 0o755, MODULE);
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

#[test]
fn layers_of_an_image_are_shown_and_compared() {
    let sandbox = Sandbox::new();
    let import = |name: &str, layer: berth_testkit::Layer| {
        sandbox
            .berth_with_input(&["import", "-", name], &layer.finish())
            .success();
    };
    let layer = || berth_testkit::Layer::new().directory("etc/", 0o755);
    import(
        "one",
        layer()
            .file("etc/kept", 0o644, b"k")
            .file("etc/gone", 0o644, b"g"),
    );
    import(
        "two",
        layer()
            .file("etc/kept", 0o600, b"k")
            .file("new", 0o644, b"n"),
    );
    assert_eq!(
        sandbox.berth(&["image", "diff", "two", "one"]).success(),
        "C /etc\nD /etc/gone\nC /etc/kept\nA /new"
    );
    assert_eq!(
        sandbox
            .berth(&["image", "diff", "--format", "json", "one"])
            .success(),
        r#"{"changed":[],"added":["/etc","/etc/gone","/etc/kept"],"deleted":[]}"#
    );
    let tree = sandbox.berth(&["image", "tree", "one"]).success();
    assert!(tree.contains("Tags:     [one:latest]"), "{tree}");
    assert!(tree.ends_with("Top Layer of: [one:latest]"), "{tree}");
    let convert = [
        "image",
        "convert",
        "--compression",
        "zstd",
        "one",
        "packed:1",
    ];
    assert_eq!(
        sandbox.berth(&convert).success(),
        "docker.io/library/packed:1"
    );
    assert_eq!(
        sandbox
            .berth(&["image", "diff", "packed:1", "one"])
            .success(),
        ""
    );
    let media = ["manifest", "inspect", "packed:1"];
    assert!(sandbox.berth(&media).success().contains("tar+zstd"));
    let wrong = [
        "image",
        "convert",
        "--compression",
        "gzip",
        "--compression-level",
        "12",
        "one",
        "x",
    ];
    assert_eq!(sandbox.berth(&wrong).status, 1);
}

/// Serves one file to one client, over HTTP.
fn served(content: Vec<u8>) -> (String, std::thread::JoinHandle<()>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/root.tar", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _length = client.read(&mut request).unwrap();
        let length = content.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&content).unwrap();
    });
    (url, server)
}

#[test]
fn roots_are_imported_from_urls_and_whatever_compresses_them() {
    let sandbox = Sandbox::new();
    let tar = berth_testkit::Layer::new()
        .file("hello", 0o644, b"there")
        .finish();
    let file = sandbox.path().join("root.tar");
    std::fs::write(&file, &tar).unwrap();
    for program in ["gzip", "bzip2", "xz", "zstd"] {
        if !berth_testkit::available("roots_are_imported_from_urls", program) {
            continue;
        }
        let packed = Command::new(program).arg("-c").arg(&file).output().unwrap();
        let id = sandbox
            .berth_with_input(&["import", "-"], &packed.stdout)
            .success();
        let difference = sandbox.berth(&["image", "diff", &id]).success();
        assert_eq!(difference, "A /hello", "{program}");
    }
    let (url, server) = served(tar);
    let import = ["import", "-m", "from the web", &url, "web:1"];
    sandbox.berth(&import).success();
    server.join().unwrap();
    let told = sandbox
        .berth(&["history", "--format", "{{.Comment}}", "web:1"])
        .success();
    assert_eq!(told, "from the web");
    assert_eq!(sandbox.berth(&["import", "http://127.0.0.1:1/x"]).status, 1);
}

#[test]
fn an_images_files_are_mounted_on_the_host() {
    let sandbox = Sandbox::with_busybox();
    let mounted = sandbox.berth(&["image", "mount", "busybox"]).success();
    let place = mounted.replace("[SANDBOX]", sandbox.path().to_str().unwrap());
    assert!(Path::new(&place).join("bin/busybox").exists());
    let written = std::fs::write(Path::new(&place).join("new"), "x");
    assert_eq!(
        written.unwrap_err().kind(),
        std::io::ErrorKind::ReadOnlyFilesystem
    );
    assert_eq!(
        sandbox.berth(&["image", "mount", "busybox"]).success(),
        mounted
    );
    assert!(
        sandbox
            .berth(&["image", "mount"])
            .success()
            .ends_with("/merged")
    );
    let refused = sandbox.berth(&["rmi", "-f", "busybox"]);
    assert!(
        refused.stderr.contains("it is mounted at"),
        "{}",
        refused.stderr
    );
    sandbox.berth(&["image", "prune", "-a", "-f"]).success();
    assert!(
        Path::new(&place).join("bin/busybox").exists(),
        "prune spares it"
    );
    sandbox.berth(&["image", "unmount", "--all"]).success();
    assert_eq!(sandbox.berth(&["image", "unmount", "busybox"]).status, 1);
    sandbox.berth(&["rmi", "busybox"]).success();
}
