//! Terminals, and our own init.

use std::fs::File;
use std::io::Read as _;

use crate::support::{self, Bench, args};
use berth_contract::{Class, Exit, Runtime as _, Signal, Stdio, TerminalSize};
use berth_linux_runtime::ANNOTATION_INIT;

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
