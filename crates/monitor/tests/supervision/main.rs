//! The monitor's whole life over plain processes: what a client sees, what is on disk, what is left.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

#[path = "../launched/mod.rs"]
mod launched;
mod process;
mod support;

use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;

use berth_contract::{Exit, Signal, State, oci};
use berth_monitor::client::Incoming;
use berth_monitor::launch::RestartPolicy;
use berth_monitor::protocol::{Reply, Request};

use launched::{EVERYTHING, stop};
use support::{Container, collect};

#[test]
fn a_run_is_seen_logged_and_leaves_nothing() {
    let container = Container::new("echo out; echo err >&2; exit 3");
    let (mut connection, monitor) = container.start(&[EVERYTHING]);
    let (stdout, stderr, exit) = collect(&mut connection);
    assert_eq!((stdout.as_str(), stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(exit, Exit::Code { code: 3 });
    // Told means: the record is true and the run directory gone.
    let seen = container.seen();
    assert_eq!(seen.status.exit, Some(Exit::Code { code: 3 }));
    assert_eq!(
        (seen.status.state, seen.alive, seen.left_behind),
        (State::Exited, false, false)
    );
    assert!(
        seen.status.leftovers.is_empty(),
        "{:?}",
        seen.status.leftovers
    );
    assert_eq!(container.left_in_run(), 0);
    let mut lines: Vec<_> = container.logged().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    monitor.join().unwrap();
}

#[test]
fn a_start_that_fails_is_told_and_recorded() {
    let container = Container::new("");
    container.describe(&["/no/such/program"]);
    let (mut connection, monitor) = container.start(&[]);
    let error = connection.started().unwrap_err();
    assert_eq!(error.class().exit_code(), 127);
    monitor.join().unwrap();
    let seen = container.seen();
    assert_eq!(seen.status.state, State::Created);
    assert_eq!(seen.status.exit.unwrap().status(), 127);
    assert_eq!(container.left_in_run(), 0);
}

#[test]
fn input_reaches_the_guest_and_ends() {
    let mut container = Container::new("cat; echo end");
    container.launch.open_stdin = true;
    let (mut connection, monitor) = container.start(&[EVERYTHING]);
    connection.started().unwrap();
    let input = "0123456789abcdef".repeat(40_000);
    let mut rest = input.as_bytes();
    let mut output = Vec::new();
    while !rest.is_empty() {
        let sent = connection.send_stdin(rest).unwrap();
        rest = &rest[sent..];
        connection.fill().unwrap();
        while let Some(Incoming::Stdout(bytes)) = connection.next().unwrap() {
            output.extend_from_slice(bytes);
        }
    }
    connection.end_stdin().unwrap();
    let (stdout, _, exit) = collect(&mut connection);
    output.extend(stdout.bytes());
    assert_eq!(exit, Exit::Code { code: 0 });
    assert!(
        output == format!("{input}end\n").into_bytes(),
        "{} bytes",
        output.len()
    );
    monitor.join().unwrap();
}

#[test]
fn stdin_once_closes_with_its_client() {
    let mut container = Container::new("cat >/dev/null; exit 4");
    (container.launch.open_stdin, container.launch.stdin_once) = (true, true);
    let (mut connection, monitor) = container.start(&[EVERYTHING]);
    connection.started().unwrap();
    let mut waiter = container.connect();
    waiter.send(&Request::Wait { removed: false }, &[]).unwrap();
    drop(connection);
    assert_eq!(waiter.exited().unwrap(), Exit::Code { code: 4 });
    monitor.join().unwrap();
}

#[test]
fn stop_is_polite_then_not() {
    let polite = Container::new("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    let (mut connection, monitor) = polite.start(&[EVERYTHING]);
    loop {
        match connection.receive().unwrap().unwrap() {
            Incoming::Stdout(bytes) if bytes == b"ready\n" => break,
            _ => {}
        }
    }
    let mut stopper = polite.connect();
    stopper.send(&stop(None, None), &[]).unwrap();
    assert_eq!(stopper.exited().unwrap(), Exit::Code { code: 7 });
    assert!(polite.seen().status.stopped_by_user);
    monitor.join().unwrap();

    let deaf = Container::new("trap '' TERM; while :; do sleep 0.05; done");
    let (mut connection, monitor) = deaf.start(&[]);
    connection.started().unwrap();
    connection.send(&stop(None, Some(-1)), &[]).unwrap();
    let mut impatient = deaf.connect();
    impatient.send(&stop(None, Some(0)), &[]).unwrap();
    let killed = Exit::Signalled {
        signal: Signal::KILL,
    };
    assert_eq!(impatient.exited().unwrap(), killed);
    assert_eq!(connection.exited().unwrap(), killed);
    monitor.join().unwrap();
}

#[test]
fn policies_start_again_until_a_person_stops() {
    let mut container = Container::new("echo run; exit 1");
    container.launch.restart = RestartPolicy::OnFailure { maximum: 2 };
    let (mut connection, monitor) = container.start(&[Request::Wait { removed: false }]);
    connection.started().unwrap();
    assert_eq!(connection.exited().unwrap(), Exit::Code { code: 1 });
    monitor.join().unwrap();
    assert_eq!(container.seen().status.restart_count, 2);
    assert_eq!(container.logged(), "run\n".repeat(3));

    container.launch.restart = RestartPolicy::Always;
    let (mut connection, monitor) = container.start(&[]);
    connection.started().unwrap();
    container.until(|status| status.restart_count >= 1);
    let waiting = container.until(|status| status.state == State::Restarting);
    assert_eq!(waiting.exit, Some(Exit::Code { code: 1 }));
    let mut stopper = container.connect();
    stopper.send(&stop(None, None), &[]).unwrap();
    assert_eq!(stopper.exited().unwrap(), Exit::Code { code: 1 });
    monitor.join().unwrap();
    assert_eq!(container.seen().status.state, State::Exited);
}

#[test]
fn removal_takes_the_name_the_volumes_and_the_directory() {
    let mut container = Container::new("true");
    let volume = container.root.join("data/volumes/anonymous");
    fs::create_dir_all(volume.join("_data")).unwrap();
    container.launch.auto_remove = true;
    container.launch.remove_with = vec![volume.clone(), container.root.join("data/volumes/gone")];
    let (mut connection, monitor) = container.start(&[EVERYTHING, Request::Wait { removed: true }]);
    let (_, _, exit) = collect(&mut connection);
    assert_eq!(exit, Exit::Code { code: 0 });
    assert_eq!(connection.reply().unwrap().0, Reply::Removed);
    assert!(
        !container
            .launch
            .directories
            .container(&container.id)
            .exists()
    );
    assert!(!volume.exists());
    assert!(fs::symlink_metadata(container.root.join("data/names/web")).is_err());
    monitor.join().unwrap();
    assert_eq!(
        fs::read_dir(container.root.join("data/trash"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(container.left_in_run(), 0);
}

#[test]
fn sessions_run_beside_the_guest() {
    let container = Container::new("sleep 60");
    let (mut connection, monitor) = container.start(&[]);
    connection.started().unwrap();
    let session = |id: &str, script: &str, detach: bool| {
        let process = serde_json::json!({
            "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sh", "-c", script],
        });
        let process: oci::Process = serde_json::from_value(process).unwrap();
        Request::Exec {
            id: id.to_owned(),
            process: Box::new(process),
            detach,
        }
    };
    let (reader, writer) = berth_sys::pipe::pair().unwrap();
    let null = berth_sys::pipe::null().unwrap();
    let mut first = container.connect();
    let files = [null.as_fd(), writer.as_fd(), writer.as_fd()];
    first
        .send(&session("a", "echo in; exit 5", false), &files)
        .unwrap();
    drop(writer);
    assert!(matches!(first.reply().unwrap().0, Reply::ExecStarted { pid } if pid > 0));
    assert_eq!(first.exited().unwrap(), Exit::Code { code: 5 });
    let mut output = String::new();
    fs::File::from(reader).read_to_string(&mut output).unwrap();
    assert_eq!(output, "in\n");

    let mut second = container.connect();
    second.send(&session("b", "sleep 60", true), &[]).unwrap();
    second.reply().unwrap();
    assert_eq!(container.seen().status.execs, ["b"]);
    let refused = container
        .connect()
        .ask(&session("b", "true", true))
        .unwrap_err();
    assert!(refused.to_string().contains("exists already"), "{refused}");
    let refused = container
        .connect()
        .ask(&session("c", "true", false))
        .unwrap_err();
    assert!(
        refused.to_string().contains("0 files in place of 3"),
        "{refused}"
    );

    container
        .connect()
        .ask(&Request::Kill {
            signal: Signal::KILL,
        })
        .unwrap();
    let killed = Exit::Signalled {
        signal: Signal::KILL,
    };
    assert_eq!(second.exited().unwrap(), killed);
    monitor.join().unwrap();
    assert_eq!(container.seen().status.exit, Some(killed));
}

#[test]
fn a_second_monitor_is_refused_and_the_first_untouched() {
    let container = Container::new("sleep 60");
    let (mut connection, monitor) = container.start(&[]);
    connection.started().unwrap();
    let (mut second, other) = container.start(&[]);
    let refused = second.started().unwrap_err();
    assert!(refused.to_string().contains("running already"), "{refused}");
    other.join().unwrap();
    assert_eq!(container.seen().status.state, State::Running);
    connection
        .ask(&Request::Kill {
            signal: Signal::KILL,
        })
        .unwrap();
    monitor.join().unwrap();
}

#[test]
fn several_clients_see_the_same_and_nonsense_hurts_only_its_sender() {
    let mut container = Container::new("read x; seq 20000");
    container.launch.open_stdin = true;
    let (mut connection, monitor) = container.start(&[EVERYTHING]);
    connection.started().unwrap();
    let mut second = container.connect();
    second
        .send(
            &Request::Attach {
                stdin: false,
                stdout: true,
                stderr: false,
            },
            &[],
        )
        .unwrap();
    // The answer to a later request proves that the attachment was seen.
    second
        .ask(&Request::SetRestart {
            policy: RestartPolicy::No,
        })
        .unwrap();
    let vandal = container.connect();
    berth_sys::pipe::write(&vandal, b"\xff\xff\xff\xff\xffnonsense").unwrap();
    let asleep = {
        let mut asleep = container.connect();
        asleep
            .send(
                &Request::Attach {
                    stdin: true,
                    stdout: true,
                    stderr: true,
                },
                &[],
            )
            .unwrap();
        asleep
            .ask(&Request::SetRestart {
                policy: RestartPolicy::No,
            })
            .unwrap();
        asleep
    };
    drop(asleep);
    connection.send_stdin(b"go\n").unwrap();
    let expected: String = (1..=20000).map(|number| format!("{number}\n")).collect();
    let reader = std::thread::spawn(move || collect(&mut second).0);
    assert_eq!(collect(&mut connection).0, expected);
    assert_eq!(reader.join().unwrap(), expected);
    monitor.join().unwrap();
    assert_eq!(container.logged(), expected);
}
