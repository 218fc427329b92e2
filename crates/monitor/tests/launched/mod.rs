//! The plainest launch, and what its monitor says: for plain processes and for real containers alike.

use std::collections::BTreeMap;
use std::fs;

use berth_contract::{ContainerId, Exit, Rootfs, Signal};
use berth_monitor::client::{Connection, Incoming};
use berth_monitor::launch::{
    Directories, Launch, Log, LogFile, NameFiles, RestartPolicy, RuntimeKind,
};
use berth_monitor::protocol::{Reply, Request};

/// Attach to everything.
pub(crate) const EVERYTHING: Request = Request::Attach {
    stdin: true,
    stdout: true,
    stderr: true,
};

/// Stop, with the container's own signal unless one is given.
pub(crate) const fn stop(signal: Option<Signal>, timeout: Option<i64>) -> Request {
    Request::Stop {
        signal,
        timeout,
        keep: false,
    }
}

/// A container that runs once, logs to a file and asks for nothing else.
pub(crate) fn plain(
    id: &ContainerId,
    directories: Directories,
    rootfs: Rootfs,
    network: berth_network::Mode,
) -> Launch {
    let log = directories.container(id).join("log");
    Launch {
        id: id.clone(),
        runtime: RuntimeKind::Linux,
        rootfs,
        module: None,
        init: false,
        terminal: false,
        open_stdin: false,
        stdin_once: false,
        stop_signal: Signal::TERM,
        stop_timeout: Some(10),
        timeout: None,
        pid_file: None,
        restart: RestartPolicy::No,
        auto_remove: false,
        attended: false,
        environment: None,
        remove_with: Vec::new(),
        mounted: Vec::new(),
        log: Log {
            file: Some(LogFile {
                path: log,
                max_size: 0,
                max_files: 1,
                attributes: BTreeMap::new(),
            }),
            receiver: None,
        },
        network: berth_network::Request {
            container: id.clone(),
            mode: network,
            publish: Vec::new(),
        },
        joined: BTreeMap::new(),
        names: NameFiles::default(),
        directories,
    }
}

/// What the log file holds, without its times.
pub(crate) fn logged(launch: &Launch) -> String {
    let path = launch.directories.container(&launch.id).join("log");
    let text = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        entry["log"].as_str().unwrap().to_owned()
    };
    let log = fs::read_to_string(path).unwrap();
    log.lines().map(text).collect()
}

/// Everything a connection gives until the guest's end.
pub(crate) fn collect(connection: &mut Connection) -> (Vec<u8>, Vec<u8>, Exit) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match connection
            .receive()
            .unwrap()
            .expect("the monitor tells the end")
        {
            Incoming::Stdout(bytes) => stdout.extend_from_slice(bytes),
            Incoming::Stderr(bytes) => stderr.extend_from_slice(bytes),
            Incoming::Reply(Reply::Exited { exit }, _) => return (stdout, stderr, exit),
            Incoming::Reply(Reply::Started { .. } | Reply::Ok, _) => {}
            Incoming::Reply(other, _) => panic!("{other:?}"),
        }
    }
}
