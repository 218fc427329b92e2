//! The built programs `berth-wasmc` and `berth-wasm`, run directly: what a module may do, and how each
//! way of ending shows. Without the programs every test says so and passes.
//!
//! `BERTH_PROGRAMS` names their folder; else it is the release folder beside these tests.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says when it is skipped, and is told where the programs are"
)]

mod compile;
mod files;
mod run;
mod serve;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use berth_wasm_runtime::configuration::Ending;

use run::{Guest, Run, terminate};

/// A core module with WASI's memory, one page, and this body.
fn module(imports: &str, body: &str) -> String {
    format!(
        r#"(module {imports} (memory (export "memory") 1)
           (data (i32.const 64) "hello\n")
           (func (export "_start") {body}))"#
    )
}

const FD_WRITE: &str = r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#;
const PROC_EXIT: &str = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
/// Writes the six bytes at 64 to the file $0.
const SAY: &str = "(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))";

#[test]
fn a_module_prints_and_ends_with_zero() {
    let Some(run) = Run::new(&module(FD_WRITE, SAY)) else {
        return;
    };
    let output = run.output();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stdout, b"hello\n");
    assert_eq!(run.ending(), None);
}

#[test]
fn exit_statuses_are_exact() {
    let Some(mut run) = Run::new(&module(
        &format!(
            r#"{PROC_EXIT}
            (import "wasi_snapshot_preview1" "args_get" (func $get (param i32 i32) (result i32)))"#
        ),
        // The status is the first byte of the second argument minus 'A', plus 64 times the third's.
        r"(drop (call $get (i32.const 0) (i32.const 1024)))
          (call $exit (i32.add
            (i32.sub (i32.load8_u (i32.load (i32.const 4))) (i32.const 64))
            (i32.mul (i32.const 64) (i32.sub (i32.load8_u (i32.load (i32.const 8))) (i32.const 64)))))",
    )) else {
        return;
    };
    for status in 0..=255_u8 {
        let letter = |value: u8| char::from(64 + value).to_string();
        run.configuration.arguments =
            vec!["guest".into(), letter(status % 64), letter(status / 64)];
        assert_eq!(run.status(), Some(i32::from(status)));
    }
}

#[test]
fn traps_have_names_and_a_backtrace() {
    let cases = [
        ("unreachable", "wasm `unreachable` instruction executed"),
        (
            "(drop (i32.load (i32.const 0x7ffffff0)))",
            "out of bounds memory access",
        ),
        (
            "(drop (i32.div_s (i32.const 1) (i32.load (i32.const 0))))",
            "integer divide by zero",
        ),
        ("(call $start)", "call stack exhausted"),
        (
            "(drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.load (i32.const 0)) (i32.const 1))))",
            "integer overflow",
        ),
    ];
    for (body, name) in cases {
        let text = module("", body).replace(
            r#"(func (export "_start")"#,
            r#"(func $start (export "_start")"#,
        );
        let Some(run) = Run::new(&text) else { return };
        let output = run.output();
        assert_eq!(output.status.code(), Some(134), "{body}");
        assert_eq!(run.ending(), Some(Ending::Trapped(name.to_owned())));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.starts_with(&format!("wasm trap: {name}\nwasm backtrace:\n")),
            "{text}"
        );
        assert!(text.contains("start"), "{text}");
    }
}

#[test]
fn memory_has_a_limit_the_guest_sees() {
    // Ends with the number of MiB it could get beyond the first page.
    let body = r"(local $count i32)
        (block $full (loop $more
          (br_if $full (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $count) (i32.const 200)))))
        (call $exit (local.get $count))";
    let Some(mut run) = Run::new(&module(PROC_EXIT, body)) else {
        return;
    };
    assert_eq!(run.status(), Some(200));
    run.configuration.memory_limit = Some((42 << 20) + (1 << 17));
    assert_eq!(run.status(), Some(42));
}

#[test]
fn the_environment_and_directory_arrive() {
    let imports = format!(
        r#"{FD_WRITE}
        (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))"#
    );
    let body = "(drop (call $sizes (i32.const 8) (i32.const 4)))
        (drop (call $get (i32.const 512) (i32.const 1024)))
        (i32.store (i32.const 0) (i32.const 1024))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))";
    let Some(mut run) = Run::new(&module(&imports, body)) else {
        return;
    };
    run.configuration.environment = vec![("NAME".into(), "a=b".into())];
    run.configuration.working_directory = "/tmp".into();
    let text = String::from_utf8(run.output().stdout).unwrap();
    assert_eq!(text, "NAME=a=b\0PWD=/tmp\0");
}

/// SIGTERM ends a busy loop at once, also where the engine is pid 1 and has no default actions.
#[test]
fn a_busy_loop_ends_with_the_signal() {
    let body = format!("{SAY} (loop $for_ever (br $for_ever))");
    let Some(run) = Run::new(&module(FD_WRITE, &body)).filter(|_| makes_namespaces()) else {
        return;
    };
    let mut guest = Guest::start(run.command(&AS_FIRST_PROCESS).stdout(Stdio::piped()));
    let mut hello = [0; 6];
    guest.stdout().read_exact(&mut hello).unwrap();
    let children = format!("/proc/{0}/task/{0}/children", guest.pid());
    let children = std::fs::read_to_string(children).unwrap();
    let started = Instant::now();
    terminate(children.trim());
    assert_eq!(guest.status(), Some(143));
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
}

/// Whoever stops a container right after its start must not wait for the grace time: the engine is
/// started with the signals blocked, so that none is lost before it has handlers.
#[test]
fn a_signal_from_before_the_engine_was_ready_ends_the_guest() {
    let Some(run) =
        Run::new(&module("", "(loop $for_ever (br $for_ever))")).filter(|_| makes_namespaces())
    else {
        return;
    };
    let signalled = [
        "env",
        "--block-signal=TERM",
        "sh",
        "-c",
        r#"kill -TERM $$; exec "$0" "$@""#,
    ];
    let guest = Guest::start(&mut run.command(&[&AS_FIRST_PROCESS[..], &signalled].concat()));
    assert_eq!(guest.status(), Some(143));
}

const AS_FIRST_PROCESS: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];

fn makes_namespaces() -> bool {
    let made = Command::new("unshare")
        .args(["--pid", "--fork", "true"])
        .status();
    let is_allowed = made.is_ok_and(|status| status.success());
    if !is_allowed {
        eprintln!("SKIPPED: no right to make a pid namespace");
    }
    is_allowed
}

#[test]
fn a_component_runs_and_says_how_it_ended() {
    let component = |body: &str| {
        format!(
            r#"(component
              (core module $m (func (export "run") (result i32) {body}))
              (core instance $i (instantiate $m))
              (func $run (result (result)) (canon lift (core func $i "run")))
              (component $c (import "run" (func $f (result (result)))) (export "run" (func $f)))
              (instance $command (instantiate $c (with "run" (func $run))))
              (export "wasi:cli/run@0.2.0" (instance $command)))"#
        )
    };
    for (body, status) in [
        ("(i32.const 0)", 0),
        ("(i32.const 1)", 1),
        ("unreachable", 134),
    ] {
        let Some(run) = Run::new(&component(body)) else {
            return;
        };
        let output = run.output();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
