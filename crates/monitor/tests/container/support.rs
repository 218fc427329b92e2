//! A container over a busybox root, supervised by the real program.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_contract::{ContainerId, Exit, Rootfs, Signal, oci};
use berth_linux_runtime::defaults;
use berth_monitor::client::{self, Connection, Incoming};
use berth_monitor::launch::{Directories, Launch, SPEC_FILE};
use berth_monitor::protocol::{Reply, Request};
use berth_monitor::status::{self, Observation};
use berth_sys::cgroup::{Cgroup, Hierarchies};
use serde_json::{Value, json};

use crate::launched::{logged, plain, stop};

const BUSYBOX: &str = "/bin/busybox";

/// One container in directories of its own.
pub(crate) struct Container {
    root: PathBuf,
    pub(crate) id: ContainerId,
    pub(crate) launch: Launch,
    pub(crate) spec: Value,
    monitors: Vec<i32>,
}

impl Container {
    /// A container that runs a shell script; `None`, loudly, where that is impossible.
    pub(crate) fn shell(script: &str) -> Option<Self> {
        if !berth_sys::user::is_root() || !Path::new(BUSYBOX).exists() {
            eprintln!("skipped: needs root and {BUSYBOX}");
            return None;
        }
        let id = ContainerId::from_random(berth_sys::random::bytes().unwrap());
        let root = std::env::temp_dir().join(format!("berth-monitor-{}", id.short()));
        let programs = Path::new(env!("CARGO_BIN_EXE_berth-monitor"))
            .parent()
            .unwrap();
        let directories = Directories {
            data: root.join("data"),
            run: root.join("run"),
            programs: programs.to_owned(),
        };
        let container = directories.container(&id);
        let layer = root.join("layer");
        for directory in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
            fs::create_dir_all(layer.join(directory)).unwrap();
        }
        for directory in ["upper", "work"] {
            fs::create_dir_all(container.join(directory)).unwrap();
        }
        fs::copy(BUSYBOX, layer.join("bin/busybox")).unwrap();
        for applet in "sh cat echo sleep seq stty true kill dd yes head trap tr".split(' ') {
            std::os::unix::fs::symlink("busybox", layer.join("bin").join(applet)).unwrap();
        }
        let rootfs = Rootfs::Overlay {
            lowers: vec![layer],
            upper: container.join("upper"),
            work: container.join("work"),
            volatile: false,
        };
        let launch = plain(&id, directories, rootfs, berth_network::Mode::None);
        let spec = spec(&id, script);
        Some(Self {
            root,
            id,
            launch,
            spec,
            monitors: Vec::new(),
        })
    }

    /// Starts the monitor and gives connection 0.
    pub(crate) fn start(&mut self, first: &[Request]) -> Connection {
        let container = self.launch.directories.container(&self.id);
        fs::write(
            Launch::path(&container),
            serde_json::to_vec(&self.launch).unwrap(),
        )
        .unwrap();
        fs::write(container.join(SPEC_FILE), self.spec.to_string()).unwrap();
        let (connection, pid) =
            client::spawn_with(&self.launch.directories, &self.id, first).unwrap();
        self.monitors.push(pid);
        connection
    }

    pub(crate) fn connect(&self) -> Connection {
        client::connect(&self.launch.directories, &self.id).unwrap()
    }

    pub(crate) fn ask(&self, request: &Request) -> Reply {
        self.connect()
            .ask(request)
            .unwrap_or_else(|error| panic!("{request:?}: {error:?}"))
    }

    /// Waits for the container's end on a connection of its own.
    pub(crate) fn stop(&self, signal: Option<Signal>, timeout: i64) -> Exit {
        let mut connection = self.connect();
        connection.send(&stop(signal, Some(timeout)), &[]).unwrap();
        connection.exited().unwrap()
    }

    pub(crate) fn seen(&self) -> Observation {
        status::read(&self.launch.directories, &self.id).unwrap()
    }

    pub(crate) fn monitor(&self) -> i32 {
        *self.monitors.last().unwrap()
    }

    /// Waits until the monitor itself is gone.
    pub(crate) fn reap(&mut self) {
        for pid in self.monitors.drain(..) {
            let Ok(pidfd) = berth_sys::pidfd::open(pid) else {
                continue;
            };
            use std::os::fd::AsFd as _;
            let ended = berth_sys::pidfd::wait_ended(pidfd.as_fd(), Some(Duration::from_secs(20)));
            assert!(ended.unwrap(), "the monitor does not end");
            drop(berth_sys::pidfd::try_wait(pidfd.as_fd()));
        }
    }

    pub(crate) fn logged(&self) -> String {
        logged(&self.launch)
    }

    pub(crate) fn process(&self, script: &str, terminal: bool) -> Box<oci::Process> {
        let mut process = self.spec["process"].clone();
        process["args"] = json!(["/bin/sh", "-c", script]);
        process["terminal"] = json!(terminal);
        Box::new(serde_json::from_value(process).unwrap())
    }

    pub(crate) fn cgroup(&self) -> Option<Cgroup> {
        let path = self.spec["linux"]["cgroupsPath"].as_str().unwrap();
        Cgroup::open(&Hierarchies::discover().unwrap(), Path::new(path)).ok()
    }

    /// Nothing of the last run is left anywhere.
    pub(crate) fn assert_clean(&mut self) {
        self.reap();
        assert!(self.cgroup().is_none(), "a cgroup is left");
        assert!(
            !self.launch.directories.running(&self.id).exists(),
            "RUN/<id> is left"
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.id.as_str()), "a mount is left");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for pid in &self.monitors {
            if let Ok(pidfd) = berth_sys::pidfd::open(*pid) {
                drop(berth_sys::pidfd::signal(&pidfd, Signal::KILL));
            }
        }
        if let Some(cgroup) = self.cgroup() {
            drop(cgroup.thaw());
            drop(cgroup.kill_all());
            drop(cgroup.remove());
        }
        fs::remove_dir_all(&self.root).ok();
    }
}

/// A spec with Docker's defaults.
fn spec(id: &ContainerId, script: &str) -> Value {
    let capabilities = defaults::capabilities();
    json!({
        "ociVersion": "1.2.0",
        "hostname": "guest",
        "root": { "path": "rootfs", "readonly": false },
        "mounts": defaults::mounts(64 << 20),
        "process": {
            "terminal": false,
            "cwd": "/",
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
        },
        "linux": {
            "namespaces": defaults::namespaces(),
            "maskedPaths": defaults::masked_paths(),
            "readonlyPaths": defaults::read_only_paths(),
            "seccomp": defaults::seccomp(&capabilities),
            // Beneath no other: a parent would stay.
            "cgroupsPath": format!("berth-monitor-test-{id}"),
        },
    })
}

/// Reads output up to and including a text.
pub(crate) fn await_output(connection: &mut Connection, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        match connection
            .receive()
            .unwrap()
            .expect("output before the end")
        {
            Incoming::Stdout(bytes) | Incoming::Stderr(bytes) => {
                seen.push_str(&String::from_utf8_lossy(bytes));
            }
            Incoming::Reply(Reply::Started { .. }, _) => {}
            Incoming::Reply(other, _) => panic!("{other:?} after {seen:?}"),
        }
    }
    seen
}
