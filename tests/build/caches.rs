//! `RUN --mount=type=cache`: which directory it is, who waits for whom, and what is left in the end.

use berth_testkit::Running;

use crate::project::{Project, cached, wait_until};

fn start(project: &Project) -> Running {
    let context = project.directory.to_str().unwrap();
    let words = ["build", "--progress", "plain", "-t", "t", context];
    project.sandbox.start(&words)
}

/// Waits for the end of a build that might never come.
fn finish(build: Running) {
    let stat = format!("/proc/{}/stat", build.pid());
    wait_until("the build ends", || {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
    });
    build.finish().success();
}

#[test]
fn one_command_may_have_a_locked_cache_twice() {
    let mount = |target: &str| format!("--mount=type=cache,id=s,sharing=locked,target={target}");
    let project = Project::of(&format!(
        "FROM busybox\nRUN {} {} echo one > /a/f && cat /b/f > /out\n",
        mount("/a"),
        mount("/b")
    ));
    finish(start(&project));
    assert_eq!(project.run("cat /out"), "one");
}

/// Two stages want the same two caches in opposite orders.
#[test]
fn stages_do_not_wait_for_each_other_in_a_circle() {
    let mount = |id: &str| format!("--mount=type=cache,id={id},sharing=locked,target=/{id}");
    let (x, y) = (mount("x"), mount("y"));
    for number in 0..5 {
        let project = Project::of(&format!(
            "FROM busybox AS a\nRUN {x} {y} echo {number} > /a\nFROM busybox AS b\nRUN {y} {x} echo {number} > /b\n\
             FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
        ));
        finish(start(&project));
    }
}

/// What a cache begins with is made before anybody holds the cache.
#[test]
fn a_stage_that_fills_a_cache_may_use_it() {
    let mount = "--mount=type=cache,id=x,sharing=locked,target=/c";
    let project = Project::of(&format!(
        "FROM busybox AS a\nRUN mkdir /d && echo begun > /d/f && sleep 1\nRUN {mount} echo a > /c/a\n\
         FROM busybox\nRUN {mount},from=a,source=/d cat /c/f > /out\n"
    ));
    finish(start(&project));
    assert_eq!(project.run("cat /out"), "begun");
}

#[test]
fn what_a_cache_begins_with_is_part_of_it() {
    let project = Project::of(
        "FROM busybox AS a\nCOPY v /d/v\n\
         FROM busybox\nRUN --mount=type=cache,id=i,from=a,source=/d,target=/c cat /c/v > /out; echo x > /c/kept\n",
    )
    .file("v", "one");
    assert_eq!(project.sh("cat /out"), "one");
    project.write("v", "two");
    assert_eq!(project.sh("cat /out"), "two");
    let again = project.build(&["--progress", "plain"]);
    again.success();
    assert_eq!(cached(&again), 2);
}

#[test]
fn a_cache_cannot_begin_with_a_file() {
    let project = Project::of(
        "FROM busybox\nRUN --mount=type=cache,target=/c,from=busybox,source=/bin/busybox true\n",
    );
    for _ in 0..2 {
        let screen = project.build(&[]);
        assert_eq!(screen.status, 1);
        let said = &screen.stderr;
        assert!(said.contains("cannot make the cache mount /c"), "{said}");
        assert!(said.contains("/bin/busybox is not a directory"), "{said}");
    }
    let mounts = project.sandbox.data().join("build/mounts");
    let place = std::fs::read_dir(&mounts).unwrap().next().unwrap().unwrap();
    assert_eq!(crate::project::tree(&place.path()), ["lock"]);
    // What never came to be is seen and goes, too.
    let du = project.sandbox.berth(&["builder", "du", "--verbose"]);
    assert!(du.success().contains("unfinished cache mount"), "{du}");
    let prune = ["builder", "prune", "-af"];
    project.sandbox.berth(&prune).success();
    assert_eq!(std::fs::read_dir(&mounts).unwrap().count(), 0);
}

/// A cache that a command uses is not to be had, and stays.
#[test]
fn what_is_in_use_is_not_reclaimable() {
    let project = Project::of(
        "FROM busybox\nRUN --mount=type=cache,target=/c echo x > /c/ready; while [ ! -e /c/go ]; do sleep 0.1; done; cat /c/ready > /out\n",
    );
    let build = start(&project);
    let cache = project.cache_with("ready");
    let du = project.sandbox.berth(&["builder", "du"]).success();
    let line = |name: &str| {
        let line = du.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    assert_ne!(line("Reclaimable:"), line("Total:"), "{du}");
    project
        .sandbox
        .berth(&["builder", "prune", "-af"])
        .success();
    std::fs::write(cache.join("go"), "").unwrap();
    finish(build);
    assert_eq!(project.run("cat /out"), "x");
}

/// As in `BuildKit`: once in a build, and commands of one build share what the first has left.
#[test]
fn without_the_cache_cache_mounts_begin_empty() {
    let project = Project::of(
        "FROM busybox AS a\nARG NAME\n\
         RUN --mount=type=cache,target=/c,mode=0773 touch /c/$NAME\n\
         RUN --mount=type=cache,target=/c,mode=0773 ls /c > /out\n",
    );
    let build = |options: &[&str], name: &str| {
        let argument = format!("NAME={name}");
        let all = [options, &["--build-arg", &argument]].concat();
        project.build(&all).success();
        project.run("cat /out")
    };
    assert_eq!(build(&[], "one"), "one");
    assert_eq!(build(&[], "two"), "one\ntwo");
    assert_eq!(build(&["--no-cache"], "three"), "three");
    assert_eq!(
        build(&["--no-cache-filter", "other"], "four"),
        "four\nthree"
    );
    assert_eq!(build(&["--no-cache-filter", "a"], "five"), "five");
}
