//! A real Debian root, made with debootstrap: a terminal one can work in, and programs that look around.

use berth_testkit::{Sandbox, Terminal};

/// A command that says when it works and when it goes on; its echo on the terminal says neither.
const JOB: &str = "python3 -c 'import os, signal, time; \
     say = lambda *_: os.write(1, b\"aw\" b\"ake\\n\"); \
     signal.signal(signal.SIGCONT, say); say(); time.sleep(1000)'";

fn sandbox(test: &str) -> Option<Sandbox> {
    let tar = berth_testkit::debian_root(test)?;
    let sandbox = Sandbox::new();
    sandbox
        .berth(&["import", tar.to_str()?, "debian"])
        .success();
    Some(sandbox)
}

#[test]
fn a_debian_shell_is_usable() {
    let Some(sandbox) = sandbox("a_debian_shell_is_usable") else {
        return;
    };
    let run = ["run", "-it", "--rm", "--hostname", "box", "debian", "bash"];
    let mut terminal = Terminal::start(&sandbox.command(&run));
    terminal.wait_for("root@box:/# ");
    terminal.send("sleep 1000 &\r");
    terminal.wait_for("[1] ");
    terminal.send("jobs; kill %1; wait; echo ju''st so\r");
    let jobs = terminal.wait_for("just so");
    assert!(
        jobs.contains("Running") && jobs.contains("Terminated"),
        "{jobs}"
    );
    terminal.send("ls --color=always -d /usr\r");
    terminal.wait_for("\x1b[01;34m/usr");
    // Each key is typed at the program's own word that it has the terminal: before, bash would take it
    // as a letter of the next line.
    terminal.send(JOB);
    terminal.send("\r");
    terminal.wait_for("awake");
    terminal.send("\x1a");
    terminal.wait_for("Stopped");
    terminal.wait_for("root@box:/# ");
    terminal.send("fg\r");
    terminal.wait_for("awake");
    terminal.send("\x03");
    terminal.wait_for("KeyboardInterrupt");
    terminal.wait_for("root@box:/# ");
    terminal.send("exit 6\r");
    assert_eq!(terminal.finish().0, 6);
}

#[test]
fn programs_see_a_whole_machine_of_their_own() {
    let Some(sandbox) = sandbox("programs_see_a_whole_machine_of_their_own") else {
        return;
    };
    let name = [
        "run",
        "-d",
        "--name",
        "box",
        "--hostname",
        "box",
        "-m",
        "256m",
        "debian",
        "sleep",
        "1000",
    ];
    sandbox.berth(&name).success();
    let inside = |script: &str| {
        sandbox
            .berth(&["exec", "box", "sh", "-c", script])
            .success()
    };
    assert!(inside("apt-get --version").starts_with("apt "));
    assert_eq!(
        inside("python3 -c 'import os; print(6 * 7, os.getpid() < 100)'"),
        "42 True"
    );
    let processes = inside("ps aux");
    assert!(
        processes.lines().count() <= 4,
        "only its own processes:\n{processes}"
    );
    assert!(processes.contains("sleep 1000"), "{processes}");
    assert_eq!(inside("id"), "uid=0(root) gid=0(root) groups=0(root)");
    assert_eq!(inside("hostname; cat /etc/hostname"), "box\nbox");
    let mounts = inside("mount");
    for expected in [
        "overlay on / type overlay (rw",
        "proc on /proc type proc (rw,nosuid,nodev,noexec",
        "on /dev type tmpfs (rw,nosuid",
        "on /dev/pts type devpts (rw,nosuid,noexec",
        "on /sys type sysfs (ro,nosuid,nodev,noexec",
        "on /dev/shm type tmpfs (rw,nosuid,nodev,noexec",
        "on /dev/mqueue type mqueue (rw,nosuid,nodev,noexec",
    ] {
        assert!(mounts.contains(expected), "no {expected:?} in:\n{mounts}");
    }
    let cgroup = inside("cat /proc/self/cgroup");
    assert!(
        cgroup.lines().all(|line| line.ends_with(":/")),
        "the cgroup's own root:\n{cgroup}"
    );
    assert!(inside("df /").contains("overlay"));
    assert!(
        inside("getent hosts box").contains("box"),
        "its own name resolves"
    );
}
