//! Archives that skopeo and Podman write and read: the same digests in both directions.

use std::path::Path;
use std::process::Command;

use berth_testkit::{Sandbox, available};

/// Runs another engine's tool on the sandbox's files.
fn tool(sandbox: &Sandbox, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    if program == "podman" {
        // Its own store within the sandbox, in a driver that leaves no mounts.
        for (flag, folder) in [("--root", "podman"), ("--runroot", "podman-run")] {
            command.arg(flag).arg(sandbox.path().join(folder));
        }
        command.args(["--storage-driver", "vfs"]);
    }
    let output = command
        .args(arguments)
        .current_dir(sandbox.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn digest(sandbox: &Sandbox, image: &str) -> String {
    let format = ["image", "inspect", "-f", "{{.ManifestDigest}}", image];
    sandbox.berth(&format).success()
}

/// The digest that skopeo sees of what a transport names.
fn seen_by_skopeo(sandbox: &Sandbox, name: &str) -> String {
    tool(
        sandbox,
        "skopeo",
        &["inspect", "--format", "{{.Digest}}", name],
    )
}

#[test]
fn skopeo_reads_what_berth_saves_and_the_other_way_round() {
    let test = "skopeo_reads_what_berth_saves_and_the_other_way_round";
    if !available(test, "skopeo") {
        return;
    }
    let sandbox = Sandbox::with_busybox();
    let own = digest(&sandbox, "busybox");
    let save = |format: &[&str], output: &str| {
        let words = [&["save", "busybox:latest", "-o", output], format].concat();
        sandbox.berth(&words).success();
    };
    save(&[], "both.tar");
    save(&["--format", "oci-archive"], "oci.tar");
    save(&["--format", "oci-dir"], "oci");
    save(&["--format", "docker-dir"], "dir");
    save(&["--format", "docker-archive"], "docker.tar");
    for name in [
        "oci-archive:both.tar",
        "oci-archive:oci.tar",
        "oci:oci",
        "dir:dir",
    ] {
        assert_eq!(seen_by_skopeo(&sandbox, name), own, "{name}");
    }
    let id = sandbox.inspect("busybox", "{{.Id}}");
    // Not from Docker's formats to OCI's: skopeo writes the config anew there, and the id changes.
    for (source, output) in [
        ("docker-archive:both.tar", "dir:from-both"),
        (
            "docker-archive:docker.tar",
            "docker-archive:back.tar:back:1",
        ),
        ("oci:oci", "oci-archive:from-oci.tar"),
        ("oci-archive:oci.tar", "oci:from-archive:x"),
        ("dir:dir", "dir:from-dir"),
    ] {
        tool(
            &sandbox,
            "skopeo",
            &["copy", "--quiet", "--insecure-policy", source, output],
        );
        let place = output.trim_end_matches(":x").trim_end_matches(":back:1");
        let path = place.split_once(':').unwrap().1;
        let other = Sandbox::new();
        let input = sandbox.path().join(path);
        other
            .berth(&["load", "-i", input.to_str().unwrap()])
            .success();
        let loaded = other.berth(&["images", "-q", "--no-trunc"]).success();
        assert_eq!(loaded, id, "{output}");
        let (transport, _) = output.split_once(':').unwrap();
        let name = format!("{transport}:{}", input.display());
        let run = ["run", "--rm", "--network", "none", &name, "echo", "runs"];
        assert_eq!(other.berth(&run).success(), "runs", "{name}");
    }
}

#[test]
fn podman_loads_what_berth_saves_and_the_other_way_round() {
    let test = "podman_loads_what_berth_saves_and_the_other_way_round";
    if !available(test, "podman") {
        return;
    }
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&["tag", "busybox", "localhost/app:1"])
        .success();
    let id = sandbox.inspect("busybox", "{{.Id}}");
    for format in [
        None,
        Some("docker-archive"),
        Some("oci-archive"),
        Some("docker-dir"),
    ] {
        let output = format!("saved-{}", format.unwrap_or("both"));
        let mut save = vec!["save", "localhost/app:1", "-o", &output];
        save.extend(format.into_iter().flat_map(|format| ["--format", format]));
        sandbox.berth(&save).success();
        tool(&sandbox, "podman", &["rmi", "--all", "--force"]);
        tool(&sandbox, "podman", &["load", "-q", "-i", &output]);
        let images = tool(&sandbox, "podman", &["images", "-q", "--no-trunc"]);
        assert_eq!(images, id, "{format:?}");
    }
    tool(&sandbox, "podman", &["load", "-q", "-i", "saved-both"]);
    for format in ["docker-archive", "oci-archive", "oci-dir", "docker-dir"] {
        let output = format!("podman-{format}");
        let save = [
            "save",
            "-q",
            "--format",
            format,
            "-o",
            &output,
            "localhost/app:1",
        ];
        tool(&sandbox, "podman", &save);
        let other = Sandbox::new();
        let input = sandbox.path().join(Path::new(&output));
        other
            .berth(&["load", "-i", input.to_str().unwrap()])
            .success();
        assert_eq!(
            other.berth(&["images", "-q", "--no-trunc"]).success(),
            id,
            "{format}"
        );
    }
}
