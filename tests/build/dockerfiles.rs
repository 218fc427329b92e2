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
    symlink(
        "../outside",
        project.directory.join("Dockerfile.dockerignore"),
    )
    .unwrap();
    assert_eq!(project.sh("ls /c/kept"), "/c/kept");
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
