//! What is done with a result beside keeping it as an image.

use std::process::Command;

use crate::project::{Project, tree};

fn list(archive: &std::path::Path) -> String {
    let output = Command::new("tar")
        .arg("-tf")
        .arg(archive)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn files_and_archives_come_out() {
    let project = Project::of("FROM scratch\nCOPY a /d/a\n").file("a", "A");
    let out = project.sandbox.path().join("out");
    let at = |name: &str| out.join(name).display().to_string();
    std::fs::create_dir(&out).unwrap();
    project
        .build(&[
            "-o",
            &at("local"),
            "-o",
            &format!("type=tar,dest={}", at("files.tar")),
            "-o",
            &format!("type=oci,dest={}", at("oci.tar")),
            "-o",
            &format!("type=docker,dest={}", at("docker.tar")),
        ])
        .success();
    assert_eq!(tree(&out.join("local")), ["d", "d/a"]);
    assert!(list(&out.join("files.tar")).contains("d/a\n"));
    assert!(list(&out.join("oci.tar")).contains("index.json"));
    assert!(list(&out.join("docker.tar")).contains("manifest.json"));
    let other = berth_testkit::Sandbox::new();
    other.berth(&["load", "-i", &at("docker.tar")]).success();
    other.berth(&["image", "exists", "t"]).success();
    // Files alone need no image.
    let nameless = Project::of("FROM scratch\nCOPY a /a\n").file("a", "A");
    nameless.build(&["-o", &at("second")]).success();
    assert_eq!(nameless.sandbox.berth(&["image", "exists", "t"]).status, 1);
}

#[test]
fn squashed_layers_are_one_and_say_the_same() {
    let project = Project::of(
        "FROM busybox\nRUN rm /bin/vi && mkdir /d && echo 1 > /d/a && echo 2 > /d/b\nRUN rm /d/a && rm -rf /tmp && mkdir /tmp && echo x > /tmp/only\n",
    );
    let found = "ls /d /tmp; test -e /bin/vi || echo gone";
    let expected = project.sh(found);
    let base = project
        .sandbox
        .berth(&[
            "image",
            "inspect",
            "-f",
            "{{len .RootFS.Layers}}",
            "busybox",
        ])
        .success();
    project.build(&["--squash"]).success();
    assert_eq!(project.run(found), expected);
    assert_eq!(
        project.config("{{len .RootFS.Layers}}"),
        (base.parse::<usize>().unwrap() + 1).to_string()
    );
}

#[test]
fn ids_names_labels_and_metadata_are_written() {
    let project = Project::of("FROM busybox\n");
    let file = |name: &str| project.sandbox.path().join(name).display().to_string();
    let built = project.build(&[
        "-q",
        "-t",
        "second:2",
        "--label",
        "a=b",
        "--annotation",
        "c=d",
        "--iidfile",
        &file("id"),
        "--metadata-file",
        &file("meta"),
        "--rm",
    ]);
    let id = built.success();
    assert_eq!(built.stderr, "");
    assert_eq!(std::fs::read_to_string(file("id")).unwrap(), id);
    assert_eq!(project.id(), id);
    assert_eq!(project.config("{{.Config.Labels.a}}"), "b");
    project
        .sandbox
        .berth(&["image", "exists", "second:2"])
        .success();
    let metadata = std::fs::read_to_string(file("meta")).unwrap();
    assert!(
        metadata.contains("\"containerimage.digest\": \"sha256:"),
        "{metadata}"
    );
}
