//! What a container could have left: looked for where the kernel and the engine keep it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use berth_testkit::Sandbox;

/// No cgroup, link, published port or address of a container, and no process in its network.
pub(crate) fn assert_nothing_of(sandbox: &Sandbox, id: &str, point: &str) {
    let found = Command::new("find")
        .args(["/sys/fs/cgroup", "-name", id])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "",
        "{point}: a cgroup"
    );
    // The host's end of its cable carries the beginning of its id.
    let cable = format!("bv{}", &id[..11]);
    let deadline = Instant::now() + Duration::from_secs(30);
    let left = || {
        let mut links = names(Path::new("/sys/class/net")).into_iter();
        links.find(|name| name.starts_with(&cable))
    };
    // The kernel takes it away with the namespace, some time after the last process of that has ended.
    while let Some(link) = left() {
        assert!(Instant::now() < deadline, "{point}: the link {link}");
        std::thread::yield_now();
    }
    let run = sandbox.run_directory();
    let ports = run.join("ports").join(format!("{id}.json"));
    assert!(!ports.exists(), "{point}: ports are noted");
    for network in names(&run.join("ipam")) {
        let addresses = run.join("ipam").join(network);
        for address in names(&addresses) {
            let holder = std::fs::read_link(addresses.join(&address)).unwrap_or_default();
            assert_ne!(holder, Path::new(id), "{point}: {address} is taken");
        }
    }
}

/// Kills the monitor of a guest, and waits until both are gone.
pub(crate) fn kill_monitor_of(guest: &str) {
    let status = std::fs::read_to_string(format!("/proc/{guest}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
    let pids = [parent.unwrap(), guest].map(|pid| pid.parse().unwrap());
    let pidfds = pids.map(|pid| berth_sys::pidfd::open(pid).unwrap());
    berth_sys::pidfd::signal(&pidfds[0], berth_contract::Signal::KILL).unwrap();
    for pidfd in &pidfds {
        use std::os::fd::AsFd as _;
        berth_sys::pidfd::wait_ended(pidfd.as_fd(), None).unwrap();
    }
}

/// The names in a directory; one that is missing has none.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The fault points that sources below a directory name.
pub(crate) fn points(directory: &Path) -> Vec<String> {
    let mut points = Vec::new();
    for name in names(directory) {
        let path = directory.join(name);
        if path.is_dir() {
            points.extend(self::points(&path));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let calls = text.split("fault::point(\"").skip(1);
        points.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    points
}
