//! Links of contexts, stages and caches lead nowhere else (security.md 21, 22).

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::project::{Project, tree};

/// A file of the host that no build may reach, and a directory that none may write to.
fn outside(project: &Project) -> std::path::PathBuf {
    let outside = project.sandbox.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "host").unwrap();
    outside
}

#[test]
fn links_of_a_context_stay_in_it() {
    let project = Project::of("FROM busybox\nCOPY link/secret /stolen\n");
    let outside = outside(&project);
    symlink(&outside, project.directory.join("link")).unwrap();
    symlink("../outside", project.directory.join("up")).unwrap();
    symlink(outside.join("secret"), project.directory.join("file")).unwrap();
    for source in [
        "link/secret",
        "up/secret",
        "file",
        "../outside/secret",
        "link",
        "up/",
        "file*x/../../outside/secret",
    ] {
        for line in [
            format!("COPY {source} /stolen"),
            format!("ADD {source} /stolen"),
            format!("RUN --mount=source={source},target=/m cp -r /m /stolen"),
        ] {
            project.write("Dockerfile", &format!("FROM busybox\n{line}\n"));
            let built = project.build(&[]);
            if built.status == 0 {
                assert!(
                    !project
                        .run("cat /stolen /stolen/* 2>/dev/null; true")
                        .contains("host"),
                    "{line}"
                );
            }
        }
    }
    // As links they may be copied: what they mean is the image's business.
    project.write("Dockerfile", "FROM busybox\nCOPY . /c/\n");
    assert!(project.sh("readlink /c/link").ends_with("/outside"));
}

#[test]
fn links_of_an_image_stay_in_it() {
    let project = Project::new().file("x", "X");
    let outside = outside(&project);
    let path = outside.display();
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox AS evil\nRUN ln -s {path} /abs && ln -s ../../../../../../..{path} /rel && ln -s {path}/secret /file\n\
             FROM evil\nCOPY x /abs/written\nCOPY x /rel/written\nADD x /file\nWORKDIR /abs/work\nCOPY --from=evil /abs/ /from/\n"
        ),
    );
    let built = project.build(&[]);
    assert_eq!(tree(&outside), ["secret"], "{built}");
    assert_eq!(
        std::fs::read_to_string(outside.join("secret")).unwrap(),
        "host"
    );
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox AS evil\nRUN ln -s {path} /abs\nFROM evil\n\
             RUN --mount=from=evil,source=/abs,target=/m cat /m/secret > /stolen; true\n"
        ),
    );
    let built = project.build(&[]);
    assert!(
        built.status != 0 || !project.run("cat /stolen").contains("host"),
        "{built}"
    );
    project.write("Dockerfile", &format!("FROM busybox AS evil\nRUN ln -s {path} /abs\nFROM evil\nRUN --mount=type=tmpfs,target=/abs/made true\nRUN --mount=type=cache,target=/abs/made2 true\n"));
    drop(project.build(&[]));
    assert_eq!(tree(&outside), ["secret"]);
    project.sandbox.assert_nothing_left();
}

/// CVE-2024-9675: neither the id nor the content of a cache mount is a path of the host.
#[test]
fn cache_mounts_are_only_themselves() {
    let project = Project::new();
    let outside = outside(&project);
    for id in ["../../../outside", "/etc", "..", "a/b"] {
        project.write(
            "Dockerfile",
            &format!(
                "FROM busybox\nRUN --mount=type=cache,id={id},target=/c echo x > /c/x; ls /c\n"
            ),
        );
        project.build(&["--no-cache"]).success();
    }
    project.write("Dockerfile", &format!("FROM busybox\nRUN --mount=type=cache,id=q,target=/c rm -rf /c/* && ln -s {} /c/data && ln -s / /c/lock\n", outside.display()));
    project.build(&[]).success();
    project.write("Dockerfile", "FROM busybox\nRUN --mount=type=cache,id=q,target=/c ls /c/data/secret && exit 1; echo x > /c/data/y; true\n");
    project.build(&[]).success();
    assert_eq!(tree(&outside), ["secret"]);
}

/// What an archive says of paths is no reason to leave the layer.
/// A command that runs at the same time can exchange what the mounts of another one lie on.
#[test]
fn exchanged_mount_points_lead_nowhere() {
    let cache = "--mount=type=cache,id=race,target=/c";
    let project = Project::of(&format!("FROM busybox\nRUN {cache} mkdir /c/x\n")).file("f", "F");
    let outside = outside(&project);
    project.build(&[]).success();
    let place = project.cache_with("x").join("x");
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox\nARG NUMBER\nRUN {cache} --mount=type=tmpfs,target=/c/x/made --mount=source=f,target=/c/x/file \\\n\
             --mount=type=cache,id=other,target=/c/x/inner --mount=source=f,target=/c/x/secret true\n"
        ),
    );
    let done = AtomicBool::new(false);
    let exchange = || {
        while !done.load(Ordering::Relaxed) {
            // A build may have made something in the directory: then it stays one for a while.
            if std::fs::remove_dir_all(&place).is_ok() && symlink(&outside, &place).is_ok() {
                std::fs::remove_file(&place).unwrap();
            }
            drop(std::fs::create_dir(&place));
        }
    };
    std::thread::scope(|scope| {
        let exchanging = scope.spawn(exchange);
        for number in 0..60 {
            // It may fail: what it needs is not always there.
            let argument = format!("NUMBER={number}");
            drop(project.build(&["--build-arg", &argument, "-q"]));
        }
        done.store(true, Ordering::Relaxed);
        exchanging.join().unwrap();
    });
    assert_eq!(tree(&outside), ["secret"]);
    let secret = std::fs::read_to_string(outside.join("secret"));
    assert_eq!(secret.unwrap(), "host");
    project.build(&["--no-cache"]).success();
}

#[test]
fn hostile_archives_stay_inside() {
    let project = Project::of("FROM busybox\nADD evil.tar /u/\n");
    let outside = outside(&project);
    let script = format!(
        "mkdir t; ln -s {} t/l; tar -cf evil.tar -C t l; mkdir u; mkdir u/l; echo x > u/l/w; tar -rf evil.tar -C u l/w; tar -rf evil.tar -P --transform 's,^,../../../,' -C u l/w",
        outside.display()
    );
    let made = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(&project.directory)
        .status()
        .unwrap();
    assert!(made.success());
    drop(project.build(&[]));
    assert_eq!(tree(&outside), ["secret"]);
}

#[test]
fn a_huge_or_absurd_file_ends_with_an_error() {
    let project = Project::new();
    for text in [
        "RUN x\n".repeat(1 << 21),
        format!("FROM busybox\nENV A={}", "${a:-".repeat(200_000)),
        format!(
            "FROM busybox\nENV A=aaaaaaaaaaaaaaaa\n{}",
            "ENV A=$A$A$A$A\n".repeat(40)
        ),
        format!("FROM busybox\nCMD {}", "[".repeat(500_000)),
    ] {
        project.write("Dockerfile", &text);
        let built = project.build(&[]);
        assert!(
            built.status == 1 || text.contains("CMD"),
            "{}",
            built.stderr.len()
        );
    }
}

/// A copy of everything must not hold what is being copied.
#[test]
fn a_context_is_not_copied_into_itself() {
    let project = Project::new();
    let context = project.sandbox.path();
    let data = project.sandbox.data();
    let name = data.file_name().unwrap().to_str().unwrap();
    let build = |line: &str| {
        let dockerfile = format!("FROM busybox\n{line}\n");
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let words = ["build", "-t", "t", context.to_str().unwrap()];
        project.sandbox.berth(&words)
    };
    for line in [
        "COPY . /c",
        "RUN --mount=target=/m true",
        "COPY --parents ./data /c/",
    ] {
        let refused = build(line).status(1);
        let told = format!("/{name} is in it");
        assert!(refused.stderr.contains(&told), "{line}: {refused}");
    }
    std::fs::write(context.join(".dockerignore"), name).unwrap();
    build("COPY . /c").success();
    assert_eq!(project.run("ls /c | grep -c Dockerfile"), "1");
}
