//! Wasm guests in real containers: the wasm runtime over the native one, on an empty root.
//!
//! They need root and the built programs; without either they say so and pass.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says when it is skipped, and is told where the programs are"
)]

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use berth_contract::oci::{self, Process, Spec};
use berth_contract::{
    Class, ContainerId, Exit, Guest, Program, Rootfs, Runtime as _, Signal, Slot, Stdio,
};
use berth_linux_runtime::{LinuxRuntime, defaults};
use berth_sys::cgroup::{Cgroup, Hierarchies};
use berth_sys::{fd, pidfd};
use berth_wasm_runtime::{Cache, WasmRuntime, compile_ahead};
use tempfile::TempDir;

/// Guests are made by processes with one thread; here at least one thread at a time makes them.
static ALONE: Mutex<()> = Mutex::new(());

struct Bench {
    directory: TempDir,
    programs: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

struct Streams {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Streams {
    fn make() -> (Stdio, Self) {
        let (stdout, out) = fd::pipe().unwrap();
        let (stderr, err) = fd::pipe().unwrap();
        (
            Stdio::Files {
                stdin: fd::null().unwrap(),
                stdout: out,
                stderr: err,
            },
            Self { stdout, stderr },
        )
    }

    fn read(self) -> (String, String) {
        let text = |file: OwnedFd| {
            let mut text = String::new();
            File::from(file).read_to_string(&mut text).unwrap();
            text
        };
        (text(self.stdout), text(self.stderr))
    }
}

impl Bench {
    fn new() -> Option<Self> {
        let own = std::env::current_exe().ok()?;
        let programs = match std::env::var_os("BERTH_PROGRAMS") {
            Some(folder) => PathBuf::from(folder),
            None => own.ancestors().nth(3)?.join("release"),
        };
        if !berth_sys::user::is_root() || !programs.join("berth-wasm").exists() {
            eprintln!(
                "SKIPPED: needs root, and berth-wasm in {}",
                programs.display()
            );
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        for name in ["layer", "upper", "work"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        Some(Self {
            directory,
            programs,
            _alone: alone,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Beneath no other: a parent would stay.
    fn cgroup(&self) -> PathBuf {
        let name = self.directory.path().file_name().unwrap();
        PathBuf::from(format!("berth-test-{}", name.display()))
    }

    fn runtime(&self) -> WasmRuntime {
        let native = Box::new(LinuxRuntime::new());
        let program = |name: &str| self.programs.join(name);
        WasmRuntime::new(
            native,
            program("berth-wasm"),
            program("berth-wasmc"),
            self.path("cache"),
        )
    }

    fn spec(&self, arguments: &[&str]) -> Spec {
        let process = Process {
            args: Some(arguments.iter().map(ToString::to_string).collect()),
            env: Some(vec!["A=1".into(), "A=2".into()]),
            cwd: "/".into(),
            ..Process::default()
        };
        let linux = oci::Linux {
            namespaces: Some(defaults::namespaces()),
            resources: None,
            cgroups_path: Some(self.cgroup()),
            ..oci::Linux::default()
        };
        let mut spec = Spec::default();
        let root = oci::Root {
            readonly: Some(false),
            ..oci::Root::default()
        };
        spec.process = Some(process);
        spec.mounts = Some(defaults::mounts(64 << 20));
        spec.linux = Some(linux);
        spec.root = Some(root);
        spec
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.path("cache"), &self.programs.join("berth-wasmc")).unwrap()
    }

    fn module(&self, text: &str) -> OwnedFd {
        let cache = self.cache();
        let path = cache
            .compiled_bytes(&wat::parse_str(text).unwrap())
            .unwrap();
        File::open(path).unwrap().into()
    }

    fn create(&self, spec: &Spec, module: OwnedFd) -> (Box<dyn Guest>, Streams) {
        let (stdio, streams) = Streams::make();
        let slot = Slot {
            id: ContainerId::from_random([9; 32]),
            rootfs: Rootfs::Overlay {
                lowers: vec![self.path("layer")],
                upper: self.path("upper"),
                work: self.path("work"),
                volatile: true,
            },
            stdio,
            program: Program::Arguments,
            inherited: Vec::new(),
            module: Some(module),
        };
        let mut guest = self.runtime().create(spec, slot).unwrap();
        guest.start().unwrap();
        (guest, streams)
    }

    fn run(&self, text: &str) -> (Exit, String, String) {
        let (mut guest, streams) = self.create(&self.spec(&["guest"]), self.module(text));
        let (stdout, stderr) = streams.read();
        let exit = ended(&mut *guest);
        guest.destroy().unwrap();
        (exit, stdout, stderr)
    }
}

impl Drop for Bench {
    /// Ends what a test that failed has left.
    fn drop(&mut self) {
        let hierarchies = Hierarchies::discover().unwrap();
        if let Ok(cgroup) = Cgroup::open(&hierarchies, &self.cgroup()) {
            drop(cgroup.kill_all());
            drop(cgroup.remove());
        }
    }
}

fn ended(guest: &mut dyn Guest) -> Exit {
    assert!(pidfd::wait_ended(guest.pidfd().as_fd(), Some(Duration::from_secs(20))).unwrap());
    guest.reap().unwrap().unwrap()
}

const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $get (param i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 64) "hello\n")"#;
const SAY: &str = "(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))";
/// Writes all arguments, each with its terminating zero.
const SAY_ARGUMENTS: &str = "(drop (call $sizes (i32.const 8) (i32.const 4)))
    (drop (call $get (i32.const 512) (i32.const 1024))) (i32.store (i32.const 0) (i32.const 1024))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))";

fn module(body: &str) -> String {
    format!(r#"(module {IMPORTS} (func (export "_start") {body}))"#)
}

#[test]
fn privileged_a_module_runs_in_a_container() {
    let Some(bench) = Bench::new() else { return };
    let (exit, stdout, stderr) = bench.run(&module(&format!("{SAY} (call $exit (i32.const 200))")));
    assert_eq!(
        (exit, stdout.as_str(), stderr.as_str()),
        (Exit::Code { code: 200 }, "hello\n", "")
    );
}

#[test]
fn privileged_a_trap_is_its_own_exit() {
    let Some(bench) = Bench::new() else { return };
    let (exit, _, stderr) = bench.run(&module("unreachable"));
    assert_eq!(
        exit,
        Exit::Trapped {
            reason: "wasm `unreachable` instruction executed".into()
        }
    );
    assert!(stderr.contains("wasm backtrace:"), "{stderr}");
    let (exit, _, _) = bench.run(&module("(call $exit (i32.const 134))"));
    assert_eq!(exit, Exit::Code { code: 134 });
}

#[test]
fn privileged_the_engine_is_confined() {
    let Some(bench) = Bench::new() else { return };
    let (mut guest, streams) = bench.create(
        &bench.spec(&["guest"]),
        bench.module(&module(&format!("{SAY} (loop $l (br $l))"))),
    );
    let mut hello = [0; 6];
    File::from(streams.stdout).read_exact(&mut hello).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", guest.pid())).unwrap();
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Threads:\t1",
    ] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", guest.pid()))
        .unwrap()
        .flatten();
    let paths: Vec<_> = open
        .map(|entry| std::fs::read_link(entry.path()).unwrap())
        .collect();
    assert!(
        !paths
            .iter()
            .any(|path| path.starts_with(bench.directory.path().join("layer"))),
        "{paths:?}"
    );
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", guest.pid())).unwrap();
    // The second word holds the permissions; the last is a path, which may hold any letters.
    let permissions = maps.lines().filter_map(|line| line.split(' ').nth(1));
    assert!(
        permissions
            .clone()
            .any(|permissions| permissions.contains('x')),
        "{maps}"
    );
    assert!(
        !permissions
            .clone()
            .any(|permissions| permissions.contains("wx")),
        "{maps}"
    );
    let started = Instant::now();
    guest.signal(Signal::TERM).unwrap();
    assert_eq!(ended(&mut *guest), Exit::Code { code: 143 });
    assert!(
        started.elapsed() < Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
    guest.destroy().unwrap();
}

#[test]
fn privileged_exec_is_a_second_instance() {
    let Some(bench) = Bench::new() else { return };
    let other = wat::parse_str(module(&format!("{SAY} (call $exit (i32.const 7))"))).unwrap();
    std::fs::write(bench.path("layer").join("other.wasm"), other).unwrap();
    // The first instance waits for its end; one with two arguments says them and ends.
    let text = module(&format!(
        "(drop (call $sizes (i32.const 8) (i32.const 12)))
         (if (i32.gt_u (i32.load (i32.const 8)) (i32.const 1)) (then {SAY_ARGUMENTS} (call $exit (i32.const 9))))
         (loop $l (br $l))"
    ));
    let (mut guest, _streams) = bench.create(&bench.spec(&["guest"]), bench.module(&text));
    let process = |arguments: &[&str]| {
        let mut process = bench.spec(arguments).process.unwrap();
        process.env = Some(vec!["PATH=/".into()]);
        process
    };
    // Whoever supervises the guest compiles nothing: it would serve nobody meanwhile.
    let refused = guest.exec(&process(&["/other.wasm"]), Streams::make().0);
    assert_eq!(refused.unwrap_err().class(), Class::Conflict);
    let mut exec = |arguments: &[&str]| {
        let process = process(arguments);
        compile_ahead(&bench.cache(), guest.pid(), &process).unwrap();
        let (stdio, streams) = Streams::make();
        let mut second = guest.exec(&process, stdio).unwrap();
        second.start().unwrap();
        let (stdout, stderr) = streams.read();
        let exit = ended(&mut *second);
        second.destroy().unwrap();
        (exit, stdout, stderr)
    };
    for command in ["/other.wasm", "other.wasm"] {
        assert_eq!(
            exec(&[command]),
            (Exit::Code { code: 7 }, "hello\n".into(), String::new())
        );
    }
    // No such file: arguments for the image's own module.
    assert_eq!(
        exec(&["--flag"]),
        (
            Exit::Code { code: 9 },
            "guest\0--flag\0".into(),
            String::new()
        )
    );
    assert_eq!(
        exec(&["guest", "x"]),
        (Exit::Code { code: 9 }, "guest\0x\0".into(), String::new())
    );
    guest.signal(Signal::KILL).unwrap();
    assert_eq!(
        ended(&mut *guest),
        Exit::Signalled {
            signal: Signal::KILL
        }
    );
    guest.destroy().unwrap();
}

#[test]
fn privileged_files_obey_the_mounts() {
    let Some(bench) = Bench::new() else { return };
    // Creates /out and ends with the errno: 0, or 69 for EROFS.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (data (i32.const 64) "out")
        (func (export "_start") (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 64)
          (i32.const 3) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0)))))"#;
    let (exit, _, _) = bench.run(text);
    assert_eq!(exit, Exit::Code { code: 0 });
    assert!(bench.path("upper").join("out").exists());
    std::fs::remove_file(bench.path("upper").join("out")).unwrap();
    let mut spec = bench.spec(&["guest"]);
    let root = oci::Root {
        readonly: Some(true),
        ..oci::Root::default()
    };
    spec.root = Some(root);
    let (mut guest, streams) = bench.create(&spec, bench.module(text));
    streams.read();
    assert_eq!(ended(&mut *guest), Exit::Code { code: 69 });
    guest.destroy().unwrap();
}
