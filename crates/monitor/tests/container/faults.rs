//! `kill -9` of the monitor at every step: what is left is seen, is no success, and starts again.

use std::fs;
use std::path::PathBuf;

use berth_contract::{Exit, State};

use crate::launched::{EVERYTHING, collect, stop};
use crate::support::{Container, await_output};

const START: [&str; 8] = [
    "start-locked",
    "start-pessimistic",
    "start-network-reserved",
    "start-created",
    "start-network-attached",
    "start-executed",
    "start-running",
    "start-published",
];
const STOP: [&str; 2] = ["stop-signal", "stop-kill"];
const END: [&str; 5] = [
    "end-reaped",
    "end-destroyed",
    "end-network-detached",
    "end-exit-written",
    "end-left",
];
const REMOVE: [&str; 3] = ["remove-begin", "remove-hidden", "remove-deleting"];

fn arm(container: &Container, point: &str) -> PathBuf {
    let run = &container.launch.directories.run;
    fs::create_dir_all(run).unwrap();
    let path = run.join("fault-point");
    fs::write(&path, point).unwrap();
    path
}

/// No process of the guest survives, nothing claims success, and the next start succeeds.
fn assert_recovers(container: &mut Container, point: &str) {
    container.reap();
    if let Some(cgroup) = container.cgroup() {
        while !cgroup.pids().unwrap().is_empty() {
            std::thread::yield_now();
        }
    }
    let seen = container.seen();
    assert!(!seen.alive, "{point}");
    match seen.status.exit {
        None => assert_eq!(seen.status.state, State::Created, "{point}"),
        Some(exit) => {
            let known = [Exit::Lost, Exit::Code { code: 3 }];
            let killed = exit.status() == 137;
            assert!(known.contains(&exit) || killed, "{point}: {exit:?}");
        }
    }
    container.spec["process"]["args"] = serde_json::json!(["/bin/sh", "-c", "exit 3"]);
    let mut connection = container.start(&[EVERYTHING]);
    assert_eq!(
        collect(&mut connection).2,
        Exit::Code { code: 3 },
        "{point}"
    );
    container.assert_clean();
}

#[test]
fn privileged_a_monitor_killed_at_a_step_of_start_or_end_leaves_no_lie() {
    for point in START.into_iter().chain(END) {
        let Some(mut container) = Container::shell("exit 3") else {
            return;
        };
        let armed = arm(&container, point);
        let mut connection = container.start(&[EVERYTHING]);
        while let Ok(Some(_)) = connection.receive() {}
        fs::remove_file(armed).unwrap();
        assert_recovers(&mut container, point);
    }
}

#[test]
fn privileged_a_monitor_killed_while_it_stops_takes_the_guest_along() {
    for point in STOP {
        let script = "echo ready; while :; do sleep 1; done";
        let Some(mut container) = Container::shell(script) else {
            return;
        };
        let armed = arm(&container, point);
        let mut connection = container.start(&[EVERYTHING]);
        await_output(&mut connection, "ready\n");
        let mut stopper = container.connect();
        stopper.send(&stop(None, Some(0)), &[]).unwrap();
        assert!(stopper.exited().is_err(), "{point}");
        fs::remove_file(armed).unwrap();
        assert_recovers(&mut container, point);
    }
}

#[test]
fn privileged_a_monitor_killed_while_it_removes_leaves_only_rubbish() {
    for point in REMOVE {
        let Some(mut container) = Container::shell("exit 3") else {
            return;
        };
        container.launch.auto_remove = true;
        arm(&container, point);
        let mut connection = container.start(&[EVERYTHING]);
        while let Ok(Some(_)) = connection.receive() {}
        container.reap();
        let directory = container.launch.directories.container(&container.id);
        // Either the container is still there and says how it ended, or it is in the trash.
        if directory.exists() {
            assert_eq!(
                container.seen().status.exit,
                Some(Exit::Code { code: 3 }),
                "{point}"
            );
        } else {
            let trash = container.launch.directories.data.join("trash");
            assert!(trash.join(container.id.as_str()).exists(), "{point}");
        }
    }
}
