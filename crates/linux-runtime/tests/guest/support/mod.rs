//! A busybox root, specs with Docker's defaults, and guests run to their end.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use berth_contract::oci::{self, Process, Spec};
use berth_contract::{
    ContainerId, Exit, Guest, Program, Report, Rootfs, Runtime as _, Slot, Stdio,
};
use berth_linux_runtime::{LinuxRuntime, defaults};
use berth_sys::cgroup::{Cgroup, Hierarchies};

mod spec;

use spec::set_capabilities;
pub(crate) use spec::{
    add_mount, annotate, args, capabilities, join, linux, map_mount, map_users, process,
    read_only_root, sysctl,
};

const BUSYBOX: &str = "/bin/busybox";

/// A scratch directory with a busybox layer.
pub(crate) struct Bench {
    base: PathBuf,
    name: String,
    runtime: LinuxRuntime,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// How a guest ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The other ends of a guest's output.
pub(crate) struct Streams {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// A slot with pipes, and their other ends.
pub(crate) struct Piped {
    pub(crate) slot: Slot,
    pub(crate) streams: Streams,
    pub(crate) program: Program,
    pub(crate) inherited: Vec<berth_contract::Inherited>,
}

static COUNTER: AtomicU32 = AtomicU32::new(0);
/// Guests are made by processes with one thread; here at least one thread at a time makes them.
static ALONE: Mutex<()> = Mutex::new(());

impl Bench {
    pub(crate) fn new(name: &str) -> Option<Self> {
        if !berth_sys::user::is_root() || !Path::new(BUSYBOX).exists() {
            eprintln!("SKIPPED: needs root and {BUSYBOX}");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self::prepare(name, Some(alone)))
    }

    /// Another root beside this one.
    pub(crate) fn another(&self, name: &str) -> Self {
        Self::prepare(name, None)
    }

    fn prepare(name: &str, alone: Option<MutexGuard<'static, ()>>) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let base = std::env::temp_dir().join(format!("berth-linux-{name}"));
        drop(std::fs::remove_dir_all(&base));
        let layer = base.join("layer");
        for directory in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
            std::fs::create_dir_all(layer.join(directory)).unwrap();
        }
        for directory in ["upper", "work"] {
            std::fs::create_dir_all(base.join(directory)).unwrap();
        }
        std::fs::copy(BUSYBOX, layer.join("bin/busybox")).unwrap();
        for applet in "sh true false cat echo ls id pwd hostname grep wc sleep kill touch mkdir tty stty test ps stat \
            tail mount chown sort readlink cut umask mknod".split_whitespace()
        {
            std::os::unix::fs::symlink("busybox", layer.join("bin").join(applet)).unwrap();
        }
        std::fs::write(
            layer.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(
            layer.join("etc/group"),
            "root:x:0:\nwww:x:34:\nmore:x:100:web\n",
        )
        .unwrap();
        Self {
            base,
            name,
            runtime: LinuxRuntime::new(),
            _alone: alone,
        }
    }

    pub(crate) fn runtime(&self) -> &LinuxRuntime {
        &self.runtime
    }

    pub(crate) fn scratch(&self) -> &Path {
        &self.base
    }

    pub(crate) fn layer(&self) -> PathBuf {
        self.base.join("layer")
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.base.join("upper")
    }

    pub(crate) fn add_layer(&self, name: &str) -> PathBuf {
        let path = self.base.join(format!("above-{name}"));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A spec with Docker's defaults.
    pub(crate) fn spec(&self, arguments: &[&str]) -> Spec {
        let capabilities = defaults::capabilities();
        let mut spec = Spec::default();
        let process = Process {
            args: Some(args(arguments)),
            env: Some(args(&["PATH=/usr/bin:/bin"])),
            cwd: "/".into(),
            ..Process::default()
        };
        spec.process = Some(process);
        spec.hostname = Some("guest".into());
        spec.mounts = Some(defaults::mounts(64 << 20));
        let mut linux = oci::Linux::default();
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        linux.namespaces = Some(defaults::namespaces());
        linux.masked_paths = Some(defaults::masked_paths());
        linux.readonly_paths = Some(defaults::read_only_paths());
        linux.resources = None;
        linux.seccomp = Some(defaults::seccomp(&capabilities));
        // Beneath no other: a parent would stay.
        linux.cgroups_path = Some(PathBuf::from(format!("berth-test-{}-{number}", self.name)));
        spec.linux = Some(linux);
        let root = oci::Root {
            readonly: Some(false),
            ..oci::Root::default()
        };
        spec.root = Some(root);
        set_capabilities(&mut spec, &capabilities);
        spec
    }

    pub(crate) fn slot(&self) -> Piped {
        let (out_reader, out_writer) = berth_sys::fd::pipe().unwrap();
        let (err_reader, err_writer) = berth_sys::fd::pipe().unwrap();
        let mut lowers: Vec<PathBuf> = std::fs::read_dir(&self.base)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("above-")
            })
            .collect();
        lowers.push(self.layer());
        let slot = Slot {
            id: ContainerId::from_random([7; 32]),
            rootfs: Rootfs::Overlay {
                lowers,
                upper: self.base.join("upper"),
                work: self.base.join("work"),
                volatile: true,
            },
            stdio: Stdio::Files {
                stdin: berth_sys::fd::null().unwrap(),
                stdout: out_writer,
                stderr: err_writer,
            },
            program: Program::Arguments,
            inherited: Vec::new(),
            module: None,
        };
        Piped {
            slot,
            streams: Streams {
                stdout: out_reader,
                stderr: err_reader,
            },
            program: Program::Arguments,
            inherited: Vec::new(),
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_spec(self.spec(arguments))
    }

    pub(crate) fn shell(&self, script: &str) -> Outcome {
        self.run(&["sh", "-c", script])
    }

    pub(crate) fn run_spec(&self, spec: Spec) -> Outcome {
        self.try_run(spec)
            .unwrap_or_else(|report| panic!("{report:?}"))
    }

    pub(crate) fn try_run(&self, spec: Spec) -> Result<Outcome, Report> {
        self.run_slot(&spec, self.slot())
    }

    pub(crate) fn run_slot(&self, spec: &Spec, piped: Piped) -> Result<Outcome, Report> {
        let Piped {
            mut slot,
            streams,
            program,
            inherited,
        } = piped;
        slot.program = program;
        slot.inherited = inherited;
        let mut guest = self
            .runtime
            .create(spec, slot)
            .map_err(|error| Report::from(&error))?;
        if let Err(error) = guest.start() {
            guest.destroy().unwrap();
            guest.destroy().unwrap();
            return Err(Report::from(&error));
        }
        let (stdout, stderr) = streams.read();
        Ok(Outcome {
            exit: finish(guest),
            stdout,
            stderr,
        })
    }

    pub(crate) fn fails(&self, spec: Spec) -> Report {
        match self.try_run(spec) {
            Ok(outcome) => panic!("it runs: {outcome:?}"),
            Err(report) => report,
        }
    }
}

impl Drop for Bench {
    /// Also ends what a test that failed has left.
    fn drop(&mut self) {
        let hierarchies = Hierarchies::discover().unwrap();
        for path in cgroups(self) {
            if let Ok(cgroup) = Cgroup::open(&hierarchies, &path) {
                drop(cgroup.kill_all());
                drop(cgroup.remove());
            }
        }
        drop(std::fs::remove_dir_all(&self.base));
    }
}

impl Piped {
    pub(crate) fn into_parts(self) -> (Slot, Streams) {
        (self.slot, self.streams)
    }
}

impl Streams {
    fn read(self) -> (String, String) {
        let errors = std::thread::spawn(move || all(self.stderr));
        (all(self.stdout), errors.join().unwrap())
    }

    /// Reads standard output up to and including a line.
    pub(crate) fn await_line(&self, line: &str) -> String {
        let mut read = String::new();
        let mut reader = BufReader::with_capacity(1, File::from(self.stdout.try_clone().unwrap()));
        loop {
            let start = read.len();
            assert!(reader.read_line(&mut read).unwrap() > 0, "{read}");
            if read[start..].trim_end() == line {
                return read;
            }
        }
    }
}

fn all(file: OwnedFd) -> String {
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).unwrap();
    text
}

/// Waits for a guest's end and destroys it.
pub(crate) fn finish(mut guest: Box<dyn Guest>) -> Exit {
    assert!(
        berth_sys::pidfd::wait_ended(guest.pidfd(), Some(std::time::Duration::from_secs(20)))
            .unwrap()
    );
    let exit = guest.reap().unwrap().unwrap();
    guest.destroy().unwrap();
    guest.destroy().unwrap();
    exit
}

/// Runs a second process in a guest to its end.
pub(crate) fn exec(guest: &mut dyn Guest, process: &Process) -> Result<Outcome, Report> {
    let (out_reader, stdout) = berth_sys::fd::pipe().unwrap();
    let (err_reader, stderr) = berth_sys::fd::pipe().unwrap();
    let stdio = Stdio::Files {
        stdin: berth_sys::fd::null().unwrap(),
        stdout,
        stderr,
    };
    let mut second = guest
        .exec(process, stdio)
        .map_err(|error| Report::from(&error))?;
    if let Err(error) = second.start() {
        second.destroy().unwrap();
        return Err(Report::from(&error));
    }
    let streams = Streams {
        stdout: out_reader,
        stderr: err_reader,
    };
    let (stdout, stderr) = streams.read();
    Ok(Outcome {
        exit: finish(second),
        stdout,
        stderr,
    })
}

pub(crate) fn exec_process(spec: &Spec, arguments: &[&str], user: &str) -> Process {
    let mut process = spec.process.clone().unwrap();
    process.args = Some(args(arguments));
    let mut who = process.user.clone();
    who.username = Some(user.to_owned());
    process.user = who;
    process
}

pub(crate) fn make_executable(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// How many files this process has open.
pub(crate) fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many mounts this namespace has.
pub(crate) fn mounts() -> usize {
    std::fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .count()
}

/// The cgroups of a bench that are there, by their paths.
pub(crate) fn cgroups(bench: &Bench) -> BTreeSet<PathBuf> {
    let own = format!("berth-test-{}-", bench.name);
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(top).unwrap().flatten();
    let directories = hierarchies.map(|hierarchy| hierarchy.path());
    directories
        .chain([top.to_owned()])
        .flat_map(|directory| std::fs::read_dir(directory).into_iter().flatten().flatten())
        .map(|entry| PathBuf::from(entry.file_name()))
        .filter(|name| name.to_string_lossy().starts_with(&own))
        .collect()
}
