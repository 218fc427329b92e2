//! Against the real kernel; every cgroup made here has a name of its own and is removed again.

use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;

struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        let child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    fn ends(&self) -> bool {
        let pidfd = crate::pidfd::open(self.pid()).unwrap();
        crate::pidfd::wait_ended(pidfd.as_fd(), Some(Duration::from_secs(5))).unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Beneath no other: a parent would stay.
fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("berth-test-{name}-{}", std::process::id()))
}

fn resources(json: &str) -> oci::LinuxResources {
    serde_json::from_str(json).unwrap()
}

fn read(cgroup: &Cgroup, controller: &str, file: &str) -> String {
    let (Place::Legacy(directory) | Place::Unified(directory)) = cgroup.place(controller).unwrap();
    directory.read(file).unwrap().trim().to_owned()
}

#[test]
fn privileged_a_cgroup_limits_lists_freezes_kills_and_goes() {
    let hierarchies = Hierarchies::discover().unwrap();
    let limits = resources(
        r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432},
            "cpu":{"shares":512,"quota":50000,"period":100000},"pids":{"limit":64},
            "devices":[{"allow":false,"access":"rwm"},
                       {"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}]}"#,
    );
    let path = path("life");
    let cgroup = Cgroup::create(&hierarchies, &path, Some(&limits)).unwrap();
    let mut sleeper = Sleeper::start();
    cgroup.add(sleeper.pid()).unwrap();
    assert_eq!(cgroup.pids().unwrap(), [sleeper.pid()]);
    assert_eq!(read(&cgroup, "pids", "pids.max"), "64");
    let statistics = cgroup.statistics().unwrap();
    assert_eq!(statistics.memory.limit, Some(67_108_864));
    assert_eq!(
        (statistics.pids.current, statistics.pids.limit),
        (1, Some(64))
    );
    assert_eq!(cgroup.out_of_memory_kills().unwrap(), 0);

    cgroup
        .update(&resources(
            r#"{"memory":{"limit":268435456,"swap":-1},"pids":{"limit":-1}}"#,
        ))
        .unwrap();
    assert_eq!(read(&cgroup, "pids", "pids.max"), "max");
    assert_eq!(cgroup.statistics().unwrap().memory.limit, Some(268_435_456));

    cgroup.freeze().unwrap();
    let opened = Cgroup::open(&hierarchies, &path).unwrap();
    opened.kill_all().unwrap();
    opened.remove().unwrap();
    assert!(!sleeper.0.wait().unwrap().success());
    assert_eq!(cgroup.pids().unwrap(), [0_i32; 0]);
    cgroup.remove().unwrap();
    assert_eq!(
        Cgroup::open(&hierarchies, &path).unwrap_err().class(),
        Class::NotFound
    );
}

#[test]
fn privileged_thawed_processes_run_on_and_v1_freezes_too() {
    let hierarchies = Hierarchies::discover().unwrap();
    let mut cgroup = Cgroup::create(&hierarchies, &path("freeze"), None).unwrap();
    let sleeper = Sleeper::start();
    cgroup.add(sleeper.pid()).unwrap();
    for _ in 0..3 {
        cgroup.freeze().unwrap();
        cgroup.thaw().unwrap();
    }
    if hierarchies.layout() == Layout::Hybrid {
        let unified = cgroup
            .members
            .iter()
            .position(|member| member.unified)
            .unwrap();
        let unified = cgroup.members.remove(unified);
        cgroup.freeze().unwrap();
        assert_eq!(read(&cgroup, "freezer", "freezer.state"), "FROZEN");
        cgroup.kill_all().unwrap();
        drop(sleeper);
        cgroup.members.push(unified);
    }
    cgroup.kill_all().unwrap();
    cgroup.remove().unwrap();
}

#[test]
fn privileged_a_limit_that_cannot_be_applied_is_named_and_leaves_nothing() {
    let hierarchies = Hierarchies::discover().unwrap();
    let path = path("refused");
    for (json, words) in [
        (
            r#"{"network":{"classID":7}}"#,
            ["class of network packets", "net_cls"],
        ),
        (
            r#"{"unified":{"nonsense.max":"1"}}"#,
            ["cgroup2 setting nonsense.max", "nonsense"],
        ),
        (r#"{"cpu":{"cpus":"4000"}}"#, ["CPU set", "cpuset"]),
        (
            r#"{"memory":{"limit":100000000,"swap":1000}}"#,
            ["memory and swap", "less than"],
        ),
    ] {
        let error = Cgroup::create(&hierarchies, &path, Some(&resources(json))).unwrap_err();
        let line = berth_contract::Report::from(&error).line();
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert_eq!(
            Cgroup::open(&hierarchies, &path).unwrap_err().class(),
            Class::NotFound
        );
    }
}

#[test]
fn privileged_nested_cgroups_are_listed_and_removed() {
    let hierarchies = Hierarchies::discover().unwrap();
    let outer = path("nested");
    let cgroup = Cgroup::create(&hierarchies, &outer, None).unwrap();
    let inner = Cgroup::create(&hierarchies, &outer.join("a/b"), None).unwrap();
    let sleeper = Sleeper::start();
    inner.add(sleeper.pid()).unwrap();
    assert_eq!(cgroup.pids().unwrap(), [sleeper.pid()]);
    let taken = Cgroup::create(&hierarchies, &outer, None).unwrap_err();
    assert_eq!(taken.class(), Class::Conflict);
    cgroup.kill_all().unwrap();
    cgroup.remove().unwrap();
    assert!(Cgroup::open(&hierarchies, &outer).is_err());
}

/// A guest that may write its cgroups freezes a part of itself, deep down.
#[test]
fn privileged_what_was_frozen_beneath_is_killed_all_the_same() {
    let hierarchies = Hierarchies::discover().unwrap();
    let outer = path("frozen");
    for (unified, file, value) in [
        (true, "cgroup.freeze", "1"),
        (false, "freezer.state", "FROZEN"),
    ] {
        let cgroup = Cgroup::create(&hierarchies, &outer, None).unwrap();
        let inner = Cgroup::create(&hierarchies, &outer.join("a/b"), None).unwrap();
        let sleeper = Sleeper::start();
        inner.add(sleeper.pid()).unwrap();
        for member in &inner.members {
            if member.unified == unified && member.directory.has(file) {
                member.directory.write(file, value).unwrap();
            }
        }
        cgroup.kill_all().unwrap();
        let ended = sleeper.ends();
        drop(inner.thaw());
        for member in inner.members.iter().filter(|member| !member.unified) {
            drop(member.directory.write("freezer.state", "THAWED"));
        }
        assert!(ended, "frozen by {file}");
        drop(sleeper);
        cgroup.remove().unwrap();
    }
}

#[test]
fn privileged_device_programs_replace_each_other_on_cgroup2() {
    let hierarchies = Hierarchies::discover().unwrap();
    let cgroup = Cgroup::create(&hierarchies, &path("devices"), None).unwrap();
    if let Some(directory) = cgroup.directory() {
        for rules in [rules::docker_rules(), rules::docker_rules()[..1].to_vec()] {
            let loaded = program::load(&program::generate(&rules)).unwrap();
            program::attach(loaded.as_fd(), directory).unwrap();
        }
        let pid = std::process::id();
        let script = format!(
            "echo $$ > {}/cgroup.procs && exec cat /dev/null",
            cgroup.unified().unwrap().path().display()
        );
        let refused = Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert!(!refused.status.success(), "{pid}: {refused:?}");
    }
    cgroup.remove().unwrap();
}

#[test]
fn paths_stay_beneath_the_hierarchy() {
    assert_eq!(
        relative(Path::new("/berth/x")).unwrap(),
        Path::new("berth/x")
    );
    for bad in ["", "/", "../x", "a/../../b"] {
        assert!(relative(Path::new(bad)).is_err(), "{bad}");
    }
}
