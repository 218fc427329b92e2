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

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use berth_wasm_runtime::Cache;
use berth_wasm_runtime::configuration::{Configuration, Ending};
use tempfile::TempDir;

fn programs() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let folder = match std::env::var_os("BERTH_PROGRAMS") {
        Some(folder) => PathBuf::from(folder),
        None => own.ancestors().nth(3)?.join("release"),
    };
    let is_there = ["berth-wasm", "berth-wasmc"]
        .iter()
        .all(|name| folder.join(name).exists());
    if !is_there {
        eprintln!(
            "SKIPPED: no berth-wasm and berth-wasmc in {}",
            folder.display()
        );
    }
    is_there.then_some(folder)
}

/// One module, compiled, and how it is run.
struct Run {
    directory: TempDir,
    executor: PathBuf,
    compiled: PathBuf,
    configuration: Configuration,
}

impl Run {
    fn new(text: &str) -> Option<Self> {
        let programs = programs()?;
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(
            &directory.path().join("cache"),
            &programs.join("berth-wasmc"),
        )
        .unwrap();
        let compiled = cache
            .compiled_bytes(&wat::parse_str(text).unwrap())
            .unwrap();
        let configuration = Configuration {
            arguments: vec!["guest".to_owned()],
            working_directory: "/".to_owned(),
            ..Configuration::default()
        };
        Some(Self {
            directory,
            executor: programs.join("berth-wasm"),
            compiled,
            configuration,
        })
    }

    fn report(&self) -> PathBuf {
        self.directory.path().join("report")
    }

    /// The shell places the files at their numbers, which needs no unsafe code here.
    fn command(&self, wrapper: &[&str]) -> Command {
        let configuration = self.directory.path().join("configuration");
        std::fs::write(
            &configuration,
            serde_json::to_vec(&self.configuration).unwrap(),
        )
        .unwrap();
        let mut words: Vec<OsString> = wrapper.iter().map(OsString::from).collect();
        let script = r#"exec "$0" 3<"$1" 4<"$2" 5>"$3""#;
        words.extend(["/bin/sh", "-c", script].map(OsString::from));
        words.extend(
            [
                &self.executor,
                &configuration,
                &self.compiled,
                &self.report(),
            ]
            .map(|path| path.clone().into()),
        );
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().stdin(Stdio::null());
        command
    }

    fn output(&self) -> Output {
        self.command(&[]).output().unwrap()
    }

    fn status(&self) -> Option<i32> {
        self.output().status.code()
    }

    fn ending(&self) -> Option<Ending> {
        serde_json::from_slice(&std::fs::read(self.report()).unwrap()).ok()
    }
}

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
    let Some(run) = Run::new(&module(
        FD_WRITE,
        &format!("{SAY} (loop $for_ever (br $for_ever))"),
    )) else {
        return;
    };
    let namespaces = ["unshare", "--pid", "--fork", "--kill-child"];
    let is_allowed = Command::new("unshare")
        .args(["--pid", "--fork", "true"])
        .status();
    if !is_allowed.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no right to make a pid namespace");
        return;
    }
    let mut child = run
        .command(&namespaces)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut hello = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut hello)
        .unwrap();
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let started = Instant::now();
    Command::new("kill")
        .args(["-TERM", children.trim()])
        .status()
        .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(143));
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
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

#[test]
fn the_second_start_compiles_nothing() {
    let Some(programs) = programs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("module.wasm");
    std::fs::write(&file, wat::parse_str(module("", "nop")).unwrap()).unwrap();
    let file = std::fs::File::open(file).unwrap();
    let place = directory.path().join("cache");
    let first = Cache::open(&place, &programs.join("berth-wasmc"))
        .unwrap()
        .compiled(&file)
        .unwrap();
    let written = first.metadata().unwrap().modified().unwrap();
    let second = Cache::open(&place, &programs.join("berth-wasmc"))
        .unwrap()
        .compiled(&file)
        .unwrap();
    assert_eq!(first, second);
    assert_eq!(written, second.metadata().unwrap().modified().unwrap());
    assert_eq!(names(&place, "partial"), 0);
}

#[test]
fn what_cannot_run_is_refused_with_a_sentence() {
    let Some(programs) = programs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(directory.path(), &programs.join("berth-wasmc")).unwrap();
    let refusal = |text: &str| {
        let error = cache
            .compiled_bytes(&wat::parse_str(text).unwrap())
            .unwrap_err();
        assert_eq!(error.class().exit_code(), 126);
        error.to_string()
    };
    let wasix = r#"(module (import "wasix_32v1" "proc_fork" (func)) (func (export "_start")))"#;
    assert!(refusal(wasix).contains("WASIX"));
    assert!(refusal("(component)").contains("interface package"));
    assert!(refusal("(module)").contains("library"));
    let damaged = cache
        .compiled_bytes(b"\0asm\x01\0\0\0\x0a\xff")
        .unwrap_err();
    assert!(damaged.to_string().contains("damaged") || damaged.to_string().contains("not valid"));
    assert_eq!(names(directory.path(), "partial"), 0);
    assert_eq!(names(directory.path(), "cwasm"), 0);
}

fn names(directory: &Path, extension: &str) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|found| found == extension)
        })
        .count()
}

/// SIGTERM ends a server in good order: nothing new is taken, and the status is 0.
#[test]
fn an_http_component_is_served_and_drained() {
    let Some(mut run) = Run::new(include_str!("http.wat")) else {
        return;
    };
    // A port that was free a moment ago; nothing else here listens.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    run.configuration.ports = vec![port];
    let mut child = run.command(&[]).spawn().unwrap();
    let answer = |deadline: Instant| loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(mut stream) => {
                stream
                    .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    .unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                return text;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    for _ in 0..3 {
        let text = answer(deadline);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }
    // One connection carries several requests; a head without measure is refused; one that never ends
    // neither holds up others nor the end.
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = connect();
    for _ in 0..2 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        drain(&mut stream);
    }
    let mut huge = connect();
    let head = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n",
        "x".repeat(1 << 20)
    );
    // The server may close before all of it is written.
    huge.write_all(head.as_bytes()).ok();
    let mut text = Vec::new();
    huge.read_to_end(&mut text).ok();
    assert!(text.is_empty() || text.starts_with(b"HTTP/1.1 431"));
    let mut slow = connect();
    slow.write_all(b"GET / HTT").unwrap();
    assert!(answer(deadline).starts_with("HTTP/1.1 200 OK\r\n"));
    Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A client that does not finish its request's head, or sends none at all, loses its connection when the time
/// for that is over; it is a minute where nobody says anything else.
#[test]
fn a_head_has_its_time() {
    assert_eq!(
        Configuration::default().head_patience,
        Duration::from_secs(60)
    );
    let Some(mut run) = Run::new(include_str!("http.wat")) else {
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let port = port.unwrap().port();
    run.configuration.ports = vec![port];
    run.configuration.head_patience = Duration::from_millis(100);
    let mut child = run.command(&[]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let connect = || loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    for start in [&b"GET / HTT"[..], b""] {
        let mut slow = connect();
        slow.set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        slow.write_all(start).unwrap();
        let mut text = String::new();
        // The server closes: a timeout of ours would be an error.
        slow.read_to_string(&mut text).unwrap();
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 408"),
            "{text}"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Reads the rest of a response whose body is empty or chunked and short.
fn drain(stream: &mut TcpStream) {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.extend(byte);
    }
    let head = String::from_utf8(text).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => {
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
        }
        None => {
            let mut body = Vec::new();
            while !body.ends_with(b"0\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                body.extend(byte);
            }
        }
    }
}
