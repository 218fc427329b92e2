//! A container over plain processes, supervised in a thread of the test.

use std::fs;
use std::path::PathBuf;
use std::thread::JoinHandle;

use berth_contract::{ContainerId, Exit, Rootfs};
use berth_monitor::client::{self, Connection};
use berth_monitor::launch::{Directories, Launch, SPEC_FILE};
use berth_monitor::protocol::Request;
use berth_monitor::status::{self, Observation, Status};
use berth_monitor::{Arguments, run};

use crate::launched::{self, logged, plain};
use crate::process;

/// One container in directories of its own.
pub(crate) struct Container {
    pub(crate) root: PathBuf,
    pub(crate) id: ContainerId,
    pub(crate) launch: Launch,
}

impl Container {
    pub(crate) fn new(script: &str) -> Self {
        let id = ContainerId::from_random(berth_sys::random::bytes().unwrap());
        let root = std::env::temp_dir().join(format!("berth-{}", id.short()));
        let directories = Directories {
            data: root.join("data"),
            run: root.join("run"),
            programs: PathBuf::new(),
        };
        let container = directories.container(&id);
        fs::create_dir_all(&container).unwrap();
        fs::create_dir_all(root.join("data/names")).unwrap();
        std::os::unix::fs::symlink(id.as_str(), root.join("data/names/web")).unwrap();
        fs::write(container.join("record.json"), r#"{"Name":"web","Other":1}"#).unwrap();
        let rootfs = Rootfs::Directory("/".into());
        let launch = plain(&id, directories, rootfs, berth_network::Mode::Host);
        let this = Self { root, id, launch };
        this.describe(&["/bin/sh", "-c", script]);
        this
    }

    pub(crate) fn describe(&self, arguments: &[&str]) {
        let spec = serde_json::json!({
            "ociVersion": "1.2.0",
            "process": { "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": arguments },
        });
        let path = self.launch.directories.container(&self.id).join(SPEC_FILE);
        fs::write(path, spec.to_string()).unwrap();
    }

    /// Starts a monitor in a thread, with requests that are there before it runs.
    pub(crate) fn start(&self, first: &[Request]) -> (Connection, JoinHandle<()>) {
        let path = self
            .launch
            .directories
            .container(&self.id)
            .join("launch.json");
        fs::write(path, serde_json::to_vec(&self.launch).unwrap()).unwrap();
        let (ours, theirs) = berth_sys::socket::pair().unwrap();
        let mut connection = Connection::new(ours);
        for request in first {
            connection.send(request, &[]).unwrap();
        }
        let arguments = Arguments {
            data: self.launch.directories.data.clone(),
            run: self.launch.directories.run.clone(),
            id: self.id.clone(),
        };
        let monitor = std::thread::spawn(move || {
            run(&arguments, theirs, |_| Ok(Box::new(process::Processes)));
        });
        (connection, monitor)
    }

    pub(crate) fn connect(&self) -> Connection {
        client::connect(&self.launch.directories, &self.id).unwrap()
    }

    pub(crate) fn seen(&self) -> Observation {
        status::read(&self.launch.directories, &self.id).unwrap()
    }

    /// Waits until the state file says so.
    pub(crate) fn until(&self, reached: impl Fn(&Status) -> bool) -> Status {
        loop {
            let seen = self.seen();
            if reached(&seen.status) {
                return seen.status;
            }
            std::thread::yield_now();
        }
    }

    pub(crate) fn logged(&self) -> String {
        logged(&self.launch)
    }

    pub(crate) fn left_in_run(&self) -> usize {
        fs::read_dir(&self.launch.directories.run).unwrap().count()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).ok();
    }
}

/// Everything a connection gives until the guest's end, as text.
pub(crate) fn collect(connection: &mut Connection) -> (String, String, Exit) {
    let (stdout, stderr, exit) = launched::collect(connection);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), exit)
}
