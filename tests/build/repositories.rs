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

fn commit_of(repository: &Path) -> String {
    let commit = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(["rev-parse", "HEAD"])
        .output()
        .unwrap()
        .stdout;
    String::from_utf8(commit).unwrap().trim().to_owned()
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

#[test]
fn repositories_are_named_contexts() {
    if !available("repositories_are_named_contexts", "git") {
        return;
    }
    let project = Project::of(
        "FROM busybox\nCOPY --from=repo f /f\nCOPY --from=repo . /all/\nRUN --mount=from=repo,target=/m cat /m/f > /g\n",
    );
    repository(&project, "true");
    let daemon = Daemon::start(project.sandbox.path());
    let url = format!("git://127.0.0.1:{}/repo.git", daemon.port);
    let context = format!("repo={url}#main:sub");
    let built = project.build(&["--progress", "plain", "--build-context", &context]);
    built.success();
    let fetches = built.stderr.lines();
    let mut fetches: Vec<_> = fetches
        .filter(|line| line.contains("[context repo] git://"))
        .collect();
    fetches.dedup();
    assert_eq!(fetches.len(), 1, "fetched once: {built}");
    assert_eq!(project.run("cat /f /g; ls /all"), "one\none\nDockerfile\nf");
    // The stage of that name is not built, and the context may be what an image begins with.
    project.write(
        "Dockerfile",
        "FROM absent.test/x AS repo\nRUN exit 1\nFROM repo\n",
    );
    let out = project.sandbox.path().join("out");
    let output = out.display().to_string();
    project
        .build(&["--build-context", &context, "-o", &output])
        .success();
    assert_eq!(crate::project::tree(&out), ["Dockerfile", "f"]);
    let failed = project
        .build(&["--build-context", &format!("repo={url}#nope")])
        .status(1);
    assert!(
        failed.stderr.contains("no branch, tag or commit \"nope\""),
        "{failed}"
    );
}

#[test]
fn queries_say_what_of_a_repository_is_meant() {
    if !available("queries_say_what_of_a_repository_is_meant", "git") {
        return;
    }
    let project = Project::new();
    let path = repository(&project, "true");
    let commit = commit_of(&path);
    let daemon = Daemon::start(project.sandbox.path());
    let url = format!("git://127.0.0.1:{}/repo.git", daemon.port);
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox\nADD {url}?branch=main&keep-git-dir=true /a\nADD {url}?tag=v1&subdir=sub&commit={commit} /b\n\
             ADD {url}?checksum={commit}&submodules=false /c\nADD --checksum={} {url} /d\n",
            &commit[..12]
        ),
    );
    assert_eq!(
        project.sh(
            "ls -a /a | grep -x .git; ls /b; cat /c/sub/f /d/sub/f; ls -a /c | grep -c .git; true"
        ),
        ".git\nDockerfile\nf\none\none\n0"
    );
    for (line, reason) in [
        (format!("ADD {url}?commit=0000 /a"), "cannot fetch"),
        (
            format!("ADD --checksum=0000 {url}#main /a"),
            "expected checksum to match 0000",
        ),
        (
            format!("ADD {url}?branch=a&tag=b /a"),
            "branch conflicts with tag",
        ),
        (
            format!("ADD --keep-git-dir=false {url}?keep-git-dir=1 /a"),
            "inconsistent keep-git-dir",
        ),
    ] {
        project.write("Dockerfile", &format!("FROM busybox\n{line}\n"));
        let failed = project.build(&[]).status(1);
        assert!(failed.stderr.contains(reason), "{line}: {failed}");
    }
    let keep = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"];
    for (flags, kept) in [(&[][..], "0"), (&keep[..], "1")] {
        let words = [&["build", "-t", "t", "-f", "-"], flags, &[&url]].concat();
        project
            .sandbox
            .berth_with_input(&words, b"FROM busybox\nCOPY . /c\n")
            .success();
        assert_eq!(project.run("ls -a /c | grep -cx .git; true"), kept);
    }
}

/// git waits for a server that says nothing; a signal ends it with the build, before it and within it.
#[test]
fn a_signal_ends_git_too() {
    if !available("a_signal_ends_git_too", "git") {
        return;
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/repo.git", silent.local_addr().unwrap());
    let project = Project::of(&format!("FROM busybox\nADD {url} /r\n"));
    let context = project.directory.to_str().unwrap();
    for source in [context, &url] {
        let running = project.sandbox.start(&["build", source]);
        let (connection, _) = silent.accept().unwrap();
        running.signal("TERM");
        let begun = std::time::Instant::now();
        let screen = running.finish();
        assert_eq!(screen.status, 1, "{screen}");
        assert!(begun.elapsed().as_secs() < 5, "it was waited for");
        // Nobody holds the other end any more.
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut &connection, &mut rest).unwrap();
        let ingest = std::fs::read_dir(project.sandbox.data().join("ingest"));
        assert_eq!(ingest.into_iter().flatten().count(), 0);
    }
    project.sandbox.assert_nothing_left();
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
    let commit = commit_of(&repository);
    let port = serve_files(&[("r.git", &repository)], None);
    let url = format!("http://127.0.0.1:{port}/r.git");
    for reference in [
        "",
        "#main",
        "#refs/heads/main",
        "#v1",
        &format!("#{commit}"),
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

/// What git keeps of where a repository came from names nobody; its submodules are fetched by the same login.
#[test]
fn logins_are_kept_in_no_repository() {
    if !available("logins_are_kept_in_no_repository", "git") {
        return;
    }
    let project = Project::new();
    let part = project.sandbox.path().join("part.git");
    let script = "git init -q -b main $1 && cd $1 && echo part > p && git add . && \
                  git -c user.name=t -c user.email=t@t commit -qm one && git update-server-info";
    let made = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&part)
        .status()
        .unwrap();
    assert!(made.success());
    let add = "git -c protocol.file.allow=always submodule --quiet add ../part.git part";
    let whole = repository(&project, add);
    let port = serve_files(
        &[("r.git", &whole), ("part.git", &part)],
        Some("bWU6UzNDUkVUPQ=="),
    );
    let url = format!("http://me:S3CRET=@127.0.0.1:{port}/r.git");
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nADD --keep-git-dir=true {url} /src\n"),
    );
    project.build(&[]).success();
    // Not by the word itself: a container that is just being removed has it in its command.
    let look = "cat /src/part/p; grep -rl 'S3CRE[T]' /src; grep -rh 'url = ' /src/.git | sort -u; \
                ls /src/.git | grep -c FETCH_HEAD; true";
    let at = |name: &str| format!("\turl = http://127.0.0.1:{port}/{name}.git");
    assert_eq!(
        project.run(look),
        format!("part\n{}\n{}\n0", at("part"), at("r"))
    );
    let keep = "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1";
    let words = ["build", "-t", "t", "--build-arg", keep, "-f", "-", &url];
    let copied = b"FROM busybox\nCOPY . /src\n";
    project.sandbox.berth_with_input(&words, copied).success();
    assert_eq!(
        project.run("cat /src/part/p; grep -rl 'S3CRE[T]' /src; true"),
        "part"
    );
    let found = Command::new("grep")
        .args(["-rl", "S3CRET"])
        .arg(project.sandbox.data())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "");
}

/// Serves the files of repositories by their names as long as the tests run, to whoever has this login.
fn serve_files(repositories: &[(&str, &Path)], login: Option<&str>) -> u16 {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let own = |(name, path): &(&str, &Path)| (format!("/{name}/"), path.join(".git"));
    let places: Vec<(String, PathBuf)> = repositories.iter().map(own).collect();
    let expected = login.map(|login| format!("Authorization: Basic {login}"));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = server.accept() {
            let lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            let lines = lines.map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let Some(first) = head.first() else {
                continue;
            };
            let path = first.split([' ', '?']).nth(1).unwrap_or_default();
            let file = places
                .iter()
                .find_map(|(prefix, place)| Some(place.join(path.strip_prefix(prefix.as_str())?)));
            let is_known = expected.as_ref().is_none_or(|line| head.contains(line));
            let content = file.and_then(|file| std::fs::read(file).ok());
            let (status, content) = match content.filter(|_| is_known) {
                Some(content) => ("200 OK", content),
                None if is_known => ("404 Not Found", Vec::new()),
                None => (
                    "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"",
                    Vec::new(),
                ),
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
