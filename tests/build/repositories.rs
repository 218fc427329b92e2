//! Repositories as contexts and as sources of `ADD`.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_testkit::available;

use crate::project::Project;

/// A repository `repo.git` with `sub/f`, a tag `v1`, and what `more` makes in it before the commit.
fn repository(project: &Project, more: &str) -> PathBuf {
    let path = project.sandbox.path().join("repo.git");
    let script = "git init -q -b main $1 && cd $1 && mkdir sub && echo one > sub/f && printf 'FROM busybox\\nCOPY sub/f /f\\n' > Dockerfile && \
                  printf 'FROM busybox\\nCOPY f /sub\\n' > sub/Dockerfile";
    let commit = "git add . && git -c user.name=t -c user.email=t@t commit -qm one && git tag v1 && git config uploadpack.allowAnySHA1InWant true && \
                  git update-server-info";
    let made = Command::new("sh")
        .args(["-c", &format!("{script} && {more} && {commit}"), "sh"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    path
}

#[test]
fn repositories_are_contexts_and_sources() {
    if !available("repositories_are_contexts_and_sources", "git") {
        return;
    }
    let project = Project::of("");
    repository(&project, "true");
    let daemon = Daemon::start(project.sandbox.path());
    let url = format!("git://127.0.0.1:{}/repo.git", daemon.port);
    project.sandbox.berth(&["build", "-t", "t", &url]).success();
    assert_eq!(project.run("cat /f"), "one");
    project
        .sandbox
        .berth(&["build", "-t", "t", &format!("{url}#v1:sub")])
        .success();
    assert_eq!(project.run("cat /sub"), "one");
    // The Dockerfile may come from elsewhere.
    project
        .sandbox
        .berth_with_input(
            &["build", "-t", "t", "-f-", &format!("{url}#:sub")],
            b"FROM busybox\nCOPY f /given\n",
        )
        .success();
    assert_eq!(project.run("cat /given"), "one");
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nADD {url}#main /r\nADD --keep-git-dir=true {url}#v1:sub /s\n"),
    );
    assert_eq!(
        project.sh("cat /r/sub/f /s/f; ls -a /r | grep -c '^.git$'; true"),
        "one\none\n0"
    );
}

/// A repository is somebody else's: its links are followed within it (security.md 21).
#[test]
fn the_directory_of_a_repository_lies_within_it() {
    if !available("the_directory_of_a_repository_lies_within_it", "git") {
        return;
    }
    let project = Project::new();
    let outside = project.sandbox.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("Dockerfile"), "FROM busybox\nCOPY . /stolen\n").unwrap();
    let links = format!(
        "ln -s {} evil && ln -s ../outside up && ln -s sub within && mkdir deep && ln -s /sub deep/within",
        outside.display()
    );
    repository(&project, &links);
    let daemon = Daemon::start(project.sandbox.path());
    let url = format!("git://127.0.0.1:{}/repo.git#main", daemon.port);
    for directory in ["evil", "up", "../../../outside", "Dockerfile", "missing"] {
        let source = format!("{url}:{directory}");
        let context = project.sandbox.berth(&["build", "-t", "t", &source]);
        assert!(
            context.stderr.contains("cannot use the directory"),
            "{context}"
        );
        project.write("Dockerfile", &format!("FROM busybox\nADD {source} /s\n"));
        let added = project.build(&[]).status(1);
        assert!(added.stderr.contains("cannot use the directory"), "{added}");
    }
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nADD {url}:within /a/\nADD {url}:deep/within /b/\n"),
    );
    assert_eq!(project.sh("cat /a/f /b/f"), "one\none");
}

/// A hook of git has variables that name its own repository, which is none of the build's business.
#[test]
fn the_repository_of_a_hook_is_left_alone() {
    if !available("the_repository_of_a_hook_is_left_alone", "git") {
        return;
    }
    let project = Project::new();
    let repository = repository(&project, "true");
    let own = project.sandbox.path().join("own");
    let made = Command::new("git")
        .args(["init", "-q"])
        .arg(&own)
        .status()
        .unwrap();
    assert!(made.success());
    let before = std::fs::read(own.join(".git/config")).unwrap();
    let daemon = Daemon::start(project.sandbox.path());
    let url = format!("git://127.0.0.1:{}/repo.git", daemon.port);
    let built = project
        .sandbox
        .command(&["build", "-t", "t", &url])
        .env("GIT_DIR", own.join(".git"))
        .env("GIT_WORK_TREE", &own)
        .env("GIT_INDEX_FILE", own.join(".git/index"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    assert_eq!(project.run("cat /f"), "one");
    assert_eq!(std::fs::read(own.join(".git/config")).unwrap(), before);
    assert!(!own.join(".git/index").exists() && !own.join("Dockerfile").exists());
    drop(repository);
}

/// Servers of plain files send nothing shallow.
#[test]
fn servers_of_plain_files_are_enough() {
    if !available("servers_of_plain_files_are_enough", "git") {
        return;
    }
    let project = Project::new();
    let repository = repository(&project, "true");
    let commit = Command::new("git")
        .arg("-C")
        .arg(&repository)
        .args(["rev-parse", "HEAD"])
        .output()
        .unwrap()
        .stdout;
    let commit = String::from_utf8(commit).unwrap();
    let port = serve_files(repository.join(".git"));
    let url = format!("http://127.0.0.1:{port}/r.git");
    for reference in [
        "",
        "#main",
        "#refs/heads/main",
        "#v1",
        &format!("#{}", commit.trim()),
    ] {
        project
            .sandbox
            .berth(&["build", "-t", "t", &format!("{url}{reference}")])
            .success();
        assert_eq!(project.run("cat /f"), "one");
    }
    let failed = project.sandbox.berth(&["build", &format!("{url}#nope")]);
    assert!(
        failed.stderr.contains("no branch, tag or commit \"nope\""),
        "{failed}"
    );
}

/// Serves the files of a directory beneath `/r.git/` as long as the tests run.
fn serve_files(directory: PathBuf) -> u16 {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = server.accept() {
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else {
                continue;
            };
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let path = first.split([' ', '?']).nth(1).unwrap_or_default();
            let path = path.strip_prefix("/r.git/").unwrap_or("nothing");
            let (status, content) = match std::fs::read(directory.join(path)) {
                Ok(content) => ("200 OK", content),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let length = content.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            // Whoever asks may go away.
            drop(stream.write_all(&[head.as_bytes(), &content].concat()));
        }
    });
    port
}

/// `git daemon` on a port of its own; ended when it is dropped.
struct Daemon {
    child: std::process::Child,
    port: u16,
}

impl Daemon {
    fn start(base: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new("git")
            .args([
                "daemon",
                "--export-all",
                "--listen=127.0.0.1",
                "--reuseaddr",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", base.display()))
            .arg(base)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Self { child, port }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The daemon's own child does the work: it ends when its connections do.
        drop(
            Command::new("kill")
                .arg(self.child.id().to_string())
                .status(),
        );
        drop(self.child.wait());
    }
}
