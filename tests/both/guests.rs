//! What only wasm guests do: rows of the lifecycle table that have no native half.

use berth_testkit::{ImageArchive, Kind, Layer, Sandbox, Screen, Twin};
use serde_json::json;

const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)"#;

/// Writes a module with this body into the sandbox.
fn file(sandbox: &Sandbox, name: &str, body: &str) {
    let text = format!(r#"(module {IMPORTS} (func $start (export "_start") {body}))"#);
    raw(sandbox, name, &text);
}

fn raw(sandbox: &Sandbox, name: &str, text: &str) {
    let bytes = wat::parse_str(text).expect("the module is valid");
    std::fs::write(sandbox.path().join(name), bytes).expect("the sandbox is writable");
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Screen {
    sandbox.berth(&[&["run", "--network", "none"], arguments].concat())
}

/// A trap is 134 everywhere, its name is in `inspect`, and where it happened is in `logs`.
#[test]
fn a_trap_tells_its_name_and_place() {
    let sandbox = Sandbox::new();
    let cases = [
        ("unreachable", "unreachable"),
        (
            "(drop (i32.load (i32.const 0x7ffffff0)))",
            "out of bounds memory access",
        ),
        (
            "(drop (i32.div_s (i32.const 1) (i32.load (i32.const 0))))",
            "integer divide by zero",
        ),
        ("(call $start)", "call stack exhausted"),
    ];
    for (body, name) in cases {
        file(&sandbox, "trap.wasm", body);
        let screen = run(&sandbox, &["--name", "trap", "./trap.wasm"]);
        assert_eq!(screen.status, 134, "{screen}");
        let state = sandbox.inspect(
            "trap",
            "{{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}",
        );
        assert!(
            state.starts_with("134 false ") && state.contains(name),
            "{state}"
        );
        assert_eq!(sandbox.berth(&["wait", "trap"]).success(), "134");
        let logs = sandbox.berth(&["logs", "trap"]);
        assert!(
            logs.stderr.contains("wasm backtrace:") && logs.stderr.contains(name),
            "{logs}"
        );
        sandbox.berth(&["rm", "trap"]).success();
    }
}

/// A bare module gets the variables it was given and no others; an image's defaults are Docker's.
#[test]
fn a_bare_module_has_only_what_it_was_given() {
    let sandbox = Sandbox::new();
    let say = "(drop (call $sizes (i32.const 8) (i32.const 4)))
        (drop (call $get (i32.const 512) (i32.const 1024))) (i32.store (i32.const 0) (i32.const 1024))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))";
    file(&sandbox, "env.wasm", say);
    let bare = run(
        &sandbox,
        &["--rm", "-e", "foo=bar", "-e", "baz=42", "./env.wasm"],
    );
    assert_eq!(
        (bare.status, bare.stdout.as_str()),
        (0, "foo=bar\0baz=42\0"),
        "{bare}"
    );
    let none = run(&sandbox, &["--rm", "./env.wasm"]);
    assert_eq!((none.status, none.stdout.as_str()), (0, ""), "{none}");
    let there = run(
        &sandbox,
        &["--rm", "-w", "/tmp", "--tmpfs", "/tmp", "./env.wasm"],
    );
    assert_eq!(
        (there.status, there.stdout.as_str()),
        (0, "PWD=/tmp\0"),
        "{there}"
    );
    let program = std::fs::read(sandbox.path().join("env.wasm")).expect("it was written");
    let layer = Layer::new().file("env.wasm", 0o755, &program).finish();
    let config = json!({ "Entrypoint": ["/env.wasm"], "Env": ["FROM=image"] });
    sandbox.load(&ImageArchive::new(
        "env:latest",
        ("wasi", "wasm"),
        &config,
        &layer,
    ));
    let image = run(&sandbox, &["--rm", "-h", "box", "env"]);
    for line in [
        "PATH=/usr/local/sbin:",
        "HOSTNAME=box\0",
        "FROM=image\0",
        "HOME=/",
    ] {
        assert!(image.stdout.contains(line), "{line}: {image}");
    }
}

/// A path that is neither in the working directory nor in `/` fails as the working directory has it.
#[test]
fn the_working_directory_has_the_word() {
    let sandbox = Sandbox::new();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_rename"
          (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "file/x") (data (i32.const 80) "dir//") (data (i32.const 96) "etc/hosts")
        (data (i32.const 112) "file") (data (i32.const 128) "missing")
        (global $at (mut i32) (i32.const 256))
        (func $say (param $errno i32)
          (i32.store8 (global.get $at) (i32.add (i32.const 48) (i32.div_u (local.get $errno) (i32.const 10))))
          (i32.store8 offset=1 (global.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $errno) (i32.const 10))))
          (i32.store8 offset=2 (global.get $at) (i32.const 32))
          (global.set $at (i32.add (global.get $at) (i32.const 3))))
        (func $read (param $path i32) (param $length i32)
          (call $say (call $open (i32.const 4) (i32.const 1) (local.get $path) (local.get $length)
            (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0))))
        (func (export "_start")
          (call $read (i32.const 64) (i32.const 6))
          (call $read (i32.const 96) (i32.const 9))
          (call $say (call $rmdir (i32.const 4) (i32.const 80) (i32.const 5)))
          (call $say (call $rename (i32.const 4) (i32.const 112) (i32.const 4) (i32.const 4) (i32.const 3) (i32.const 112)))
          (call $say (call $rename (i32.const 4) (i32.const 112) (i32.const 4) (i32.const 3) (i32.const 112) (i32.const 4)))
          (call $say (call $rename (i32.const 4) (i32.const 128) (i32.const 7) (i32.const 4) (i32.const 112) (i32.const 4)))
          (call $say (call $close (i32.const 3)))
          (call $read (i32.const 96) (i32.const 9))
          (i32.store (i32.const 0) (i32.const 256))
          (i32.store (i32.const 4) (i32.sub (global.get $at) (i32.const 256)))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))"#;
    raw(&sandbox, "paths.wasm", text);
    let work = sandbox.path().join("work");
    std::fs::create_dir_all(work.join("dir")).expect("the sandbox is writable");
    std::fs::write(work.join("file"), "x").expect("the sandbox is writable");
    let bind = format!("{}:/work", work.display());
    let screen = run(
        &sandbox,
        &["--rm", "-v", &bind, "-w", "/work", "./paths.wasm"],
    );
    // ENOTDIR; found in `/`; removed; EINVAL for an empty name that reads outside; EXDEV; ENOENT; closed;
    // no `/` any more: ENOENT.
    insta::assert_snapshot!(screen.stdout, @"54 00 00 28 75 44 00 44 ");
    assert!(!work.join("dir").exists());
}

/// `-v DIR:/` is the guest's whole root: it sees nothing else, and what it writes is there.
#[test]
fn a_directory_is_the_whole_root() {
    let sandbox = Sandbox::new();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "made")
        (func (export "_start")
          (drop (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4)
            (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0)))
          (drop (call $list (i32.const 3) (i32.const 1024) (i32.const 4096) (i64.const 0) (i32.const 4)))
          (i32.store (i32.const 0) (i32.const 1024))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))"#;
    raw(&sandbox, "list.wasm", text);
    let root = sandbox.path().join("root");
    std::fs::create_dir_all(root.join("there")).expect("the sandbox is writable");
    let bind = format!("{}:/", root.display());
    let screen = run(&sandbox, &["--rm", "-v", &bind, "./list.wasm"]);
    assert_eq!(screen.status, 0, "{screen}");
    for (name, is_seen) in [
        ("there", true),
        ("made", true),
        ("proc", false),
        ("etc", false),
    ] {
        assert_eq!(screen.stdout.contains(name), is_seen, "{name}: {screen}");
    }
    let mut left: Vec<_> = std::fs::read_dir(&root)
        .expect("it is still there")
        .map(|entry| entry.expect("it can be read").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["made", "there"]);
    sandbox.load(&ImageArchive::twin(&Twin::new(Kind::Native, "hello")));
    let ways: [&[&str]; 5] = [
        &["-v", &bind],
        &["-v", "fresh:/"],
        &["--tmpfs", "/"],
        &["--mount", "type=tmpfs,dst=/"],
        &["--mount", "type=image,src=native-hello,dst=/"],
    ];
    for way in ways {
        let native = run(&sandbox, &[way, &["native-hello"]].concat());
        assert_eq!(native.status, 125, "{native}");
        assert!(
            native.stderr.contains("the mount destination cannot be /"),
            "{native}"
        );
    }
    assert_eq!(sandbox.berth(&["volume", "ls", "-q"]).success(), "");
}

/// What cannot run is named as what it is, with 126, and leaves nothing.
#[test]
fn what_is_no_program_is_named() {
    let sandbox = Sandbox::new();
    let start = r#"(func (export "_start"))"#;
    let cases = [
        (
            "wasix",
            format!(r#"(module (import "wasix_32v1" "fork" (func)) {start})"#),
            "built for WASIX",
        ),
        (
            "threads",
            format!(
                r#"(module (import "wasi" "thread-spawn" (func (param i32) (result i32))) {start})"#
            ),
            "wasi-threads",
        ),
        ("package", "(component)".to_owned(), "interface package"),
        ("library", "(module)".to_owned(), "library, not a program"),
        (
            "host",
            format!(r#"(module (import "my" "host" (func)) {start})"#),
            "my.host",
        ),
    ];
    for (name, text, reason) in cases {
        let name = format!("{name}.wasm");
        raw(&sandbox, &name, &text);
        let screen = run(&sandbox, &["--rm", &format!("./{name}")]);
        assert_eq!(screen.status, 126, "{screen}");
        assert!(screen.stderr.contains(reason), "{screen}");
    }
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success(), "");
}

/// A native file of a wasm container's root runs natively, with the container's own rights.
#[test]
fn native_files_run_beside_a_wasm_guest() {
    let sandbox = Sandbox::new();
    let (wasm, native) = (Kind::Wasm, Kind::Native);
    let layer = Layer::new()
        .file(
            "waits.wasm",
            0o755,
            &Twin::new(wasm, "sleeps-and-ignores-term").program(),
        )
        .file("echo", 0o755, &Twin::new(native, "echo").program())
        .file("echo.wasm", 0o755, &Twin::new(wasm, "echo").program())
        .finish();
    let config = json!({ "Entrypoint": ["/waits.wasm"] });
    sandbox.load(&ImageArchive::new(
        "mixed:latest",
        ("linux", "amd64"),
        &config,
        &layer,
    ));
    run(&sandbox, &["-d", "--name", "mixed", "mixed"]).success();
    sandbox.wait_for_log("mixed", "ready");
    let by = |program: &str| sandbox.berth(&["exec", "mixed", program, "one"]).success();
    assert!(by("/echo").contains("argument 1: one"));
    assert_eq!(by("/echo"), by("/echo.wasm"));
    sandbox.berth(&["rm", "-f", "mixed"]).success();
}

/// What could change the engine's code or tell where it lies is not there, whatever the options say: a process may
/// write to its own memory through `/proc/self/mem` past the protection of its pages.
#[test]
fn the_engines_own_memory_is_no_file() {
    let sandbox = Sandbox::new();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 100) "proc/self/mem")
        (func (export "_start") (call $exit (call $open (i32.const 3) (i32.const 1)
            (i32.const 100) (i32.const 13) (i32.const 0) (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.const 8)))))"#;
    raw(&sandbox, "memory.wasm", text);
    const ENOENT: i32 = 44;
    for options in [
        &[][..],
        &["--privileged"],
        &["--security-opt", "systempaths=unconfined"],
        &["--pid", "host"],
    ] {
        let screen = run(&sandbox, &[options, &["./memory.wasm"]].concat());
        assert_eq!(screen.status, ENOENT, "{options:?}: {screen}");
    }
}
