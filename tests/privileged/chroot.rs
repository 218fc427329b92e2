//! berth inside a chroot: its root is a plain directory, not a mount point, which `pivot_root` and
//! changes of propagation both mind.
//!
//! ```text
//! ROOT/            in a mount namespace of the test, so no mount outlives it
//!   bin/ berth/ (the four programs) busybox.tar script   out/NAME, out/NAME.status
//!   proc sys dev   the machine's own, bound
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use berth_testkit::{ImageArchive, Screen, available, programs};

/// What a chroot binds of the machine to be a whole one.
const BOUND: [&str; 3] = ["/proc", "/sys", "/dev"];

#[test]
fn a_chroot_holds_containers() {
    if !ready("a_chroot_holds_containers") {
        return;
    }
    let steps = [
        ("load", "berth load -q -i /busybox.tar"),
        (
            "run",
            "echo piped | berth run -i --rm --network none -m 64m busybox cat",
        ),
        (
            "root",
            "berth run --rm --network none busybox sh -c 'exec 2>&1; ls /; ls /berth; cat /proc/1/comm'",
        ),
        (
            "volume",
            "mkdir /tmp/shared && berth run --rm --network none -v /tmp/shared:/data busybox \
             touch /data/file && ls /tmp/shared",
        ),
        (
            "start",
            "berth run -d --name sleeps --network none busybox sleep 1000",
        ),
        (
            "exec",
            "berth exec sleeps sh -c 'echo second; hostname | wc -c'",
        ),
        (
            "listed",
            "berth ps --format '{{.Names}} {{.Image}} {{.State}}'",
        ),
        ("remove", "berth rm -f sleeps && berth ps -aq"),
        ("left", "ls /run/berth /tmp/data/containers"),
    ];
    insta::assert_snapshot!(inside(&BOUND, &steps), @"
    load (0):
    Loaded image: busybox:latest
    run (0):
    piped
    root (0):
    bin
    dev
    etc
    home
    proc
    root
    sys
    tmp
    var
    ls: /berth: No such file or directory
    cat
    volume (0):
    file
    start (0):
    [ID]
    exec (0):
    second
    13
    listed (0):
    sleeps busybox running
    remove (0):
    sleeps
    left (0):
    /run/berth:

    /tmp/data/containers:
    ");
}

#[test]
fn a_chroot_without_the_kernels_file_systems_is_refused() {
    if !ready("a_chroot_without_the_kernels_file_systems_is_refused") {
        return;
    }
    let steps = [
        ("load", "berth load -q -i /busybox.tar"),
        ("run", "berth run --rm --network none busybox true"),
        ("listed", "berth ps -aq"),
    ];
    insta::assert_snapshot!(inside(&["/proc", "/dev"], &steps), @"
    load (0):
    Loaded image: busybox:latest
    run (125):
    error: cannot run linux containers here
    caused by: no cgroup file system is mounted

    hint: mount -t cgroup2 cgroup2 /sys/fs/cgroup
    listed (0):
    ");
    insta::assert_snapshot!(inside(&["/sys", "/dev"], &steps), @"
    load (1):
    error: cannot find berth's own programs
    caused by: /proc/self/exe: no /proc/self/exe available. Is /proc mounted?

    hint: mount -t proc proc /proc
    run (125):
    error: cannot find berth's own programs
    caused by: /proc/self/exe: no /proc/self/exe available. Is /proc mounted?

    hint: mount -t proc proc /proc
    listed (1):
    error: cannot find berth's own programs
    caused by: /proc/self/exe: no /proc/self/exe available. Is /proc mounted?

    hint: mount -t proc proc /proc
    ");
}

fn ready(test: &str) -> bool {
    ["/bin/busybox", "unshare", "chroot"]
        .iter()
        .all(|program| available(test, program))
}

/// Takes the steps in a chroot with these directories of the machine, and tells what they said.
fn inside(bound: &[&str], steps: &[(&str, &str)]) -> String {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    prepare(root, steps);
    let binds: String = bound.iter().fold(String::new(), |mut text, path| {
        writeln!(text, "mount --rbind {path} {}{path}", root.display()).unwrap();
        text
    });
    let script = format!("{binds}\nexec chroot {} /script", root.display());
    let output = Command::new("timeout")
        .args(["--kill-after=5", "60"])
        .args(["unshare", "--mount", "--propagation=private"])
        .args(["sh", "-ec", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut report = String::from_utf8_lossy(&output.stderr).into_owned();
    let out = |name: &str| std::fs::read_to_string(root.join("out").join(name)).unwrap_or_default();
    for (name, _) in steps {
        let status = out(&format!("{name}.status"));
        let said = out(name);
        writeln!(report, "{name} ({}):", status.trim()).unwrap();
        report.push_str(&said);
    }
    let screen = Screen {
        status: 0,
        stdout: report,
        stderr: String::new(),
    };
    screen.hide_ids().stdout
}

/// Makes the chroot's root.
fn prepare(root: &Path, steps: &[(&str, &str)]) {
    for folder in [
        "bin", "berth", "dev", "etc", "out", "proc", "run", "sys", "tmp",
    ] {
        std::fs::create_dir(root.join(folder)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "ls", "mkdir"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    for program in ["berth", "berth-monitor", "berth-wasm", "berth-wasmc"] {
        std::fs::copy(programs().join(program), root.join("berth").join(program)).unwrap();
    }
    std::fs::write(root.join("busybox.tar"), ImageArchive::busybox().bytes()).unwrap();
    let mut script = String::from(
        "#!/bin/sh\nexport PATH=/bin HOME=/\n\
         berth() { /berth/berth --root /tmp/data --runroot /run/berth \"$@\"; }\n\
         trap 'berth rm -f $(berth ps -aq); exit 1' TERM\n",
    );
    for (name, command) in steps {
        writeln!(
            script,
            "{{ {command}; }} > /out/{name} 2>&1; echo $? > /out/{name}.status"
        )
        .unwrap();
    }
    let file = root.join("script");
    std::fs::write(&file, script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, executable).unwrap();
}
