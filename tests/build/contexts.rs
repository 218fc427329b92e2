//! Where a build's files come from: directories, the Dockerfile's own path, standard input, images.

use std::process::Command;

use crate::project::Project;

/// The walk-through's spelling, with a directory and with the Dockerfile itself.
#[test]
fn a_directory_or_the_dockerfile_itself() {
    let project = Project::of("FROM busybox\nCOPY a /a\n")
        .file("a", "A")
        .file("deploy/Other", "FROM busybox\nCOPY b /b\n")
        .file("deploy/b", "B");
    let path = |name: &str| project.directory.join(name).display().to_string();
    project
        .sandbox
        .berth(&["image", "build", "--rm", "-t", "t", &path("")])
        .success();
    project
        .sandbox
        .berth(&["image", "build", "--rm", "-t", "t", &path("Dockerfile")])
        .success();
    assert_eq!(project.run("cat /a"), "A");
    project
        .sandbox
        .berth(&["build", "-t", "t", &path("deploy/Other")])
        .success();
    assert_eq!(project.run("cat /b"), "B");
    project
        .sandbox
        .berth(&[
            "build",
            "-f",
            &path("deploy/Other"),
            "-t",
            "t",
            &path("deploy"),
        ])
        .success();
    std::fs::rename(path("Dockerfile"), path("Containerfile")).unwrap();
    project.build(&[]).success();
}

#[test]
fn standard_input_is_a_dockerfile_or_a_context() {
    let project = Project::of("FROM busybox\nCOPY a /a\n").file("a", "A");
    let context = project.directory.to_str().unwrap();
    let input = b"FROM busybox\nCOPY a /piped\n";
    project
        .sandbox
        .berth_with_input(&["build", "-t", "t", "-f", "-", context], input)
        .success();
    assert_eq!(project.run("cat /piped"), "A");
    project
        .sandbox
        .berth_with_input(
            &["build", "-t", "t", "-"],
            b"FROM busybox\nRUN echo alone > /x\n",
        )
        .success();
    assert_eq!(project.run("cat /x"), "alone");
    let tar = Command::new("tar")
        .args(["-czf", "-", "-C", context, "."])
        .output()
        .unwrap()
        .stdout;
    project
        .sandbox
        .berth_with_input(&["build", "-t", "t", "-"], &tar)
        .success();
    assert_eq!(project.run("cat /a"), "A");
    let both = project
        .sandbox
        .berth_with_input(&["build", "-t", "t", "-f", "-", "-"], &tar);
    assert!(
        both.stderr.contains("both the context and the Dockerfile"),
        "{both}"
    );
    project.sandbox.assert_nothing_left();
}

#[test]
fn files_of_the_web_are_added() {
    let project = Project::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://127.0.0.1:{}/dir/file.txt",
        server.local_addr().unwrap().port()
    );
    let answering = std::thread::spawn(move || {
        for _ in 0..4 {
            use std::io::{BufRead as _, Write as _};
            let (mut stream, _) = server.accept().unwrap();
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let sum = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nADD {url} /w/\nADD --checksum={sum} --chmod=644 {url} /named\n"),
    );
    assert_eq!(
        project.sh("cat /w/file.txt; stat -c ' %a %Y' /w/file.txt; stat -c %a /named"),
        "hello 600 784111777\n644"
    );
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox\nADD --checksum=sha256:{} {url} /w/\n",
            "0".repeat(64)
        ),
    );
    assert!(
        project
            .build(&[])
            .status(1)
            .stderr
            .contains("digest mismatch")
    );
    // A URL's secrets are the downloader's business alone.
    let secret = url.replace("http://", "http://user:s3cret@");
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nADD {secret}?sig=t0ken /w/\n"),
    );
    let built = project.build(&["--progress", "plain"]);
    built.success();
    let history = project
        .sandbox
        .berth(&["history", "--no-trunc", "t"])
        .success();
    assert!(history.contains(&format!("ADD {url} /w/")), "{history}");
    let records = Command::new("grep")
        .args(["-rlE", "s3cret|t0ken"])
        .arg(project.sandbox.data())
        .output()
        .unwrap();
    let records = String::from_utf8_lossy(&records.stdout).into_owned();
    for text in [&built.stdout, &built.stderr, &history] {
        assert!(
            !text.contains("s3cret") && !text.contains("t0ken"),
            "{text}"
        );
    }
    assert_eq!(records, "");
    answering.join().unwrap();
}

#[test]
fn named_contexts_replace_images_and_are_sources() {
    let project = Project::of(
        "FROM base\nCOPY --from=extra f /f\nRUN --mount=from=extra,target=/m cat /m/f > /g\n",
    );
    let extra = project.sandbox.path().join("extra");
    std::fs::create_dir(&extra).unwrap();
    std::fs::write(extra.join("f"), "extra").unwrap();
    project
        .build(&[
            "--build-context",
            "base=docker-image://busybox",
            "--build-context",
            &format!("extra={}", extra.display()),
        ])
        .success();
    assert_eq!(project.run("cat /f /g"), "extraextra");
}

/// A layout that another tool may have written, by tag, by digest and alone.
#[test]
fn oci_layouts_are_contexts() {
    let source = Project::of("FROM busybox\nRUN echo layout > /l\n");
    source.build(&[]).success();
    let layout = source.sandbox.path().join("layout");
    let at = layout.display();
    source
        .sandbox
        .berth(&["save", "--format", "oci-dir", "-o", &at.to_string(), "t"])
        .success();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let project = Project::of("FROM base\nCOPY --from=base /l /copy\n");
    for context in [
        format!("base=oci-layout://{at}"),
        format!("base=oci-layout://{at}@{digest}"),
    ] {
        project.build(&["--build-context", &context]).success();
        assert_eq!(project.run("cat /l /copy"), "layout\nlayout");
    }
    let refused = project
        .build(&["--build-context", "base=oci-layout:///nowhere"])
        .status(1);
    assert!(refused.stderr.contains("is not an OCI layout"), "{refused}");
}

/// buildah's `--volume`: there while commands run, and in no layer.
#[test]
fn directories_of_the_host_are_mounted_while_commands_run() {
    let project = Project::of(
        "FROM busybox\nRUN cat /deps/f > /f; echo x > /deps/out || echo read-only >> /f\n",
    );
    let deps = project.sandbox.path().join("deps");
    std::fs::create_dir(&deps).unwrap();
    std::fs::write(deps.join("f"), "dep\n").unwrap();
    let volume = format!("{}:/deps:ro", deps.display());
    project.build(&["-v", &volume]).success();
    assert_eq!(
        project.run("cat /f; ls -d /deps 2>/dev/null; true"),
        "dep\nread-only"
    );
    assert!(
        project.build(&["-v", "name:/deps"]).status == 125
            || project.build(&["-v", "name:/deps"]).status == 2
    );
}

#[test]
fn questions_are_answered_without_building() {
    let project = Project::of(
        "ARG V=1\nARG UNUSED=2\n# tool makes it\nFROM absent$V AS tool\n# MODE how\nARG MODE=fast\nFROM tool\nRUN --mount=type=secret,id=k,required=true x\n",
    );
    let asked = |question: &str| project.build(&["--call", question]).success();
    assert_eq!(
        asked("targets"),
        "TARGET      DESCRIPTION\ntool        makes it\n(default)"
    );
    assert_eq!(
        asked("outline"),
        "TARGET:   (default)\n\nBUILD ARG   VALUE   DESCRIPTION\nV           1\nMODE        fast    how\n\nSECRET   REQUIRED\nk        true"
    );
    assert!(asked("outline,format=json").contains("\"required\": true"));
}

/// A directory's own ignore file counts for a named context too, wherever its files are used.
#[test]
fn a_named_directory_has_its_own_ignore_file() {
    let project = Project::of(
        "FROM busybox\nCOPY --from=other . /copied/\n\
         RUN --mount=from=other,target=/m ls /m > /mounted\nCOPY . /own/\n",
    )
    .file(".dockerignore", "kept\n")
    .file("kept", "x")
    .file("left", "x")
    .file("other/.dockerignore", "left\nother\n")
    .file("other/kept", "x")
    .file("other/left", "x");
    let other = format!("other={}", project.directory.join("other").display());
    project.build(&["--build-context", &other]).success();
    let shown = project.run("ls /copied; cat /mounted; ls /own");
    assert_eq!(shown, "kept\nkept\nDockerfile\nleft\nother");
    project.write("other/.dockerignore", "[\n");
    let failed = project.build(&["--build-context", &other]).status(1);
    assert!(failed.stderr.contains("/other/.dockerignore"), "{failed}");
    let (docker, podman) = (".dockerignore", ".containerignore");
    let at = |name: &str| project.directory.join("other").join(name);
    std::fs::remove_file(at(docker)).unwrap();
    project.write(&format!("other/{podman}"), "left\nother\n");
    project.build(&["--build-context", &other]).success();
    assert_eq!(project.run("ls /copied"), "kept");
}

/// The name of an image may be written in more than one way, and a context may be nothing at all.
#[test]
fn contexts_are_found_by_every_name_of_an_image() {
    let project = Project::of("FROM docker.io/library/base:latest\nCOPY --from=base f /g\n");
    project.write("d/f", "x");
    let directory = project.directory.join("d").display().to_string();
    let out = project.sandbox.path().join("out");
    let output = out.display().to_string();
    for name in ["base", "base:latest", "docker.io/library/base"] {
        let context = format!("{name}={directory}");
        project
            .build(&["--build-context", &context, "-o", &output])
            .success();
        assert_eq!(crate::project::tree(&out), ["f", "g"]);
    }
    project.write(
        "Dockerfile",
        "FROM base AS build\nCOPY <<EOF /out\nhello\nEOF\n",
    );
    let empty = project.sandbox.path().join("empty");
    let output = empty.display().to_string();
    project
        .build(&[
            "--build-context",
            "base=docker-image://scratch",
            "-o",
            &output,
        ])
        .success();
    assert_eq!(crate::project::tree(&empty), ["out"]);
}

/// What a context replaces is not looked at; what it brings is known.
#[test]
fn checks_know_the_contexts() {
    let project = Project::of(
        "FROM absent.test/x AS deps\nENV a b\nRUN echo\nCMD x\nFROM base\nENV Y=$GIVEN\nCOPY --from=deps /f /f\n",
    );
    let base = Project::of("FROM busybox\nENV GIVEN=1\n");
    drop(base);
    let found = project.build(&["--check"]).status(1);
    assert!(found.stdout.contains("LegacyKeyValueFormat"), "{found}");
    let context = format!("deps={}", project.directory.display());
    let clean = project.build(&["--check", "--build-context", &context]);
    assert_eq!(clean.success(), "Check complete, no warnings found.");
    let undefined = project
        .build(&[
            "--check",
            "--build-context",
            &context,
            "--build-context",
            "base=docker://busybox",
        ])
        .status(1);
    assert!(
        undefined.stdout.contains("undefined variable '$GIVEN'"),
        "{undefined}"
    );
    project.write(
        "Dockerfile",
        "FROM absent.test/x AS deps\nARG OLD\nFROM deps\nARG NEW\n",
    );
    let outline = project
        .build(&["--call", "outline", "--build-context", &context])
        .success();
    assert!(
        outline.contains("NEW") && !outline.contains("OLD"),
        "{outline}"
    );
}

/// `BuildKit` calls the file of such a context `context`.
#[test]
fn files_of_the_web_are_contexts() {
    let project = Project::of(
        "FROM busybox\nCOPY --from=web context /one\nRUN --mount=from=web,target=/m cp /m/context /two && stat -c %a /m/context > /mode\n",
    );
    let (url, answering) = served(b"hello", 1);
    project
        .build(&["--build-context", &format!("web={url}")])
        .success();
    answering.join().unwrap();
    assert_eq!(project.run("cat /one /two /mode"), "hellohello600");
    // A Dockerfile of the web, with a bogus name.
    let (url, answering) = served(b"FROM busybox\nRUN echo web > /w\n", 1);
    project
        .sandbox
        .berth(&["build", "-t", "t", "-f", "any", &url])
        .success();
    answering.join().unwrap();
    assert_eq!(project.run("cat /w"), "web");
    // A file without a name.
    let (url, answering) = served(b"hello", 2);
    let root = url.rsplit_once('/').unwrap().0;
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nADD {root}/ /named\nADD {root} /d/\n"),
    );
    assert_eq!(project.sh("cat /named /d/__unnamed__"), "hellohello");
    answering.join().unwrap();
    let refused = project.build(&["--build-context", "x=ftp://a/b"]).status(1);
    assert!(
        refused.stderr.contains("cannot use the context ftp://a/b"),
        "{refused}"
    );
}

/// Answers so many requests with this, whatever they ask for.
fn served(content: &'static [u8], count: usize) -> (String, std::thread::JoinHandle<()>) {
    use std::io::{BufRead as _, Write as _};
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://127.0.0.1:{}/file",
        server.local_addr().unwrap().port()
    );
    let answering = std::thread::spawn(move || {
        for _ in 0..count {
            let (mut stream, _) = server.accept().unwrap();
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                content.len()
            );
            stream
                .write_all(&[head.as_bytes(), content].concat())
                .unwrap();
        }
    });
    (url, answering)
}

/// Progress and history are read by more people than the Dockerfile.
#[test]
fn logins_in_urls_of_commands_are_not_told() {
    let project = Project::of(
        "FROM busybox\nRUN echo https://me:s3cret@a.test/b?c=d > /u\nRUN echo https://$USER:$PASS@b.test > /v\n",
    );
    let built = project.build(&["--progress", "plain"]);
    built.success();
    assert_eq!(project.run("cat /u"), "https://me:s3cret@a.test/b?c=d");
    let history = project
        .sandbox
        .berth(&["history", "--no-trunc", "t"])
        .success();
    for text in [&built.stderr, &history] {
        assert!(text.contains("https://xxxxx:xxxxx@a.test/b?c=d"), "{text}");
        assert!(text.contains("https://$USER:$PASS@b.test"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN false https://me:s3cret@a.test\n",
    );
    let failed = project.build(&["--progress", "plain"]).status(1);
    assert!(!failed.stderr.contains("s3cret"), "{failed}");
}
