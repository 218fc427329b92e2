//! How long create, start, wait and destroy take for `/bin/true`: `start ROOTFS WORK [RUNS]`.
//!
//! ROOTFS is a directory with a static `/bin/true`, WORK an empty one. Compare with the kernel's own
//! floor on the same machine in the same minute: these machines are noisy.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program for developers"
)]

use std::path::PathBuf;
use std::time::Instant;

use berth_contract::oci::{Linux, LinuxCapabilities, LinuxNamespaceType, Process, Root, Spec};
use berth_contract::{ContainerId, Program, Rootfs, Runtime as _, Slot, Stdio};
use berth_linux_runtime::{LinuxRuntime, defaults};

fn spec(network: bool) -> Spec {
    let capabilities = defaults::capabilities();
    let sets = LinuxCapabilities {
        bounding: Some(capabilities.clone()),
        effective: Some(capabilities.clone()),
        permitted: Some(capabilities.clone()),
        ..LinuxCapabilities::default()
    };
    let process = Process {
        args: Some(vec!["/bin/true".into()]),
        env: Some(vec!["PATH=/bin".into(), "HOME=/".into()]),
        cwd: "/".into(),
        capabilities: Some(sets),
        ..Process::default()
    };
    let mut linux = Linux::default();
    let namespaces = defaults::namespaces();
    let wanted = |kind| network || kind != LinuxNamespaceType::Network;
    linux.namespaces = Some(
        namespaces
            .into_iter()
            .filter(|one| wanted(one.kind))
            .collect(),
    );
    linux.masked_paths = Some(defaults::masked_paths());
    linux.readonly_paths = Some(defaults::read_only_paths());
    linux.resources = None;
    linux.seccomp = Some(defaults::seccomp(&capabilities));
    linux.cgroups_path = Some("berth-bench/start".into());
    let root = Root {
        readonly: Some(false),
        ..Root::default()
    };
    Spec {
        process: Some(process),
        hostname: Some("bench".into()),
        mounts: Some(defaults::mounts(64 << 20)),
        linux: Some(linux),
        root: Some(root),
        ..Spec::default()
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rootfs = PathBuf::from(arguments.next().unwrap());
    let work = PathBuf::from(arguments.next().unwrap());
    let runs: usize = arguments.next().map_or(200, |text| text.parse().unwrap());
    let runtime = LinuxRuntime::new();
    let spec = spec(true);
    let mut parts: [Vec<u128>; 5] = Default::default();
    for run in 0..runs {
        let base = work.join(format!("run{run}"));
        std::fs::create_dir_all(base.join("upper")).unwrap();
        std::fs::create_dir_all(base.join("work")).unwrap();
        let null = || berth_sys::fd::null().unwrap();
        let slot = Slot {
            id: ContainerId::from_random([1; 32]),
            rootfs: Rootfs::Overlay {
                lowers: vec![rootfs.clone()],
                upper: base.join("upper"),
                work: base.join("work"),
                volatile: true,
            },
            stdio: Stdio::Files {
                stdin: null(),
                stdout: null(),
                stderr: null(),
            },
            program: Program::Arguments,
            inherited: Vec::new(),
            module: None,
        };
        let began = Instant::now();
        let mut guest = runtime.create(&spec, slot).unwrap();
        let created = began.elapsed();
        guest.start().unwrap();
        let started = began.elapsed();
        berth_sys::pidfd::wait_ended(guest.pidfd(), None).unwrap();
        let ended = began.elapsed();
        guest.reap().unwrap();
        guest.destroy().unwrap();
        let destroyed = began.elapsed();
        let times = [
            created,
            started - created,
            ended - started,
            destroyed - ended,
            destroyed,
        ];
        for (part, time) in parts.iter_mut().zip(times) {
            part.push(time.as_micros());
        }
        std::fs::remove_dir_all(base).unwrap();
    }
    for (name, mut times) in ["create", "start", "wait", "destroy", "all"]
        .into_iter()
        .zip(parts)
    {
        times.sort_unstable();
        println!(
            "{name:8} median {:6} us   min {:6} us",
            times[times.len() / 2],
            times[0]
        );
    }
}
