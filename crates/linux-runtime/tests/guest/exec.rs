//! Second processes, and guests that share namespaces.

use std::fs::File;
use std::io::{Read as _, Write as _};

use crate::support::{self, Bench};
use berth_contract::oci::{self, LinuxNamespaceType};
use berth_contract::{Class, Exit, Program, Runtime as _, Signal, Stdio, TerminalSize};

#[test]
fn privileged_exec_joins_and_has_its_own_end() {
    let Some(bench) = Bench::new("exec") else {
        return;
    };
    let spec = bench.spec(&[
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done",
    ]);
    let (slot, streams) = bench.slot().into_parts();
    let mut guest = bench.runtime().create(&spec, slot).unwrap();
    guest.start().unwrap();
    streams.await_line("up");
    let script = "echo $$; hostname; ls /proc | grep -c '^[0-9]'; ls /proc/self/fd | wc -l; \
        grep -E '^(CapInh|CapEff|Seccomp:)' /proc/self/status; id -u; exit 5";
    for user in ["", "web"] {
        let process = support::exec_process(&spec, &["sh", "-c", script], user);
        let outcome = support::exec(guest.as_mut(), &process).unwrap();
        assert_eq!(outcome.exit, Exit::Code { code: 5 }, "{outcome:?}");
        assert!(outcome.stdout.contains("\nguest\n"), "{outcome:?}");
        assert!(outcome.stdout.contains("Seccomp:\t2"), "{outcome:?}");
        let effective = if user.is_empty() {
            "a80425fb"
        } else {
            "00000000"
        };
        assert!(
            outcome
                .stdout
                .contains(&format!("CapEff:\t00000000{effective}")),
            "{outcome:?}"
        );
    }
    for (program, class) in [
        ("nosuch", Class::CommandNotFound),
        ("/etc", Class::CannotInvoke),
    ] {
        let process = support::exec_process(&spec, &[program], "");
        let report = support::exec(guest.as_mut(), &process).unwrap_err();
        assert_eq!(report.class, class, "{report:?}");
    }
    assert_eq!(guest.reap().unwrap(), None);
    guest.signal(Signal::TERM).unwrap();
    assert_eq!(support::finish(guest), Exit::Code { code: 9 });
}

/// Puts a controller of cgroup2 back to where it was.
struct Enabled(std::path::PathBuf);

impl Drop for Enabled {
    fn drop(&mut self) {
        for place in ["berth-test", ""] {
            let file = self.0.join(place).join("cgroup.subtree_control");
            drop(std::fs::write(file, "-hugetlb"));
        }
    }
}

/// As systemd does: its first process moves into a cgroup beneath, so that it can give limits to others.
#[test]
fn privileged_exec_into_a_guest_that_manages_its_cgroups() {
    let Some(bench) = Bench::new("exec-cgroup") else {
        return;
    };
    let mounts = [
        ("/sys/fs/cgroup", "."),
        ("/sys/fs/cgroup/unified", "unified"),
    ];
    let offers = |place: &str| {
        std::fs::read_to_string(format!("{place}/cgroup.controllers"))
            .is_ok_and(|controllers| controllers.contains("hugetlb"))
    };
    let Some((host, inside)) = mounts.into_iter().find(|(place, _)| offers(place)) else {
        eprintln!("SKIPPED: this host has no cgroup2 with a controller");
        return;
    };
    let script = format!(
        "cd /sys/fs/cgroup/{inside} && mkdir -p a/init && echo 1 > a/init/cgroup.procs && \
         echo +hugetlb > cgroup.subtree_control && echo divided; exec sleep 100"
    );
    let mut spec = bench.spec(&["sh", "-c", &script]);
    for mount in spec.mounts.as_mut().unwrap() {
        if mount.kind.as_deref() == Some("cgroup") {
            mount
                .options
                .as_mut()
                .unwrap()
                .retain(|option| option != "ro");
        }
    }
    let limits = [("hugetlb.2MB.max".to_owned(), "max".to_owned())];
    support::linux(&mut spec, |linux| {
        linux.resources = Some(oci::LinuxResources {
            unified: Some(limits.into()),
            ..oci::LinuxResources::default()
        });
    });
    let enabled = Enabled(host.into());
    let (slot, streams) = bench.slot().into_parts();
    let mut guest = bench.runtime().create(&spec, slot).unwrap();
    guest.start().unwrap();
    streams.await_line("divided");
    let process = support::exec_process(&spec, &["grep", "^0:", "/proc/self/cgroup"], "");
    let outcome = support::exec(guest.as_mut(), &process).unwrap();
    assert_eq!(outcome.stdout, "0::/a/init\n");
    guest.destroy().unwrap();
    drop(enabled);
}

#[test]
fn privileged_exec_runs_programs_from_outside() {
    let Some(bench) = Bench::new("exec-file") else {
        return;
    };
    let spec = bench.spec(&["sleep", "100"]);
    let mut guest = bench.runtime().create(&spec, bench.slot().slot).unwrap();
    guest.start().unwrap();
    let (reader, writer) = berth_sys::fd::pipe().unwrap();
    File::from(writer).write_all(b"given").unwrap();
    let (out_reader, stdout) = berth_sys::fd::pipe().unwrap();
    let stdio = Stdio::Files {
        stdin: berth_sys::fd::null().unwrap(),
        stdout,
        stderr: berth_sys::fd::null().unwrap(),
    };
    let process = support::exec_process(&spec, &["cat", "/proc/self/fd/7"], "");
    let program = Program::File(File::open("/bin/busybox").unwrap().into());
    let inherited = vec![berth_contract::Inherited {
        file: reader,
        number: 7,
    }];
    let mut second = guest
        .exec_program(&process, stdio, program, inherited)
        .unwrap();
    second.start().unwrap();
    let mut text = String::new();
    File::from(out_reader).read_to_string(&mut text).unwrap();
    assert_eq!(text, "given");
    assert_eq!(support::finish(second), Exit::Code { code: 0 });
    guest.destroy().unwrap();
}

#[test]
fn privileged_exec_has_a_terminal_of_the_container() {
    let Some(bench) = Bench::new("exec-tty") else {
        return;
    };
    let spec = bench.spec(&["sleep", "100"]);
    let mut guest = bench.runtime().create(&spec, bench.slot().slot).unwrap();
    guest.start().unwrap();
    let process = support::exec_process(&spec, &["sh", "-c", "tty; stty size"], "");
    let size = TerminalSize {
        rows: 20,
        columns: 70,
    };
    let mut second = guest.exec(&process, Stdio::Terminal(size)).unwrap();
    let master = second.terminal().unwrap().unwrap();
    second.start().unwrap();
    let mut text = Vec::new();
    drop(File::from(master).read_to_end(&mut text));
    assert_eq!(String::from_utf8_lossy(&text), "/dev/pts/0\r\n20 70\r\n");
    support::finish(second);
    guest.destroy().unwrap();
}

#[test]
fn privileged_joined_namespaces_are_the_others() {
    let Some(bench) = Bench::new("join") else {
        return;
    };
    let spec = bench.spec(&["sleep", "100"]);
    let mut first = bench.runtime().create(&spec, bench.slot().slot).unwrap();
    first.start().unwrap();
    let mut spec = bench.spec(&["sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/pid; ls /proc | grep -c '^[0-9]'; kill 1"]);
    let kinds = [
        (LinuxNamespaceType::Network, "net"),
        (LinuxNamespaceType::Pid, "pid"),
        (LinuxNamespaceType::Ipc, "ipc"),
    ];
    support::join(&mut spec, first.pid(), &kinds);
    let other = bench.another("join-second");
    let outcome = other.run_spec(spec);
    for kind in ["net", "pid"] {
        let link = std::fs::read_link(format!("/proc/{}/ns/{kind}", first.pid())).unwrap();
        assert!(
            outcome.stdout.contains(link.to_str().unwrap()),
            "{outcome:?}"
        );
    }
    first.destroy().unwrap();
}
