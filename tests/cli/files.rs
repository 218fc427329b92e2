//! An image's layers and files: compared, converted, imported, mounted on the host.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;

use berth_testkit::{Layer, Sandbox, available};

#[test]
fn layers_of_an_image_are_shown_and_compared() {
    let sandbox = Sandbox::new();
    let import = |name: &str, layer: Layer| {
        sandbox
            .berth_with_input(&["import", "-", name], &layer.finish())
            .success();
    };
    let layer = || Layer::new().directory("etc/", 0o755);
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
fn served(content: Vec<u8>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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
    let tar = Layer::new().file("hello", 0o644, b"there").finish();
    let file = sandbox.path().join("root.tar");
    std::fs::write(&file, &tar).unwrap();
    for program in ["gzip", "bzip2", "xz", "zstd"] {
        if !available("roots_are_imported_from_urls", program) {
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
