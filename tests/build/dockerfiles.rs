//! Which file is the Dockerfile, and which one says what is left out.

use std::os::unix::fs::symlink;

use crate::project::Project;

/// A context may be somebody else's: neither its Dockerfile nor its ignore file is a file of the host.
#[test]
fn links_of_a_context_do_not_lead_to_the_hosts_files() {
    let project = Project::new().file("kept", "");
    let outside = project.sandbox.path().join("outside");
    std::fs::write(&outside, "FROM busybox\nRUN echo of-the-host\n").unwrap();
    let dockerfile = project.directory.join("Dockerfile");
    let named = dockerfile.to_str().unwrap();
    for target in [&outside, std::path::Path::new("../outside")] {
        symlink(target, &dockerfile).unwrap();
        for options in [&[][..], &["-f", named]] {
            let refused = project.build(options).status(1);
            let reason = "it is a link to what is not in the context";
            assert!(refused.stderr.contains(reason), "{options:?}: {refused}");
            assert!(!refused.stderr.contains("of-the-host"), "{refused}");
        }
        std::fs::remove_file(&dockerfile).unwrap();
    }
    project.write("Dockerfile", "FROM busybox\nCOPY . /c/\n");
    std::fs::write(&outside, "kept\n").unwrap();
    let directory = project.directory.display();
    let named = format!("--build-context=c={directory}");
    for name in [
        "Dockerfile.dockerignore",
        ".dockerignore",
        ".containerignore",
    ] {
        let link = project.directory.join(name);
        for target in ["../outside", "nothing"] {
            symlink(target, &link).unwrap();
            let refused = project.build(&[]).status(1);
            let reason = "it is a link to what is not in the context";
            assert!(refused.stderr.contains(reason), "{name}: {refused}");
            assert!(refused.stderr.contains(name), "{name}: {refused}");
            // Of a named context as well, which knows no ignore file of a Dockerfile.
            let empty = project.sandbox.path().join("empty");
            std::fs::create_dir_all(&empty).unwrap();
            std::fs::write(empty.join("Dockerfile"), "FROM busybox\n").unwrap();
            let built = project
                .sandbox
                .berth(&["build", &named, empty.to_str().unwrap()]);
            let is_refused = built.stderr.contains(reason);
            assert_eq!(is_refused, name.starts_with('.'), "{name}: {built}");
            std::fs::remove_file(&link).unwrap();
        }
    }
    assert_eq!(project.sh("ls /c/kept"), "/c/kept");
}

/// What is in the context may be a pipe, and then it is that pipe which is read.
#[test]
fn a_pipe_does_not_stand_for_a_file_of_the_host() {
    let project = Project::new();
    let outside = project.sandbox.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(
        outside.join("Dockerfile"),
        "FROM busybox\nRUN echo of-the-host\n",
    )
    .unwrap();
    symlink(&outside, project.directory.join("sub")).unwrap();
    let within = project.directory.join(outside.strip_prefix("/").unwrap());
    std::fs::create_dir_all(&within).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(within.join("Dockerfile"))
        .status();
    assert!(made.unwrap().success());
    let named = project.directory.join("sub/Dockerfile");
    let refused = project.build(&["-f", named.to_str().unwrap()]).status(1);
    assert!(refused.stderr.contains("not a regular file"), "{refused}");
    assert!(!refused.stderr.contains("of-the-host"), "{refused}");
}

#[test]
fn links_within_a_context_are_followed_as_if_it_were_everything() {
    let project = Project::new()
        .file("files/real", "FROM busybox\nCOPY . /c/\n")
        .file("files/ignore", "left-out\n")
        .file("left-out", "");
    symlink("files/ignore", project.directory.join(".dockerignore")).unwrap();
    for target in ["files/real", "/files/real", "../files/real"] {
        let link = project.directory.join("Dockerfile");
        symlink(target, &link).unwrap();
        assert_eq!(project.sh("ls /c"), "Dockerfile\nfiles", "{target}");
        std::fs::remove_file(link).unwrap();
    }
}

/// As with Podman: what is not beside the one who asks is looked for in the context.
#[test]
fn a_named_file_is_looked_for_in_the_context_too() {
    let project = Project::new()
        .file("deploy/Other", "FROM busybox\nCOPY . /c/\n")
        .file("deploy/Other.dockerignore", "left-out\n")
        .file("left-out", "");
    project.build(&["-f", "deploy/Other"]).success();
    assert_eq!(project.run("ls /c"), "deploy");
    let missing = project.build(&["-f", "deploy/None"]).status(1);
    assert!(
        missing.stderr.contains("cannot read deploy/None"),
        "{missing}"
    );
}
