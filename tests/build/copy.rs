//! `COPY` and `ADD`: which files, where, and as whose.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::project::Project;

#[test]
fn files_go_where_docker_puts_them() {
    let project = Project::of(
        "FROM busybox\nWORKDIR /w\nCOPY a /x/\nCOPY a /y\nCOPY a b .\nCOPY d /d1\nCOPY d/ /d2/\nCOPY d/*.txt /t/\nCOPY none* /\nCOPY [\"sp ace\", \"/s p/\"]\nCOPY d /w\nCOPY l /l\n",
    )
    .file("a", "A")
    .file("b", "B")
    .file("d/1.txt", "1")
    .file("d/2.bin", "2")
    .file("d/e/3.txt", "3")
    .file("sp ace", "S");
    symlink("a", project.directory.join("l")).unwrap();
    let found = project
        .sh("cd /; find x y w d1 d2 t 's p' l -type f | sort; cat /l; stat -c '%u:%g %a' /x/a /x");
    assert_eq!(
        found,
        "d1/1.txt\nd1/2.bin\nd1/e/3.txt\nd2/1.txt\nd2/2.bin\nd2/e/3.txt\nl\ns p/sp ace\nt/1.txt\nw/1.txt\nw/2.bin\nw/a\nw/b\nw/e/3.txt\nx/a\ny\nA0:0 644\n0:0 755"
    );
}

#[test]
fn owners_and_modes_are_as_asked() {
    let project = Project::of(
        "FROM busybox\nRUN echo 'app:x:1000:2000::/:/bin/sh' >> /etc/passwd; echo 'grp:x:3000:' >> /etc/group\n\
         COPY --chown=app a /1\nCOPY --chown=app:grp a /2\nCOPY --chown=55 a /new/3\nCOPY --chown=10:11 --chmod=4750 a /4\n\
         COPY --chmod=u=rwX,go=rX d /5/\nARG M=600\nCOPY --chmod=$M a /6\n",
    )
    .file("a", "A")
    .file("d/x", "X");
    project.mode("d/x", 0o711);
    let found = project.sh("stat -c '%n %u:%g %a' /1 /2 /new /new/3 /4 /5/x /6");
    assert_eq!(
        found,
        "/1 1000:2000 644\n/2 1000:3000 644\n/new 55:55 755\n/new/3 55:55 644\n/4 10:11 4750\n/5/x 0:0 755\n/6 0:0 600"
    );
}

#[test]
fn what_is_ignored_or_excluded_stays_out() {
    let project =
        Project::of("FROM busybox\nCOPY . /all/\nCOPY --exclude=*.md --exclude=e d /part/\n")
            .file(
                ".dockerignore",
                "# c\n*.log\nsecret\n!secret/public\nDockerfile\n",
            )
            .file("x.log", "")
            .file("keep", "")
            .file("secret/private", "")
            .file("secret/public", "")
            .file("d/1.md", "")
            .file("d/1.txt", "")
            .file("d/e/2.txt", "");
    let found = project.sh("cd /; find all part -type f | sort");
    assert_eq!(
        found,
        "all/.dockerignore\nall/d/1.md\nall/d/1.txt\nall/d/e/2.txt\nall/keep\nall/secret/public\npart/1.txt"
    );
    project.write("Dockerfile.dockerignore", "keep\n");
    assert_eq!(
        project.sh("ls /all/keep 2>/dev/null; ls /all/x.log"),
        "/all/x.log"
    );
}

#[test]
fn parents_are_kept_from_the_pivot_on() {
    let project = Project::of("FROM busybox\nCOPY --parents a/b/c.txt /p/\nCOPY --parents a/./b/*.txt /q/\nCOPY --parents **/c.txt /r/\n")
        .file("a/b/c.txt", "1")
        .file("a/b/d.txt", "2")
        .file("z/c.txt", "3");
    project.mode("a/b", 0o750);
    let found = project.sh("cd /; find p q r -type f | sort; stat -c %a /p/a/b");
    assert_eq!(
        found,
        "p/a/b/c.txt\nq/b/c.txt\nq/b/d.txt\nr/a/b/c.txt\nr/z/c.txt\n750"
    );
}

#[test]
fn here_documents_become_files() {
    let project = Project::of(
        "FROM busybox\nARG NAME=world\nCOPY <<EOF /one\nhello $NAME\nEOF\nCOPY <<a.txt <<-\"b.txt\" /two/\nx\na.txt\n\t$y\n\tb.txt\nADD --chmod=755 <<EOF /run.sh\n#!/bin/sh\necho ran\nEOF\n",
    );
    assert_eq!(
        project.sh("cat /one /two/a.txt /two/b.txt; /run.sh"),
        "hello world\nx\n$y\nran"
    );
}

#[test]
fn archives_are_unpacked_by_add_alone() {
    let project = Project::of("FROM busybox\nADD a.tar.gz b.tar.xz c.tar.bz2 d.tar /u/\nCOPY d.tar /c/\nADD --unpack=false d.tar /n/\nADD plain.gz /p/\n")
        .file("f/one", "1");
    let sh = "tar -czf a.tar.gz -C f one; cp f/one f/two; tar -cJf b.tar.xz -C f two; cp f/one f/three; \
              tar -cjf c.tar.bz2 -C f three; cp f/one f/four; tar -cf d.tar -C f four; echo x | gzip > plain.gz";
    let made = Command::new("sh")
        .args(["-c", sh])
        .current_dir(&project.directory)
        .status()
        .unwrap();
    assert!(made.success());
    let found = project.sh("cd /; find u c n p -type f | sort");
    assert_eq!(
        found,
        "c/d.tar\nn/d.tar\np/plain.gz\nu/four\nu/one\nu/three\nu/two"
    );
}

/// What an archive says of its files counts, unless the instruction names an owner; modes of the instruction are for
/// files that are copied.
#[test]
fn archives_say_whose_their_files_are() {
    let project = Project::of(
        "FROM busybox\nADD a.tar /a/\nADD --chown=5:6 --chmod=700 a.tar /b/\nCOPY --chmod=700 <<EOF /c/t\nEOF\n",
    )
    .file("x/d/f", "1");
    let sh = "chown 7:8 x/d x/d/f && chmod 751 x/d && tar -cf a.tar -C x .";
    let made = Command::new("sh")
        .args(["-c", sh])
        .current_dir(&project.directory)
        .status()
        .unwrap();
    assert!(made.success());
    assert_eq!(
        project.sh("stat -c '%n %u:%g %a' /a /a/d /a/d/f /b /b/d /b/d/f /c /c/t"),
        "/a 0:0 755\n/a/d 7:8 751\n/a/d/f 7:8 644\n/b 5:6 755\n/b/d 5:6 751\n/b/d/f 5:6 644\n/c 0:0 755\n/c/t 0:0 700"
    );
}

#[test]
fn links_of_the_image_are_followed_and_a_linked_layer_looks_at_nothing() {
    let project = Project::of(
        "FROM busybox AS base\nRUN mkdir -p /real/d && ln -s real /way && ln -s d /real/link\n\
         FROM base\nCOPY a /way/one\nCOPY tree/ /way/\nCOPY --link a /linked/a\n",
    )
    .file("a", "A")
    .file("tree/link/x", "X");
    assert_eq!(
        project.sh("cd /real; find . | sort; test -L /way && cat /linked/a"),
        ".\n./d\n./d/x\n./link\n./one\nA"
    );
}

#[test]
fn stages_and_images_are_sources() {
    let project = Project::of(
        "FROM busybox AS a\nRUN mkdir /o && echo 1 > /o/f && ln /o/f /o/g && ln -s f /o/s && chown 7:8 /o/f && mkfifo /o/p\n\
         FROM busybox AS unused\nRUN exit 1\n\
         FROM busybox\nCOPY --from=a /o /o\nCOPY --from=0 /o/f /zero\nCOPY --from=busybox /bin/true /t\n",
    );
    let found = project.sh("cd /o; stat -c '%n %u:%g %h %F' *; cat /zero; test -x /t && echo t");
    assert_eq!(
        found,
        "f 7:8 2 regular file\ng 7:8 2 regular file\np 0:0 1 fifo\ns 0:0 1 symbolic link\n1\nt"
    );
}

#[test]
fn what_is_not_there_is_said() {
    let project = Project::of("FROM busybox\nCOPY nope /\n");
    let failed = project.build(&[]).status(1);
    assert!(failed.stderr.contains("\"nope\" not found"), "{failed}");
    assert!(failed.stderr.contains(">>> COPY nope /"), "{failed}");
    project.write(
        "Dockerfile",
        "FROM busybox\nCOPY Dockerfile Dockerfile /no-slash\n",
    );
    assert!(
        project
            .build(&[])
            .status(1)
            .stderr
            .contains("must be a directory, or end with a / to become one")
    );
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN mkdir /there\nCOPY Dockerfile d /there\nCOPY d/f Dockerfile /there\n",
    );
    project.write("d/g", "");
    project.write("d/f", "");
    assert_eq!(project.sh("ls /there"), "Dockerfile\nf\ng");
}

/// Several files have no room at one name, also when a wildcard stands for them; the contents of directories have.
#[test]
fn one_name_is_for_one_file() {
    let project = Project::new()
        .file("a.txt", "A")
        .file("b.txt", "B")
        .file("d/1", "1")
        .file("e/2", "2");
    for sources in ["*.txt", "a.txt *.txt", "a.txt d", "a.* b.*"] {
        let text = format!("FROM busybox\nCOPY {sources} /name\n");
        project.write("Dockerfile", &text);
        let refused = project.build(&[]).status(1);
        let reason = "must be a directory, or end with a / to become one";
        assert!(refused.stderr.contains(reason), "{sources}: {refused}");
    }
    for (sources, found) in [
        ("a.*", "/name"),
        ("none* a.txt", "/name"),
        ("d e", "/name\n/name/1\n/name/2"),
        ("[de]", "/name\n/name/1\n/name/2"),
        ("d a.txt", "/name\n/name/1\n/name/a.txt"),
    ] {
        let text = format!("FROM busybox\nCOPY {sources} /name\n");
        project.write("Dockerfile", &text);
        assert_eq!(project.sh("find /name | sort"), found, "{sources}");
    }
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN mkdir /name\nCOPY *.txt /name\n",
    );
    assert_eq!(project.sh("ls /name"), "a.txt\nb.txt");
}

/// As with `BuildKit`: of a directory the content is copied, and the destination is a new one; what is mounted is the
/// directory itself.
#[test]
fn the_directory_for_a_copy_is_a_new_one() {
    let project = Project::of(
        "FROM busybox AS a\nRUN mkdir -m 750 /o && mkdir -m 711 /o/in && chown 7:8 /o /o/in\n\
         FROM busybox\nCOPY --from=a /o /o\nCOPY --from=a --chown=5:6 --chmod=700 /o /new/owned\n\
         COPY --chmod=u=rwx,go= f /x/y/f\nRUN --mount=from=a,source=/o,target=/m stat -c '%u:%g %a' /m > /mode\n\
         RUN mkdir -m 701 /there\nCOPY --from=a /o/. /there\n",
    )
    .file("f", "");
    let found = project.sh(
        "stat -c '%n %u:%g %a' /o /o/in /new /new/owned /new/owned/in /x /x/y /there /there/in; cat /mode",
    );
    assert_eq!(
        found,
        "/o 0:0 755\n/o/in 7:8 711\n/new 5:6 700\n/new/owned 5:6 700\n/new/owned/in 5:6 700\n/x 0:0 700\n/x/y 0:0 700\n\
         /there 0:0 701\n/there/in 7:8 711\n7:8 750"
    );
}

/// A file goes to where the destination leads; within a directory it takes the place of a link.
#[test]
fn a_destination_that_is_a_link_is_followed() {
    let project = Project::of(
        "FROM busybox\nRUN mkdir /d /e && ln -s /t1 /l1 && ln -s t2 /l2 && ln -s ../t3 /d/f && echo old > /t3 && ln -s e /le\n\
         COPY f /l1\nADD <<EOF /l2\ntext\nEOF\nCOPY f /d/\nCOPY f /le\n",
    )
    .file("f", "new");
    assert_eq!(
        project.sh(
            "cat /t1 /t2 /t3 /d/f /e/f; test -L /l1 && test -L /l2 && test ! -L /d/f && echo links"
        ),
        "newtext\nold\nnewnewlinks"
    );
}

#[test]
fn names_of_owners_are_known_for_linked_layers_too() {
    let project = Project::of(
        "FROM busybox\nRUN echo 'app:x:1000:2000::/:/bin/sh' >> /etc/passwd\nCOPY --link --chown=app f /1\nCOPY --chown=app: f /2\n\
         COPY --parents d/e/g f /p\n",
    )
    .file("f", "")
    .file("d/e/g", "");
    assert_eq!(
        project.sh("stat -c '%u:%g' /1 /2; find /p -type f | sort"),
        "1000:2000\n1000:0\n/p/d/e/g\n/p/f"
    );
}

/// As with `BuildKit`: what was found has a directory, what was not has none.
#[test]
fn a_directory_is_there_though_all_is_left_out() {
    let project = Project::of(
        "FROM busybox\nCOPY --exclude=*.txt *.txt /excluded/\nCOPY none* /absent/\n\
         COPY --chmod=700 --chown=5:6 a.txt /owned/\n",
    )
    .file("a.txt", "");
    let found = project.sh("ls -d /excluded /absent 2>/dev/null; stat -c '%u:%g %a' /owned");
    assert_eq!(found, "/excluded\n5:6 700");
}

/// Variables without values name nobody, and nobody is not root.
#[test]
fn an_owner_without_a_name_is_refused() {
    let project = Project::of("FROM busybox\nCOPY --chown=$U:$G f /f\n").file("f", "");
    let refused = project.build(&[]).status(1);
    let reason = "it names neither a user nor a group";
    assert!(refused.stderr.contains(reason), "{refused}");
}

/// A link that leads out of the context leads to nothing, and no ignore file has to do with it.
#[test]
fn a_link_that_leads_nowhere_is_named() {
    let project = Project::new().file("d/f", "");
    symlink("/etc/passwd", project.directory.join("out")).unwrap();
    symlink("../../elsewhere", project.directory.join("d/up")).unwrap();
    for (source, told) in [
        (
            "out",
            "out is a link to /etc/passwd, which is not in the build context",
        ),
        (
            "d/up/x",
            "d/up is a link to ../../elsewhere, which is not in the build context",
        ),
    ] {
        project.write("Dockerfile", &format!("FROM busybox\nCOPY {source} /\n"));
        let failed = project.build(&[]).status(1);
        assert!(failed.stderr.contains(told), "{failed}");
        assert!(!failed.stderr.contains("ignore"), "{failed}");
    }
    project.write(
        "Dockerfile",
        "FROM busybox\nCOPY https://me:secret@a.test/x /\n",
    );
    let failed = project.build(&[]).status(1);
    assert!(
        failed.stderr.contains("a source of COPY can't be a URL"),
        "{failed}"
    );
    assert!(!failed.stderr.contains("secret"), "{failed}");
}

/// What is a file does not become a directory because a directory is copied; an archive says so itself.
#[test]
fn directories_do_not_replace_files() {
    let project = Project::new().file("d/x", "x");
    let made = Command::new("sh")
        .args([
            "-c",
            "mkdir -p a/n && echo y > a/n/y && tar -cf a.tar -C a n",
        ])
        .current_dir(&project.directory)
        .status()
        .unwrap();
    assert!(made.success());
    let base = "FROM busybox\nRUN echo file > /n\n";
    for line in ["COPY d /n", "COPY d /n/", "COPY d/x /n/deep/", "WORKDIR /n"] {
        project.write("Dockerfile", &format!("{base}{line}\n"));
        let refused = project.build(&[]).status(1);
        assert!(
            refused.stderr.contains("cannot copy to non-directory /n"),
            "{line}: {refused}"
        );
    }
    project.write("Dockerfile", &format!("{base}ADD a.tar /\n"));
    assert_eq!(project.sh("cat /n/y"), "y");
}

/// In layers such names mean that something is gone.
#[test]
fn archives_with_the_marks_of_layers_are_refused() {
    let project = Project::new();
    for name in [".wh.passwd", "d/.wh..wh..opq", ".wh.d/x", ".wh..wh.plnk"] {
        let script = format!(
            "rm -rf t && mkdir -p t/$(dirname {name}) && echo x > t/{name} && tar -cf a.tar -C t ."
        );
        let made = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&project.directory)
            .status()
            .unwrap();
        assert!(made.success());
        project.write("Dockerfile", "FROM busybox\nADD a.tar /\n");
        let refused = project.build(&[]).status(1);
        assert!(refused.stderr.contains("begins with .wh."), "{refused}");
    }
}

/// Whoever owns the context on the host: inside it is root's.
#[test]
fn what_comes_from_outside_belongs_to_root() {
    let project = Project::new().file("d/x", "x");
    for path in ["d", "d/x"] {
        std::os::unix::fs::chown(project.directory.join(path), Some(1234), Some(5678)).unwrap();
    }
    let extra = format!("extra={}", project.directory.join("d").display());
    let stat = |path: &str| format!("stat -c '%u:%g' {path} {path}/x");
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox\nRUN --mount=source=d,target=/m {} > /1\nRUN --mount=from=extra,target=/m {} > /2\nCOPY --from=extra . /c\nRUN {} > /3\n",
            stat("/m"),
            stat("/m"),
            stat("/c")
        ),
    );
    project.build(&["--build-context", &extra]).success();
    assert_eq!(
        project.run("cat /1 /2; tail -n 1 /3"),
        ["0:0"; 5].join("\n")
    );
}

fn shell(project: &Project, script: &str) {
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(&project.directory)
        .status()
        .unwrap();
    assert!(made.success(), "{script}");
}

/// The first of several names may be overwritten before the next one is written.
#[test]
fn names_of_one_file_keep_their_content() {
    let project = Project::of("FROM busybox\nCOPY d1 d3 d2 /dst/\nADD a.tar b.tar d2 /add/\n");
    shell(
        &project,
        "mkdir d1 d2 d3 t; echo ONE > d1/x; ln d1/x d2/y; ln d1/x d2/z; echo THREE > d3/x\n\
         mkdir t/x; echo 1 > t/x/f; tar -cf a.tar -C t x; rm -r t/x; echo FILE > t/x; tar -cf b.tar -C t x",
    );
    let found = project.sh("cd /dst; cat x y z; stat -c '%n %h' x y z; cat /add/x");
    assert_eq!(found, "THREE\nONE\nONE\nx 1\ny 2\nz 2\nFILE");
}

/// Directories have the times that they had, as files do; two copies are the same.
#[test]
fn directories_keep_their_times() {
    let project = Project::of(
        "FROM busybox AS first\nCOPY d /d\nFROM first\nRUN mkdir -p /there && touch -d 2005-05-05 /there\n\
         COPY d /there\nADD a.tar /a/\nCOPY --from=first /d /e\nCOPY --parents d/sub/f /p/\n",
    );
    shell(
        &project,
        "mkdir -p d/sub t/in; echo 1 > d/sub/f; touch -d 2002-02-02 t/in; tar -cf a.tar -C t in\n\
         touch -d 2001-01-01T00:00:00Z d/sub; touch -d 2000-01-01T00:00:00Z d",
    );
    let paths = "/d/sub /there /there/sub /a/in /e/sub /p/d /p/d/sub";
    let years = |text: &str| -> String {
        let years: Vec<_> = text.lines().map(|line| &line[..4]).collect();
        years.join(" ")
    };
    assert_eq!(
        years(&project.sh(&format!("stat -c %y {paths}"))),
        "2001 2005 2001 2002 2001 2000 2001"
    );
    let out = project.sandbox.path().join("out");
    let archive = out.join("files.tar").display().to_string();
    let local = out.join("local").display().to_string();
    std::fs::create_dir(&out).unwrap();
    let tar = format!("type=tar,dest={archive}");
    project
        .build(&["--squash", "-o", &local, "-o", &tar, "-o", "type=image"])
        .success();
    assert_eq!(
        years(&project.run(&format!("stat -c %y {paths}"))),
        "2001 2005 2001 2002 2001 2000 2001"
    );
    let unpack = "mkdir u; tar -xf files.tar -C u; stat -c %y local/d/sub u/d/sub u/a/in";
    let listed = Command::new("sh")
        .args(["-c", unpack])
        .current_dir(&out)
        .output()
        .unwrap();
    assert_eq!(
        years(&String::from_utf8(listed.stdout).unwrap()),
        "2001 2001 2002"
    );
}

/// What an archive holds takes the place of what is no directory or is none in it, as `tar -x` has it.
#[test]
fn what_an_archive_holds_takes_the_place_of_directories() {
    let base = "FROM busybox\nRUN mkdir -p /o/file/in /o/link/in && echo x > /o/file/in/x\n";
    let project = Project::of(&format!("{base}ADD a.tar /o/\n"));
    shell(
        &project,
        "mkdir t; echo new > t/file; ln -s file t/link; tar -cf a.tar -C t .",
    );
    assert_eq!(
        project.sh("cd /o; stat -c '%n %F' file link; cat file link"),
        "file regular file\nlink symbolic link\nnew\nnew"
    );
    project.write("Dockerfile", &format!("{base}COPY t /o/\n"));
    assert!(
        project
            .build(&[])
            .status(1)
            .stderr
            .contains("cannot put a file where the directory")
    );
}
