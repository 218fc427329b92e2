//! What a guest is: which runtime runs it, what surrounds it, and what it is told.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::sandbox;
use crate::{Kind, Sandbox};

/// Docker's fourteen default capabilities as `/proc/PID/status` writes them.
const DEFAULT_CAPABILITIES: &str = "00000000a80425fb";

/// The image decides which runtime runs it; `inspect` says which it was.
pub fn dispatch_needs_no_flag(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "hello");
    let run = sandbox.berth(&["run", "--name", "greets", &twin.image(), "there"]);
    assert_eq!(run.success(), "hello from there");
    let expected = match kind {
        Kind::Native => "linux",
        Kind::Wasm => "wasm",
    };
    assert_eq!(sandbox.inspect("greets", "{{.Runtime}}"), expected);
}

/// Arguments, `-e`, `-w` and `--entrypoint` follow Docker's rules.
pub fn arguments_environment_and_directory_arrive(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "echo");
    let image = twin.image();
    let run = sandbox.berth(&[
        "run",
        "--rm",
        "-e",
        "GREETING=first",
        "-e",
        "GREETING=hi there",
        "-w",
        "/work",
        &image,
        "a b",
        "",
        "c",
    ]);
    insta::allow_duplicates! {
        insta::assert_snapshot!(run, @r"
        exit: 0
        --- stdout ---
        argument 1: a b
        argument 2: 
        argument 3: c
        GREETING: hi there
        terminal: no
        marker: here
        --- stderr ---
        ");
    }
}

/// Own namespaces, own cgroup, capabilities, seccomp, no new privileges.
///
/// The capabilities are the one difference the table names: a wasm guest has none.
pub fn isolation_is_complete(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "sleeps-and-ignores-term");
    sandbox
        .berth(&[
            "run",
            "-d",
            "--name",
            "alone",
            "--network",
            "none",
            &twin.image(),
        ])
        .success();
    sandbox.wait_for_log("alone", "ready");
    let process = process(&sandbox, "alone");
    for namespace in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let of = |process: &Path| std::fs::read_link(process.join("ns").join(namespace));
        let ours = of(Path::new("/proc/self")).expect("our own namespaces are readable");
        let theirs = of(&process).expect("the guest's namespaces are readable");
        assert_ne!(ours, theirs, "the guest shares the {namespace} namespace");
    }
    let capabilities = match kind {
        Kind::Native => DEFAULT_CAPABILITIES,
        Kind::Wasm => "0000000000000000",
    };
    let status = Status::of(&process);
    assert_eq!(status.field("CapEff"), capabilities);
    assert_eq!(status.field("CapPrm"), capabilities);
    assert_eq!(status.field("CapInh"), "0000000000000000", "CVE-2022-29162");
    assert_eq!(status.field("CapAmb"), "0000000000000000");
    assert_eq!(status.field("NoNewPrivs"), "1");
    assert_eq!(status.field("Seccomp"), "2");
    let id = sandbox.inspect("alone", "{{.Id}}");
    let cgroup =
        std::fs::read_to_string(process.join("cgroup")).expect("the guest's cgroup is readable");
    assert!(
        cgroup.contains(&id),
        "the guest is in another cgroup:\n{cgroup}"
    );
    let root = std::fs::read_dir(process.join("root")).expect("the guest's root is readable");
    let names: Vec<_> = root.flatten().map(|entry| entry.file_name()).collect();
    assert!(
        !names.iter().any(|name| name == "boot"),
        "the guest sees another root: {names:?}"
    );
}

/// `--user` is the uid and gid of the guest's process, and an unprivileged one has no capabilities.
pub fn the_user_is_the_process_owner(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "sleeps-and-ignores-term");
    let run = [
        "run",
        "-d",
        "--name",
        "owned",
        "--user",
        "1234:2345",
        "--network",
        "none",
    ];
    sandbox
        .berth(&[&run[..], &[twin.image().as_str()]].concat())
        .success();
    sandbox.wait_for_log("owned", "ready");
    let status = Status::of(&process(&sandbox, "owned"));
    assert_eq!(status.field("Uid"), "1234\t1234\t1234\t1234");
    assert_eq!(status.field("Gid"), "2345\t2345\t2345\t2345");
    assert_eq!(status.field("CapEff"), "0000000000000000");
}

/// `--userns auto`: root inside is nobody outside, the container's files are its own, and a volume is as it is
/// for everybody else.
pub fn users_can_be_its_own(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "writes-file");
    let own = [
        "run",
        "--network",
        "none",
        "--userns",
        "auto",
        "--name",
        "own",
    ];
    let image = twin.image();
    assert_eq!(
        sandbox
            .berth(&[&own[..], &[image.as_str()]].concat())
            .success(),
        "written"
    );
    let map = sandbox.inspect("own", "{{index .HostConfig.IDMappings.UidMap 0}}");
    let id = sandbox.inspect("own", "{{.Id}}");
    let written = sandbox
        .data()
        .join("containers")
        .join(id)
        .join("upper/data/out");
    let owner = std::fs::metadata(written)
        .expect("the guest's file is here")
        .uid();
    assert_eq!(map, format!("0:{owner}:65536"));
    let volume = [
        "run",
        "--rm",
        "--network",
        "none",
        "--userns",
        "auto",
        "-v",
        "kept:/data",
    ];
    assert_eq!(
        sandbox
            .berth(&[&volume[..], &[image.as_str()]].concat())
            .success(),
        "written"
    );
    let kept = sandbox.data().join("volumes/kept/_data/out");
    assert_eq!(std::fs::metadata(kept).expect("the volume has it").uid(), 0);
}

fn process(sandbox: &Sandbox, container: &str) -> std::path::PathBuf {
    let pid = sandbox.inspect(container, "{{.State.Pid}}");
    assert_ne!(pid, "0", "the guest runs");
    Path::new("/proc").join(pid)
}

/// A process's `/proc/PID/status`.
struct Status(String);

impl Status {
    fn of(process: &Path) -> Self {
        let text = std::fs::read_to_string(process.join("status"));
        Self(text.expect("the guest's status is readable"))
    }

    fn field(&self, name: &str) -> &str {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {name} in:\n{}", self.0))
    }
}
