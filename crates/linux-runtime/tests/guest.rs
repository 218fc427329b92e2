//! Real guests on a busybox root: the runtime's promises, kept by the kernel.
//!
//! These need root and busybox; without either they say so and pass.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says aloud that it is skipped"
)]

mod support;

use std::fs::File;
use std::io::{Read as _, Write as _};

use berth_contract::oci::{Capability, LinuxNamespaceType, PosixRlimit, PosixRlimitType};
use berth_contract::{Class, Exit, Program, Runtime as _, Signal, Stdio, TerminalSize};
use berth_linux_runtime::{ANNOTATION_CLAMP, ANNOTATION_INIT, defaults};
use support::{Bench, args};

#[test]
fn privileged_exit_codes_and_output_arrive() {
    let Some(bench) = Bench::new("exit") else {
        return;
    };
    let outcome = bench.shell("echo out; echo err >&2; exit 3");
    assert_eq!(outcome.exit, Exit::Code { code: 3 });
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(
        bench.shell("kill -9 $$").exit,
        Exit::Code { code: 0 },
        "pid 1 ignores its own kill"
    );
    assert_eq!(bench.run(&["true"]).exit, Exit::Code { code: 0 });
    assert_eq!(bench.run(&["/bin/false"]).exit, Exit::Code { code: 1 });
}

#[test]
fn privileged_programs_that_cannot_run_say_why() {
    let Some(bench) = Bench::new("errors") else {
        return;
    };
    std::fs::write(bench.layer().join("plain"), "not a program").unwrap();
    std::fs::write(bench.layer().join("bad"), "\x00\x01\x02\x03 not an elf").unwrap();
    std::fs::write(bench.layer().join("bin/script"), "#!/no/interpreter\n").unwrap();
    support::make_executable(&bench.layer().join("bad"));
    support::make_executable(&bench.layer().join("bin/script"));
    for (program, class) in [
        ("nosuch", Class::CommandNotFound),
        ("/no/such", Class::CommandNotFound),
        ("/bin/script", Class::CommandNotFound),
        ("/plain", Class::CannotInvoke),
        ("/etc", Class::CannotInvoke),
        ("/bad", Class::CannotInvoke),
    ] {
        let error = bench.fails(bench.spec(&[program]));
        assert_eq!(error.class, class, "{program}: {error:?}");
        assert!(!error.causes.is_empty(), "{error:?}");
    }
}

#[test]
fn privileged_identity_is_what_was_asked_for() {
    let Some(bench) = Bench::new("identity") else {
        return;
    };
    let script = "pwd; id -u; id -g; id -G; echo $HOME $WORD; hostname; umask; \
        grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status";
    let root = bench.shell(script).stdout;
    assert!(
        root.starts_with("/\n0\n0\n0\n/root\nguest\n0022\n"),
        "{root}"
    );
    for line in [
        "CapInh:\t0000000000000000",
        "CapBnd:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t0",
        "Seccomp:\t2",
    ] {
        assert!(root.contains(line), "{line} in {root}");
    }
    let mut spec = bench.spec(&["sh", "-c", script]);
    support::process(&mut spec, |process| {
        process.cwd = "/new/work".into();
        process.no_new_privileges = Some(true);
        let mut user = process.user.clone();
        user.username = Some("web".into());
        process.user = user;
        process.env = Some(args(&["PATH=/bin", "WORD=x"]));
    });
    let user = bench.run_spec(spec).stdout;
    assert!(
        user.starts_with("/new/work\n33\n34\n34 100\n/var/www x\nguest\n"),
        "{user}"
    );
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t00000000a80425fb",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(user.contains(line), "{line} in {user}");
    }
}

#[test]
fn privileged_kernel_files_are_hidden_or_read_only() {
    let Some(bench) = Bench::new("masks") else {
        return;
    };
    let script = "wc -c </proc/timer_list; wc -c </proc/interrupts; ls /proc/acpi /sys/firmware | wc -w; \
        echo x >/proc/sys/kernel/hostname; mkdir /sys/x; \
        touch /sys/fs/cgroup/x; ls -l /dev/null /dev/fd; ls /dev/pts /dev/mqueue; echo x >/dev/null; \
        ls /proc | grep -c '^[0-9]'; cat /proc/self/cgroup | sort -u -t: -k3,3";
    let outcome = bench.shell(script);
    assert!(outcome.stdout.starts_with("0\n0\n"), "{}", outcome.stdout);
    assert_eq!(
        outcome.stderr.matches("Read-only file system").count(),
        3,
        "{}",
        outcome.stderr
    );
    assert!(outcome.stdout.contains("crw-rw-rw-"), "{}", outcome.stdout);
    assert!(
        outcome.stdout.trim_end().ends_with(":/"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn privileged_a_read_only_root_is_read_only() {
    let Some(bench) = Bench::new("readonly") else {
        return;
    };
    let mut spec = bench.spec(&["sh", "-c", "touch /x; touch /tmp/y && echo ok"]);
    support::read_only_root(&mut spec);
    support::add_mount(&mut spec, "/tmp", "tmpfs", "tmpfs", &["nosuid", "size=1m"]);
    let outcome = bench.run_spec(spec);
    assert!(
        outcome.stderr.contains("Read-only file system"),
        "{outcome:?}"
    );
    assert_eq!(outcome.stdout, "ok\n");
}

#[test]
fn privileged_binds_and_tmpfs_do_what_their_options_say() {
    let Some(bench) = Bench::new("binds") else {
        return;
    };
    let source = bench.scratch().join("source");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    std::fs::write(source.join("file"), "content").unwrap();
    let source = source.to_str().unwrap().to_owned();
    let mut spec = bench.spec(&["sh", "-c",
        "cat /a/b/file; touch /a/b/new && echo made; touch /ro/new; cat /etc/one; ls /etc/conf; mount | grep -c /ro"]);
    support::add_mount(&mut spec, "/a/b", "bind", &source, &["rbind", "rprivate"]);
    support::add_mount(&mut spec, "/ro", "bind", &source, &["rbind", "ro"]);
    support::add_mount(
        &mut spec,
        "/etc/one",
        "bind",
        &format!("{source}/file"),
        &["bind", "rro"],
    );
    support::add_mount(&mut spec, "/etc/conf", "tmpfs", "tmpfs", &["tmpcopyup"]);
    std::fs::create_dir_all(bench.layer().join("etc/conf")).unwrap();
    std::fs::write(bench.layer().join("etc/conf/hidden"), "x").unwrap();
    let outcome = bench.run_spec(spec);
    assert_eq!(
        outcome.stdout, "contentmade\ncontenthidden\n1\n",
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("/ro/new: Read-only"), "{outcome:?}");
}

#[test]
fn privileged_images_cannot_make_us_write_outside() {
    for name in ["dev", "proc", "sys"] {
        let Some(bench) = Bench::new(&format!("link-{name}")) else {
            return;
        };
        let outside = bench.scratch().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::remove_dir(bench.layer().join(name)).unwrap();
        std::os::unix::fs::symlink(&outside, bench.layer().join(name)).unwrap();
        let error = bench.fails(bench.spec(&["true"]));
        assert!(
            std::fs::read_dir(&outside).unwrap().next().is_none(),
            "{name}: {error:?}"
        );
        std::fs::remove_file(bench.layer().join(name)).unwrap();
    }
    let Some(bench) = Bench::new("link-etc") else {
        return;
    };
    let outside = bench.scratch().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(bench.scratch().join("hosts"), "hosts").unwrap();
    std::os::unix::fs::symlink(&outside, bench.layer().join("link")).unwrap();
    std::os::unix::fs::symlink("/run/resolv.conf", bench.layer().join("etc/resolv.conf")).unwrap();
    let mut spec = bench.spec(&["sh", "-c", "cat /etc/resolv.conf"]);
    let hosts = bench.scratch().join("hosts");
    support::add_mount(
        &mut spec,
        "/etc/resolv.conf",
        "bind",
        hosts.to_str().unwrap(),
        &["bind"],
    );
    assert_eq!(bench.run_spec(spec).stdout, "hosts");
    let mut spec = bench.spec(&["true"]);
    support::add_mount(&mut spec, "/link/deep/er", "tmpfs", "tmpfs", &[]);
    drop(bench.try_run(spec));
    assert!(std::fs::read_dir(&outside).unwrap().next().is_none());
}

#[test]
fn privileged_working_directories_cannot_lead_out() {
    let Some(bench) = Bench::new("cwd") else {
        return;
    };
    for number in 0..20 {
        let mut spec = bench.spec(&["pwd"]);
        let path = format!("/proc/self/fd/{number}");
        support::process(&mut spec, |process| {
            process.cwd = path.into();
        });
        if let Ok(outcome) = bench.try_run(spec) {
            assert!(outcome.stdout.starts_with('/'), "{number}: {outcome:?}");
            assert!(
                outcome.exit != Exit::Code { code: 0 } || outcome.stdout.starts_with("/proc"),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn privileged_no_file_of_the_supervisor_is_left_open() {
    let Some(bench) = Bench::new("files") else {
        return;
    };
    let listed = bench.shell("ls /proc/self/fd").stdout;
    // The listing itself has one open.
    assert_eq!(
        listed.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"],
        "{listed}"
    );
}

#[test]
fn privileged_inherited_files_and_programs_arrive() {
    let Some(bench) = Bench::new("inherit") else {
        return;
    };
    let (reader, writer) = berth_sys::fd::pipe().unwrap();
    File::from(writer).write_all(b"through five").unwrap();
    let spec = bench.spec(&["cat", "/proc/self/fd/5"]);
    let program = File::open("/bin/busybox").unwrap();
    let mut slot = bench.slot();
    slot.program = Program::File(program.into());
    slot.inherited = vec![berth_contract::Inherited {
        file: reader,
        number: 5,
    }];
    let outcome = bench.run_slot(&spec, slot).unwrap();
    assert_eq!(outcome.stdout, "through five", "{outcome:?}");
}

#[test]
fn privileged_terminals_are_terminals() {
    let Some(bench) = Bench::new("terminal") else {
        return;
    };
    let spec = bench.spec(&[
        "sh",
        "-c",
        "tty; stty size; test -t 0 && test -c /dev/console && echo yes; ps -o tty | tail -1",
    ]);
    let mut slot = bench.slot().slot;
    slot.stdio = Stdio::Terminal(TerminalSize {
        rows: 33,
        columns: 111,
    });
    let mut guest = bench.runtime().create(&spec, slot).unwrap();
    let master = guest.terminal().unwrap().unwrap();
    guest.start().unwrap();
    let mut text = Vec::new();
    // The last slave's end is an error of the master, not an end of file.
    drop(File::from(master).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    assert!(text.starts_with("/dev/pts/0\n33 111\nyes\n"), "{text}");
    support::finish(guest);
}

#[test]
fn privileged_a_terminal_works_below_our_own_init() {
    let Some(bench) = Bench::new("terminal-init") else {
        return;
    };
    let mut spec = bench.spec(&["sh", "-c", "tty; echo $$; ps -o tty | tail -1; exit 3"]);
    support::annotate(&mut spec, ANNOTATION_INIT, "true");
    let mut slot = bench.slot().slot;
    slot.stdio = Stdio::Terminal(TerminalSize {
        rows: 33,
        columns: 111,
    });
    let mut guest = bench.runtime().create(&spec, slot).unwrap();
    let master = guest.terminal().unwrap().unwrap();
    guest.start().unwrap();
    let mut text = Vec::new();
    drop(File::from(master).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    assert!(text.starts_with("/dev/pts/0\n2\n136,0\n"), "{text}");
    assert_eq!(support::finish(guest), Exit::Code { code: 3 });
}

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
fn privileged_our_own_init_forwards_and_reaps() {
    let Some(bench) = Bench::new("init") else {
        return;
    };
    let mut spec = bench.spec(&["sh", "-c", "echo $$; exit 7"]);
    support::annotate(&mut spec, ANNOTATION_INIT, "true");
    let outcome = bench.run_spec(spec.clone());
    assert_eq!(
        (outcome.stdout.as_str(), outcome.exit),
        ("2\n", Exit::Code { code: 7 })
    );
    support::process(&mut spec, |process| {
        process.args = Some(args(&[
            "sh",
            "-c",
            "trap 'exit 4' TERM; (sleep 0.01 &) ; cat /proc/1/exe; readlink /proc/1/exe; echo up; while :; do sleep 0.02; done",
        ]));
    });
    let (slot, streams) = bench.slot().into_parts();
    let mut guest = bench.runtime().create(&spec, slot).unwrap();
    guest.start().unwrap();
    let before = streams.await_line("up");
    assert_eq!(before, "up\n", "the supervisor's program is out of reach");
    guest.signal(Signal::TERM).unwrap();
    assert_eq!(support::finish(guest), Exit::Code { code: 4 });
    support::process(&mut spec, |process| {
        process.args = Some(args(&["nosuch"]));
    });
    assert_eq!(bench.fails(spec).class, Class::CommandNotFound);
}

#[test]
fn privileged_limits_are_kept_or_refused() {
    let Some(bench) = Bench::new("limits") else {
        return;
    };
    let limit = |soft: u64, hard: u64| PosixRlimit {
        kind: PosixRlimitType::Nofile,
        hard,
        soft,
    };
    let mut spec = bench.spec(&["sh", "-c", "ulimit -n; ulimit -Hn"]);
    support::process(&mut spec, |process| {
        process.rlimits = Some(vec![limit(100, 200)]);
    });
    assert_eq!(bench.run_spec(spec.clone()).stdout, "100\n200\n");
    support::process(&mut spec, |process| {
        process.rlimits = Some(vec![limit(1 << 40, 1 << 40)]);
    });
    assert_eq!(bench.fails(spec.clone()).class, Class::Denied);
    support::annotate(&mut spec, ANNOTATION_CLAMP, "RLIMIT_NPROC,RLIMIT_NOFILE");
    let own = berth_sys::process::limit(7).unwrap().hard;
    assert_eq!(bench.run_spec(spec).stdout, format!("{own}\n{own}\n"));
}

#[test]
fn privileged_capabilities_can_be_added_and_dropped() {
    let Some(bench) = Bench::new("capabilities") else {
        return;
    };
    let mut spec = bench.spec(&[
        "sh",
        "-c",
        "mount -t tmpfs x /tmp && echo mounted; chown 1 /tmp; grep Cap /proc/self/status",
    ]);
    support::capabilities(&mut spec, [Capability::SysAdmin].into_iter().collect());
    let outcome = bench.run_spec(spec);
    assert!(outcome.stdout.starts_with("mounted\n"), "{outcome:?}");
    assert!(
        outcome.stdout.contains("CapBnd:\t0000000000200000"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("Operation not permitted"),
        "{outcome:?}"
    );
    let outcome = bench.run(&["mount", "-t", "tmpfs", "x", "/tmp"]);
    assert_ne!(outcome.exit, Exit::Code { code: 0 });
    let mut spec = bench.spec(&["grep", "CapEff", "/proc/self/status"]);
    support::capabilities(&mut spec, defaults::all_capabilities());
    assert!(bench.run_spec(spec).stdout.starts_with("CapEff:\t000001f"));
}

#[test]
fn privileged_sysctls_are_set_inside() {
    let Some(bench) = Bench::new("sysctl") else {
        return;
    };
    let mut spec = bench.spec(&[
        "cat",
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/sys/kernel/msgmax",
    ]);
    support::sysctl(
        &mut spec,
        &[
            ("net.ipv4.ip_unprivileged_port_start", "77"),
            ("kernel.msgmax", "4242"),
        ],
    );
    assert_eq!(bench.run_spec(spec).stdout, "77\n4242\n");
    let mut spec = bench.spec(&["true"]);
    support::sysctl(&mut spec, &[("kernel.core_pattern", "|/x")]);
    assert_eq!(bench.fails(spec).class, Class::Invalid);
}

#[test]
fn privileged_a_user_namespace_has_its_own_root() {
    let Some(bench) = Bench::new("users") else {
        return;
    };
    let mut spec = bench.spec(&["sh", "-c",
        "id -u; cat /proc/self/uid_map; ls -ln /bin/busybox | cut -c1-40; touch /made && ls -ln /made | cut -c1-30; ls -l /dev/null | cut -c1-10; mount -t tmpfs x /tmp || echo no"]);
    support::map_users(&mut spec, 100_000, 65_536);
    let outcome = bench.run_spec(spec);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"0"), "{outcome:?}");
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        ["0", "100000", "65536"],
        "{outcome:?}"
    );
    assert!(lines[2].contains(" 0 "), "{outcome:?}");
    assert!(lines[3].starts_with("-rw-r--r--"), "{outcome:?}");
    let made = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(bench.upper().join("made")).unwrap(),
    );
    assert_eq!(made, 100_000);
}

#[test]
fn privileged_a_hundred_starts_leave_nothing() {
    let Some(bench) = Bench::new("hundred") else {
        return;
    };
    let before = (support::open_files(), support::mounts());
    for _ in 0..100 {
        assert_eq!(bench.run(&["true"]).exit, Exit::Code { code: 0 });
    }
    assert_eq!((support::open_files(), support::mounts()), before);
    assert_eq!(support::cgroups(&bench), 0);
}

#[test]
fn privileged_a_guest_that_is_dropped_is_gone() {
    let Some(bench) = Bench::new("dropped") else {
        return;
    };
    let guest = bench
        .runtime()
        .create(&bench.spec(&["sleep", "100"]), bench.slot().slot)
        .unwrap();
    let pid = guest.pid();
    drop(guest);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(support::cgroups(&bench), 0);
}

#[test]
fn privileged_a_layer_on_a_layer_shows_the_top_one() {
    let Some(bench) = Bench::new("layers") else {
        return;
    };
    let top = bench.add_layer("top");
    std::fs::create_dir_all(top.join("etc")).unwrap();
    std::fs::write(top.join("etc/hostname"), "top").unwrap();
    std::fs::write(bench.layer().join("etc/hostname"), "bottom").unwrap();
    assert_eq!(bench.run(&["cat", "/etc/hostname"]).stdout, "top");
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
