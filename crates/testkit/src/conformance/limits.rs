//! Limits and the freezer.

use super::sandbox;
use crate::Kind;

/// `--memory` holds.
///
/// A native guest is killed by the kernel. A wasm guest's memory is capped just below, so that its
/// allocation fails first and it can say so itself.
pub fn memory_limit_is_real(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "eats-memory");
    let run = [
        "run",
        "--name",
        "eats",
        "-m",
        "64m",
        "--memory-swap",
        "64m",
        &twin.image(),
    ];
    let run = sandbox.berth(&run);
    match kind {
        Kind::Native => {
            assert_eq!(run.status, 137, "{run}");
            assert_eq!(
                sandbox.inspect("eats", "{{.State.OOMKilled}} {{.State.ExitCode}}"),
                "true 137"
            );
        }
        Kind::Wasm => {
            assert_eq!(run.status, 12, "{run}");
            assert!(run.stdout.starts_with("refused after "), "{run}");
            assert_eq!(sandbox.inspect("eats", "{{.State.OOMKilled}}"), "false");
        }
    }
    let within = sandbox.berth(&["run", "--rm", "-m", "128m", &twin.image(), "16"]);
    assert_eq!(within.success(), "held 16 MiB");
}

/// A paused guest does nothing, is told as paused, goes on after `unpause`, and can be removed.
pub fn pause_freezes_the_guest(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "clock");
    sandbox
        .berth(&["run", "-d", "--name", "still", &twin.image()])
        .success();
    sandbox.wait_for_log("still", "tick 1");
    assert_eq!(sandbox.berth(&["pause", "still"]).success(), "still");
    assert_eq!(
        sandbox.inspect("still", "{{.State.Status}} {{.State.Paused}}"),
        "paused true"
    );
    let twice = sandbox.berth(&["pause", "still"]);
    assert_eq!(twice.status, 1, "{twice}");
    let listed = sandbox.berth(&["ps", "--format", "{{.Status}}"]).success();
    assert!(listed.ends_with("(Paused)"), "{listed}");
    let pid = sandbox.inspect("still", "{{.State.Pid}}");
    let ticks = || {
        let stat =
            std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the guest is there");
        let switches = stat
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"));
        switches.expect("the kernel counts switches").to_owned()
    };
    let before = ticks();
    let busy = sandbox.berth(&["ps", "-a"]);
    busy.success();
    assert_eq!(ticks(), before, "a frozen guest was scheduled");
    assert_eq!(sandbox.berth(&["unpause", "still"]).success(), "still");
    assert_eq!(sandbox.inspect("still", "{{.State.Status}}"), "running");
    sandbox.berth(&["pause", "still"]).success();
    assert_eq!(
        sandbox.berth(&["rm", "-f", "still"]).success(),
        "still",
        "a frozen container can go"
    );
}

/// Limits are those of the guest's own cgroup and process, and the same after a second start.
pub fn limits_are_set_and_stay(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "clock");
    let mut run = vec![
        "run",
        "-d",
        "--name",
        "held",
        "--cpus",
        "0.5",
        "--pids-limit",
        "20",
    ];
    run.extend(["-m", "64m", "--cpu-shares", "512", "--cpuset-cpus", "0"]);
    run.extend(["--oom-score-adj", "500", "--ulimit", "nofile=64:128"]);
    let image = twin.image();
    run.push(&image);
    sandbox.berth(&run).success();
    let seen = || {
        let pid = sandbox.inspect("held", "{{.State.Pid}}");
        let file = |name: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("the guest is there")
        };
        let limits = file("limits");
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let mut seen: Vec<String> = [
            ("memory", "memory.limit_in_bytes", "memory.max"),
            ("pids", "pids.max", "pids.max"),
            ("cpuset", "cpuset.cpus", "cpuset.cpus"),
        ]
        .map(|(controller, v1, v2)| in_cgroup(&file("cgroup"), controller, v1, v2))
        .into();
        let (quota, period) = match in_cgroup(&file("cgroup"), "cpu", "cpu.cfs_quota_us", "cpu.max")
        {
            both if both.contains(' ') => {
                let (quota, period) = both.split_once(' ').expect("quota and period");
                (quota.to_owned(), period.to_owned())
            }
            quota => (
                quota,
                in_cgroup(&file("cgroup"), "cpu", "cpu.cfs_period_us", ""),
            ),
        };
        let of = |text: &str| text.parse::<f64>().expect("a number");
        seen.push(format!("{} CPUs", of(&quota) / of(&period)));
        seen.push(file("oom_score_adj").trim().to_owned());
        let files: Vec<&str> = files
            .expect("the kernel tells")
            .split_whitespace()
            .collect();
        seen.push(files[3..5].join(":"));
        seen
    };
    let expected = ["67108864", "20", "0", "0.5 CPUs", "500", "64:128"];
    assert_eq!(seen(), expected);
    sandbox.berth(&["stop", "-t", "0", "held"]).success();
    sandbox.berth(&["start", "held"]).success();
    assert_eq!(seen(), expected, "after a second start");
}

/// A value of the cgroup that `/proc/PID/cgroup` names: of a v1 hierarchy if the controller has one.
fn in_cgroup(cgroup: &str, controller: &str, v1: &str, v2: &str) -> String {
    let lines = cgroup.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?))
    });
    let mut path = None;
    for (controllers, directory) in lines {
        if controllers.split(',').any(|one| one == controller) {
            path = Some(format!("/sys/fs/cgroup/{controllers}{directory}/{v1}"));
        } else if controllers.is_empty() && path.is_none() {
            path = Some(format!("/sys/fs/cgroup{directory}/{v2}"));
        }
    }
    let path = path.expect("a hierarchy has the controller");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.trim().to_owned()
}
