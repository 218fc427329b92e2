//! Pure cgroup v2 without systemd: berth inside user-mode Linux, a kernel that is one process.
//!
//! ```text
//! ROOT/            the guest kernel's root, seen through hostfs, so what it writes is here at once
//!   bin/ lib/modules/ berth/ (the four programs)   busybox.tar   script   out/NAME, out/NAME.status
//! ```
//!
//! That kernel has one processor and no `inet` tables in nftables: networks are not tested here.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use berth_testkit::{ImageArchive, available, programs, skip};

/// Each step's name and command; `berth` stands for berth with directories on a tmpfs.
const STEPS: [(&str, &str); 16] = [
    ("load", "berth load -q -i /busybox.tar"),
    (
        "runs",
        "berth run --rm --network none busybox echo on cgroup v2",
    ),
    (
        "inside",
        "berth run --rm --network none busybox cat /proc/self/cgroup",
    ),
    (
        "limits",
        "berth run --rm --network none -m 64m --memory-swap 64m --cpus 0.5 --pids-limit 20 busybox \
         sh -c 'cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max pids.max'",
    ),
    (
        "cpuset",
        "berth run --rm --network none --cpuset-cpus 0 busybox true",
    ),
    ("network", "berth run --rm busybox true"),
    ("links", "ls /sys/class/net"),
    (
        "memory",
        "berth run --name eats --network none -m 32m --memory-swap 32m busybox \
         sh -c 'x=y; while :; do x=$x$x; done'",
    ),
    (
        "killed",
        "berth inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' eats",
    ),
    (
        "device",
        "berth run --rm --network none busybox sh -c 'mknod /tmp/d b 7 0 && cat /tmp/d'",
    ),
    (
        "start",
        "berth run -d --name sleeps --network none busybox sleep 1000",
    ),
    ("pause", "berth pause sleeps"),
    ("paused", "berth ps -a --format '{{.Names}} {{.State}}'"),
    ("unpause", "berth unpause sleeps"),
    ("exec", "berth exec sleeps echo second"),
    (
        "remove",
        "berth pause sleeps && berth rm -f sleeps eats && berth ps -aq && \
         find /sys/fs/cgroup/berth -mindepth 1 -type d",
    ),
];

#[test]
fn pure_cgroup2_holds_every_limit() {
    let test = "pure_cgroup2_holds_every_limit";
    if !available(test, "linux.uml") || !available(test, "/bin/busybox") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    prepare(root);
    let booted = boot(root);
    let out = |name: &str| std::fs::read_to_string(root.join("out").join(name)).unwrap_or_default();
    let mut report = String::new();
    for (name, _) in STEPS {
        let status = out(&format!("{name}.status"));
        writeln!(
            report,
            "{name} ({}):\n{}",
            status.trim(),
            out(name).trim_end()
        )
        .unwrap();
    }
    if !report.contains("runs (0)") && booted.contains("ptrace") {
        skip(
            test,
            "this kernel does not let user-mode Linux trace its processes",
        );
        return;
    }
    assert!(
        out("remove.status").trim() == "0",
        "the script did not reach its end:\n{booted}\n{report}"
    );
    let hidden = berth_testkit::Screen {
        status: 0,
        stdout: report,
        stderr: String::new(),
    }
    .hide_ids();
    insta::assert_snapshot!(hidden.stdout, @"
    load (0):
    Loaded image: busybox:latest
    runs (0):
    on cgroup v2
    inside (0):
    0::/
    limits (0):
    67108864
    0
    50000 100000
    20
    cpuset (125):
    error: cannot apply the CPU set
    caused by: the host's cgroups have no cpuset controller

    hint: leave the limit out, or enable the controller on the host
    network (125):
    error: cannot set up the packet filter of the bridge network
    caused by: Protocol not supported

    hint: use --network none or --network host
    links (0):
    lo
    memory (137):

    killed (0):
    true 137
    device (1):
    cat: can't open '/tmp/d': Operation not permitted
    start (0):
    [ID]
    pause (0):
    sleeps
    paused (0):
    sleeps paused
    eats exited
    unpause (0):
    sleeps
    exec (0):
    second
    remove (0):
    sleeps
    sleeps
    eats
    ");
}

/// Makes the guest kernel's root.
fn prepare(root: &Path) {
    for folder in [
        "bin", "berth", "dev", "etc", "lib", "out", "proc", "run", "sys", "tmp",
    ] {
        std::fs::create_dir(root.join(folder)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "mount", "modprobe", "mkdir", "sleep", "ls", "find"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    for program in ["berth", "berth-monitor", "berth-wasm", "berth-wasmc"] {
        std::fs::copy(programs().join(program), root.join("berth").join(program)).unwrap();
    }
    std::fs::write(root.join("busybox.tar"), ImageArchive::busybox().bytes()).unwrap();
    shell(&format!(
        "cp -r /usr/lib/uml/modules {}/lib/modules",
        root.display()
    ));
    shell(&format!(
        "cd {0} && for v in lib/modules/*; do /bin/busybox depmod -b {0} ${{v##*/}}; done",
        root.display()
    ));
    let mut script = String::from(
        "#!/bin/sh\nexport PATH=/bin HOME=/\n\
         mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev\n\
         mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /run\n\
         mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup\n\
         modprobe overlay\n\
         berth() { /berth/berth --root /tmp/data --runroot /run/berth \"$@\"; }\n",
    );
    for (name, command) in STEPS {
        writeln!(
            script,
            "{{ {command}; }} > /out/{name} 2>&1; echo $? > /out/{name}.status"
        )
        .unwrap();
    }
    script.push_str("echo o > /proc/sysrq-trigger\nsleep 100\n");
    std::fs::write(root.join("script"), script).unwrap();
    shell(&format!("chmod +x {}/script", root.display()));
}

/// Runs the guest kernel to its end and returns what it said.
fn boot(root: &Path) -> String {
    let output = Command::new("timeout")
        .args([
            "--kill-after=5",
            "240",
            "linux.uml",
            "mem=768M",
            "root=/dev/root",
        ])
        .args([
            "rootfstype=hostfs",
            "rw",
            "init=/script",
            "con=null",
            "con0=fd:0,fd:1",
            "quiet",
        ])
        .arg(format!("rootflags={}", root.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn shell(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(status.success(), "{script}");
}
