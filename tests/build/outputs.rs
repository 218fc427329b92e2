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
    project.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    project
        .build(&["-o", &format!("type=tar,dest={}", at("file"))])
        .success();
    assert!(list(at("file").as_ref()).contains("Dockerfile"));
}

#[test]
fn an_archive_of_several_platforms_has_a_directory_for_each() {
    let project = Project::of(
        "FROM scratch AS of-linux\nCOPY Dockerfile /linux\n\
         FROM scratch AS of-windows\nCOPY Dockerfile /windows\nFROM of-$TARGETOS\n",
    );
    let at = project.sandbox.path().join("files.tar");
    let output = format!("type=tar,dest={}", at.display());
    let platforms = ["--platform", "linux/arm,windows/amd64", "-o", &output];
    project.build(&platforms).success();
    let found = list(&at);
    for name in ["linux_arm_v7/linux\n", "windows_amd64/windows\n"] {
        assert!(found.contains(name), "{found}");
    }
    // One is one of several where that is asked for.
    let list_of_one = ["--build-arg", "BUILDKIT_MULTI_PLATFORM=1", "-o", &output];
    let built = project.build(&[&list_of_one[..], &["--platform", "linux/s390x"]].concat());
    built.success();
    let found = list(&at);
    assert!(found.contains("linux_s390x/linux\n"), "{found}");
    assert!(
        built.stderr.contains("[linux/s390x of-linux 1/1] COPY"),
        "{built}"
    );
}

/// What is asked for, and not what the last base happens to be for.
#[test]
fn an_image_is_for_the_platform_that_was_asked_for() {
    let project = Project::of(
        "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETPLATFORM\nENV P=$TARGETPLATFORM\n",
    );
    let platforms = "--platform=linux/amd64,linux/arm64,linux/arm";
    project.build(&[platforms]).success();
    for (platform, architecture) in [("linux/arm64", "arm64"), ("linux/arm/v7", "arm")] {
        let template = "{{.Architecture}} {{.Config.Env}}";
        let words = [
            "image",
            "inspect",
            "--platform",
            platform,
            "-f",
            template,
            "t",
        ];
        let found = project.sandbox.berth(&words).success();
        assert!(found.starts_with(&format!("{architecture} ")), "{found}");
        assert!(found.contains(&format!("P={platform}]")), "{found}");
    }
}

#[test]
fn an_output_says_names_and_forms_too() {
    let project = Project::of("FROM scratch\nCOPY Dockerfile /\n");
    let at = |name: &str| project.sandbox.path().join(name).display().to_string();
    let context = project.directory.to_str().unwrap();
    let build = |output: &str| project.sandbox.berth(&["build", "-o", output, context]);
    let layout = format!(
        "type=oci,tar=false,dest={},\"name=team/a:1,team/a:2\"",
        at("layout")
    );
    build(&layout).success();
    let index = std::fs::read_to_string(at("layout/index.json")).unwrap();
    for name in ["docker.io/team/a:1", "docker.io/team/a:2"] {
        assert!(index.contains(name), "{index}");
    }
    build("type=image,name=team/b,oci-mediatypes=true").success();
    project
        .sandbox
        .berth(&["image", "exists", "team/b"])
        .success();
    build("type=image,name=team/c,oci-mediatypes=false").success();
    let words = ["image", "inspect", "-f", "{{.ConfigMediaType}}", "team/c"];
    let kind = project.sandbox.berth(&words).success();
    assert!(kind.contains("docker"), "{kind}");
    for (output, reason) in [
        ("type=local,dest=x,name=y", "only an image has a name"),
        ("type=docker,tar=false,dest=x", "it takes no tar"),
        ("type=oci,tar=false", "it needs dest=DIRECTORY"),
        ("type=oci,push=true,dest=x", "it takes no push"),
    ] {
        let refused = build(output).status(1);
        assert!(refused.stderr.contains(reason), "{refused}");
    }
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
