//! The process of a guest: its status, identity, limits, rights and files.

use std::fs::File;
use std::io::Write as _;

use crate::support::{self, Bench, args};
use berth_contract::oci::{Capability, PosixRlimit, PosixRlimitType};
use berth_contract::{Class, Exit, Program};
use berth_linux_runtime::{ANNOTATION_CLAMP, defaults};

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
