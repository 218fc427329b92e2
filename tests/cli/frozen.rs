//! Containers that do not die when they are killed: a freezer holds their processes.

use std::path::PathBuf;

use berth_testkit::{Sandbox, skip};

/// The name of a cgroup that is this test's own.
fn cgroup(name: &str) -> String {
    format!("berth-test-{name}-{}", std::process::id())
}

#[test]
fn what_a_guest_froze_of_itself_is_ended_all_the_same() {
    let sandbox = Sandbox::with_busybox();
    let script = "cd /sys/fs/cgroup; [ -d freezer ] && cd freezer; mkdir -p a/b; \
                  sleep 1000 & echo $! > a/b/cgroup.procs; \
                  if [ -e a/b/freezer.state ]; then echo FROZEN > a/b/freezer.state; \
                  else echo 1 > a/b/cgroup.freeze; fi; \
                  trap 'exit 3' TERM; echo frozen; wait";
    let verbs: [&[&str]; 4] = [
        &["stop", "-t", "0"],
        &["kill"],
        &["restart", "-t", "0"],
        &["rm", "-f"],
    ];
    for verb in verbs {
        let run = ["run", "-d", "--privileged", "--network", "none", "--name"];
        sandbox
            .berth(&[&run[..], &["cold", "busybox", "sh", "-c", script]].concat())
            .success();
        sandbox.wait_for_log("cold", "frozen");
        let ended = sandbox.berth(&[verb, &["cold"]].concat());
        assert_eq!(ended.success(), "cold", "{verb:?}");
        sandbox.berth(&["rm", "-f", "cold"]).success();
    }
    sandbox.assert_nothing_left();
}

/// The host's own freezer above the container's: nothing of the engine's may thaw it.
struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(std::fs::write(self.0.join("freezer.state"), "THAWED"));
    }
}

#[test]
fn nobody_waits_for_ever_for_what_does_not_end() {
    let test = "nobody_waits_for_ever_for_what_does_not_end";
    let hierarchy = PathBuf::from("/sys/fs/cgroup/freezer");
    if !hierarchy.join("cgroup.procs").exists() {
        return skip(test, "this host has no freezer that keeps what was killed");
    }
    let sandbox = Sandbox::with_busybox();
    let parent = cgroup("parent");
    let run = ["run", "-d", "--network", "none", "--name", "stuck"];
    let rest = ["--cgroup-parent", &parent, "busybox", "sleep", "1000"];
    sandbox.berth(&[&run[..], &rest].concat()).success();
    let frozen = Frozen(hierarchy.join(&parent));
    std::fs::write(frozen.0.join("freezer.state"), "FROZEN").unwrap();
    let verbs: [&[&str]; 3] = [
        &["stop", "-t", "0", "stuck"],
        &["kill", "stuck"],
        &["rm", "-f", "stuck"],
    ];
    let waiting = verbs.map(|verb| sandbox.start(verb));
    for (verb, waiting) in verbs.iter().zip(waiting) {
        let refused = waiting.finish();
        assert_eq!(refused.status, 1, "{verb:?}: {refused}");
        let sentence = "container stuck was killed and has not ended";
        assert!(refused.stderr.contains(sentence), "{verb:?}: {refused}");
    }
    drop(frozen);
    sandbox.berth(&["rm", "-f", "stuck"]).success();
    for entry in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        drop(std::fs::remove_dir(entry.path().join(&parent)));
    }
}
