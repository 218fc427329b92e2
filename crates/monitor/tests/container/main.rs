//! The real program over real namespaces and cgroups.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so"
)]

#[cfg(feature = "fault-points")]
mod faults;
#[path = "../launched/mod.rs"]
mod launched;
mod support;

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use berth_contract::{Exit, Signal, State, TerminalSize};
use berth_monitor::client::Incoming;
use berth_monitor::launch::RestartPolicy;
use berth_monitor::protocol::{Reply, Request};
use serde_json::json;

use launched::{EVERYTHING, collect};
use support::{Container, await_output};

const KILLED: Exit = Exit::Signalled {
    signal: Signal::KILL,
};

#[test]
fn privileged_a_run_leaves_its_log_and_nothing_else() {
    let script = "echo out; echo err >&2; read x < /proc/1/comm; echo $$ $x; exit 3";
    let Some(mut container) = Container::shell(script) else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    let (stdout, stderr, exit) = collect(&mut connection);
    assert_eq!(exit, Exit::Code { code: 3 });
    assert_eq!(String::from_utf8_lossy(&stdout), "out\n1 sh\n");
    assert_eq!(String::from_utf8_lossy(&stderr), "err\n");
    let status = container.seen().status;
    assert_eq!(
        (status.state, status.exit),
        (State::Exited, Some(Exit::Code { code: 3 }))
    );
    assert!(status.leftovers.is_empty(), "{:?}", status.leftovers);
    assert!(container.logged().contains("1 sh\n"));
    container.assert_clean();
}

#[test]
fn privileged_a_missing_program_is_127_and_leaves_nothing() {
    let Some(mut container) = Container::shell("") else {
        return;
    };
    container.spec["process"]["args"] = json!(["/bin/nothing"]);
    let error = container.start(&[EVERYTHING]).started().unwrap_err();
    assert_eq!(error.class().exit_code(), 127, "{error:?}");
    let status = container.seen().status;
    assert_eq!(
        (status.state, status.exit.unwrap().status()),
        (State::Created, 127)
    );
    container.assert_clean();
    // And the container can be started once its mistake is repaired.
    container.spec["process"]["args"] = json!(["/bin/true"]);
    assert_eq!(
        collect(&mut container.start(&[EVERYTHING])).2,
        Exit::Code { code: 0 }
    );
    container.assert_clean();
}

#[test]
fn privileged_a_terminal_echoes_resizes_and_ends() {
    let script = "stty size; read x; stty size; echo got $x; exit 2";
    let Some(mut container) = Container::shell(script) else {
        return;
    };
    container.spec["process"]["terminal"] = json!(true);
    (container.launch.terminal, container.launch.open_stdin) = (true, true);
    let first = Request::Resize {
        size: TerminalSize {
            rows: 33,
            columns: 111,
        },
        exec: None,
    };
    let mut connection = container.start(&[EVERYTHING, first]);
    await_output(&mut connection, "33 111\r\n");
    container.ask(&Request::Resize {
        size: TerminalSize {
            rows: 20,
            columns: 50,
        },
        exec: None,
    });
    connection.send_stdin(b"hello\n").unwrap();
    let (output, _, exit) = collect(&mut connection);
    let output = String::from_utf8_lossy(&output).into_owned();
    assert_eq!(output, "hello\r\n20 50\r\ngot hello\r\n");
    assert_eq!(exit, Exit::Code { code: 2 });
    container.assert_clean();
}

#[test]
fn privileged_stop_runs_handlers_and_kills_the_deaf() {
    let script = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.02; done";
    let Some(mut container) = Container::shell(script) else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    assert_eq!(container.stop(None, 10), Exit::Code { code: 9 });
    assert_eq!(collect(&mut connection).0, b"bye\n");
    container.assert_clean();

    // PID 1 without a handler ignores the signal: the grace runs out.
    let Some(mut deaf) = Container::shell("echo ready; while :; do sleep 1; done") else {
        return;
    };
    let mut connection = deaf.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    assert_eq!(deaf.stop(None, 0), KILLED);
    deaf.assert_clean();
}

#[test]
fn privileged_a_paused_container_can_be_thawed_and_stopped() {
    let script = "echo ready; while :; do sleep 0.01; done";
    let Some(mut container) = Container::shell(script) else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    assert_eq!(container.ask(&Request::Pause), Reply::Ok);
    assert_eq!(container.seen().status.state, State::Paused);
    let again = container.connect().ask(&Request::Pause).unwrap_err();
    assert!(again.to_string().contains("cannot pause"), "{again}");
    let process = container.process("true", false);
    let exec = Request::Exec {
        id: "x".into(),
        process,
        detach: true,
    };
    assert!(container.connect().ask(&exec).is_err());
    assert_eq!(container.ask(&Request::Unpause), Reply::Ok);
    assert_eq!(container.seen().status.state, State::Running);
    assert_eq!(container.ask(&Request::Pause), Reply::Ok);
    assert_eq!(container.stop(None, 0), KILLED);
    container.assert_clean();
}

#[test]
fn privileged_a_half_frozen_container_dies_by_kill() {
    let Some(mut container) = Container::shell("echo ready; while :; do sleep 1; done") else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    // Frozen behind the monitor's back: it believes that the guest runs.
    container.cgroup().unwrap().freeze().unwrap();
    assert_eq!(container.stop(None, 0), KILLED);
    container.assert_clean();
}

#[test]
fn privileged_sessions_have_their_own_streams_and_codes() {
    let Some(mut container) = Container::shell("echo ready; while :; do sleep 1; done") else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    let (reader, writer) = berth_sys::pipe::pair().unwrap();
    let null = berth_sys::pipe::null().unwrap();
    let mut plain = container.connect();
    let process = container.process("echo in; exit 5", false);
    let files = [null.as_fd(), writer.as_fd(), writer.as_fd()];
    plain
        .send(
            &Request::Exec {
                id: "a".into(),
                process,
                detach: false,
            },
            &files,
        )
        .unwrap();
    drop(writer);
    assert!(matches!(
        plain.reply().unwrap().0,
        Reply::ExecStarted { .. }
    ));
    let mut output = String::new();
    std::fs::File::from(reader)
        .read_to_string(&mut output)
        .unwrap();
    assert_eq!(output, "in\n");
    assert_eq!(plain.exited().unwrap(), Exit::Code { code: 5 });

    let mut terminal = container.connect();
    let process = container.process("read x; stty size; echo got $x; exit 6", true);
    terminal
        .send(
            &Request::Exec {
                id: "t".into(),
                process,
                detach: false,
            },
            &[],
        )
        .unwrap();
    let (_, mut files) = terminal.reply().unwrap();
    let mut master = std::fs::File::from(files.pop().expect("the pty's master"));
    let size = TerminalSize {
        rows: 7,
        columns: 9,
    };
    container.ask(&Request::Resize {
        size,
        exec: Some("t".into()),
    });
    master.write_all(b"you\n").unwrap();
    assert_eq!(terminal.exited().unwrap(), Exit::Code { code: 6 });
    let mut output = Vec::new();
    // A hung-up terminal ends with an error.
    drop(master.read_to_end(&mut output));
    assert_eq!(
        String::from_utf8_lossy(&output),
        "you\r\n7 9\r\ngot you\r\n"
    );

    assert_eq!(container.stop(Some(Signal::KILL), 10), KILLED);
    container.assert_clean();
}

#[test]
fn privileged_sessions_fail_alone_and_end_with_the_guest() {
    let Some(mut container) = Container::shell("echo ready; while :; do sleep 1; done") else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    let process = container.process("/bin/nothing-here", false);
    let mut missing = *process;
    missing.args = Some(vec!["/bin/nothing-here".into()]);
    let mut failing = container.connect();
    let request = Request::Exec {
        id: "m".into(),
        process: Box::new(missing),
        detach: true,
    };
    assert_eq!(failing.ask(&request).unwrap_err().class().exit_code(), 127);

    let mut last = container.connect();
    let process = container.process("while :; do sleep 1; done", false);
    last.ask(&Request::Exec {
        id: "l".into(),
        process,
        detach: true,
    })
    .unwrap();
    assert_eq!(container.seen().status.execs, ["l"]);
    assert_eq!(container.stop(Some(Signal::KILL), 10), KILLED);
    assert_eq!(last.exited().unwrap(), KILLED);
    container.assert_clean();
}

#[test]
fn privileged_a_lost_monitor_takes_its_guest_along_and_is_seen() {
    let Some(mut container) = Container::shell("echo ready; while :; do sleep 1; done") else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    let guest = berth_sys::pidfd::open(container.seen().status.pid).unwrap();
    let monitor = berth_sys::pidfd::open(container.monitor()).unwrap();
    berth_sys::pidfd::signal(&monitor, Signal::KILL).unwrap();
    let limit = Some(std::time::Duration::from_secs(10));
    assert!(berth_sys::pidfd::wait_ended(guest.as_fd(), limit).unwrap());
    container.reap();
    let seen = container.seen();
    assert!(seen.left_behind && !seen.alive);
    assert_eq!(seen.status.exit, Some(Exit::Lost));
    assert_eq!(seen.status.exit.unwrap().status(), 137);
}

#[test]
fn privileged_a_terminated_monitor_stops_its_guest_politely() {
    let script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done";
    let Some(mut container) = Container::shell(script) else {
        return;
    };
    container.launch.restart = RestartPolicy::Always;
    let mut connection = container.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    let monitor = berth_sys::pidfd::open(container.monitor()).unwrap();
    berth_sys::pidfd::signal(&monitor, Signal::TERM).unwrap();
    assert_eq!(collect(&mut connection).2, Exit::Code { code: 4 });
    let status = container.seen().status;
    assert!(!status.stopped_by_user && status.state == State::Exited);
    container.assert_clean();
}

#[test]
fn privileged_a_flood_is_logged_and_delivered_without_a_gap() {
    let Some(mut container) = Container::shell("seq 1 200000; seq 200001 200100 >&2") else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    let (stdout, stderr, exit) = collect(&mut connection);
    assert_eq!(exit, Exit::Code { code: 0 });
    let numbers = |range: std::ops::RangeInclusive<u32>| -> String {
        range.map(|number| format!("{number}\n")).collect()
    };
    assert!(stdout == numbers(1..=200_000).into_bytes());
    assert!(stderr == numbers(200_001..=200_100).into_bytes());
    assert!(container.logged() == numbers(1..=200_100));
    container.assert_clean();
}

#[test]
fn privileged_a_client_that_does_not_read_slows_the_guest_and_loses_nothing() {
    let Some(mut container) = Container::shell("seq 1 300000; echo end") else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    connection.started().unwrap();
    // 2 MB do not fit into the sockets: the guest waits for this client, and the monitor still answers.
    container.ask(&Request::SetRestart {
        policy: RestartPolicy::No,
    });
    assert_eq!(container.seen().status.state, State::Running);
    let (stdout, _, exit) = collect(&mut connection);
    assert_eq!(exit, Exit::Code { code: 0 });
    assert!(stdout.ends_with(b"300000\nend\n") && stdout.len() > 1_900_000);
    container.assert_clean();
}

#[test]
fn privileged_memory_that_runs_out_is_told_as_such() {
    let script = "dd if=/dev/zero of=/dev/null bs=200M count=1; exit 0";
    let Some(mut container) = Container::shell(&format!("exec {script}")) else {
        return;
    };
    container.spec["linux"]["resources"] =
        json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } });
    let mut connection = container.start(&[EVERYTHING]);
    let (_, _, exit) = collect(&mut connection);
    assert_eq!(exit, Exit::OutOfMemory);
    let status = container.seen().status;
    assert!(status.out_of_memory);
    assert_eq!(status.exit.unwrap().status(), 137);
    container.assert_clean();
}

#[test]
fn privileged_restarts_get_a_fresh_guest() {
    let Some(mut container) = Container::shell("echo run; exit 1") else {
        return;
    };
    container.launch.restart = RestartPolicy::OnFailure { maximum: 2 };
    let mut connection = container.start(&[Request::Wait { removed: false }]);
    connection.started().unwrap();
    assert_eq!(connection.exited().unwrap(), Exit::Code { code: 1 });
    assert_eq!(container.seen().status.restart_count, 2);
    assert_eq!(container.logged(), "run\nrun\nrun\n");
    container.assert_clean();
}

#[test]
fn privileged_removal_follows_the_end() {
    let Some(mut container) = Container::shell("echo x > /file") else {
        return;
    };
    container.launch.auto_remove = true;
    let mut connection = container.start(&[EVERYTHING, Request::Wait { removed: true }]);
    assert_eq!(collect(&mut connection).2, Exit::Code { code: 0 });
    assert_eq!(connection.reply().unwrap().0, Reply::Removed);
    assert!(
        connection
            .receive()
            .unwrap()
            .is_none_or(|it| !matches!(it, Incoming::Reply(..)))
    );
    assert!(
        !container
            .launch
            .directories
            .container(&container.id)
            .exists()
    );
    container.assert_clean();
}

#[test]
fn privileged_other_users_are_not_heard() {
    let Some(mut container) = Container::shell("echo ready; while :; do sleep 1; done") else {
        return;
    };
    let mut connection = container.start(&[EVERYTHING]);
    await_output(&mut connection, "ready\n");
    let running = container.launch.directories.running(&container.id);
    use std::os::unix::fs::PermissionsExt as _;
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&running), 0o700);
    assert_eq!(mode(&running.join("monitor.sock")), 0o600);
    assert_eq!(container.stop(Some(Signal::KILL), 0), KILLED);
    container.assert_clean();
}
