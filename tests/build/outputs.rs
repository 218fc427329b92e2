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

/// What is no file of the build's making stays when nothing can be written to it.
#[test]
fn what_cannot_be_written_to_is_not_removed() {
    let project = Project::of("FROM busybox\n");
    let at = |name: &str| project.sandbox.path().join(name).display().to_string();
    let script =
        "mkfifo pipe && mknod full c 1 7 && ln -s full link && echo old > file && chmod 600 file";
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(project.sandbox.path())
        .status()
        .unwrap();
    assert!(made.success());
    let kind = |name: &str| std::fs::symlink_metadata(at(name)).unwrap().file_type();
    for (kind_of_archive, name) in [("oci", "full"), ("tar", "link"), ("docker", "pipe")] {
        let before = kind(name);
        let reader = (name == "pipe").then(|| {
            let mut head = Command::new("head");
            head.args(["-c", "1", &at(name)]);
            head.stdout(std::process::Stdio::null()).spawn().unwrap()
        });
        let output = format!("type={kind_of_archive},dest={}", at(name));
        let failed = project.build(&["-o", &output]).status(1);
        assert!(failed.stderr.contains("exporting to"), "{failed}");
        assert_eq!(kind(name), before);
        assert!(std::fs::exists(at("full")).unwrap());
        if let Some(mut reader) = reader {
            reader.wait().unwrap();
        }
    }
    // Two platforms are too many for an archive of files.
    let output = format!("type=tar,dest={}", at("new"));
    let platforms = ["--platform", "linux/amd64,wasi/wasm", "-o", &output];
    project.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let failed = project.build(&platforms).status(1);
    assert!(failed.stderr.contains("several platforms"), "{failed}");
    assert!(!std::fs::exists(at("new")).unwrap());
    project
        .build(&["-o", &format!("type=tar,dest={}", at("file"))])
        .success();
    assert!(list(at("file").as_ref()).contains("Dockerfile"));
}

/// The other outputs are written too, wherever they stand, and the names are the artifact's.
#[test]
fn a_wasm_artifact_is_one_output_of_several() {
    let project =
        Project::of("FROM scratch\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\"]\n")
            .file("app.wasm", "\0asm\u{1}\0\0\0");
    let at = |name: &str| project.sandbox.path().join(name).display().to_string();
    let archive = format!("type=docker,dest={}", at("docker.tar"));
    let outputs = ["-o", "type=wasm", "-o", &archive, "-o", &at("local")];
    project
        .build(&[&["--platform", "wasi/wasm"][..], &outputs].concat())
        .success();
    assert_eq!(tree(at("local").as_ref()), ["app.wasm"]);
    project
        .sandbox
        .berth(&["artifact", "inspect", "t"])
        .success();
    let other = berth_testkit::Sandbox::new();
    other.berth(&["load", "-i", &at("docker.tar")]).success();
    let inspect = ["image", "inspect", "-f", "{{.Os}}", "t"];
    assert_eq!(other.berth(&inspect).success(), "wasi");
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

/// What the base has of another kind is replaced, and its links are not followed.
#[test]
fn squashed_layers_replace_what_the_base_has() {
    let project = Project::of(
        "FROM busybox\nRUN mkdir /real /d && echo 1 > /d/x && echo 2 > /f && ln -s /real /l && ln -s /real /m\n",
    );
    project.build_base();
    project.write(
        "Dockerfile",
        "FROM base\nRUN rm /l && mkdir -p /l/real && echo in > /l/in && rm -r /d && echo file > /d\n\
         RUN rm /f && mkdir /f && echo f > /f/in && echo through > /m/through && ln /m/through /m/same\n",
    );
    let script = "cd /; for p in d f l l/real m real; do echo $p $(stat -c %F $p) $(ls -i $p | wc -l); done; \
                  find d f l m/ real | sort; cat /d /f/in /l/in /real/through; stat -c %h /real/same";
    let expected = project.sh(script);
    project.build(&["--squash"]).success();
    assert_eq!(project.run(script), expected);
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
