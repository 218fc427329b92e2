//! Where a wasm program is entered, and modules in text form.

use berth_testkit::{ImageArchive, Layer, Sandbox, Screen};
use serde_json::json;

/// A library: one function for each way of ending, and no `_start`.
const LIBRARY: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "ready\n")
    (func (export "_initialize") (i32.store8 (i32.const 64) (i32.const 82)))
    (func (export "work")
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))))
    (func (export "status") (result i32) (i32.const 7))
    (func (export "leave") (call $exit (i32.const 5)))
    (func (export "trap") unreachable)
    (func (export "add") (param i32 i32) (result i32) (i32.const 0))
    (func (export "large") (result i64) (i64.const 0)))"#;

/// A component with a function of its own and one of an interface.
const COMPONENT: &str = r#"(component
    (core module $code
      (func (export "fine") (result i32) (i32.const 0))
      (func (export "failed") (result i32) (i32.const 1))
      (func (export "nine") (result i32) (i32.const 9)))
    (core instance $code (instantiate $code))
    (func (export "fine") (result (result)) (canon lift (core func $code "fine")))
    (func (export "failed") (result (result)) (canon lift (core func $code "failed")))
    (func $nine (result u8) (canon lift (core func $code "nine")))
    (instance $numbers (export "nine" (func $nine)))
    (export "test:entries/numbers" (instance $numbers)))"#;

fn write(sandbox: &Sandbox, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(sandbox.path().join(name), content).expect("the sandbox is writable");
}

fn assembled(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is valid")
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Screen {
    sandbox.berth(&[&["run", "--rm", "--network", "none"], arguments].concat())
}

#[test]
fn a_file_is_entered_at_a_function() {
    let sandbox = Sandbox::new();
    write(&sandbox, "library.wasm", assembled(LIBRARY));
    write(&sandbox, "component.wasm", assembled(COMPONENT));
    let work = run(&sandbox, &["./library.wasm#work"]);
    assert_eq!(
        (work.status, work.stdout.as_str()),
        (0, "Ready\n"),
        "{work}"
    );
    for (program, status) in [
        ("library.wasm#status", 7),
        ("library.wasm#leave", 5),
        ("library.wasm#trap", 134),
        ("component.wasm#fine", 0),
        ("component.wasm#failed", 1),
        ("component.wasm#test:entries/numbers#nine", 9),
    ] {
        let screen = run(&sandbox, &[&format!("./{program}")]);
        assert_eq!(screen.status, status, "{program}: {screen}");
    }
    for (program, sentence) in [
        ("library.wasm#play", "the wasm module has no function play"),
        ("library.wasm#play", "it exports _initialize, work, status"),
        ("library.wasm#add", "the wasm function add takes parameters"),
        ("library.wasm#large", "returns what is no exit status"),
        ("library.wasm", "it is a library, not a program"),
        ("component.wasm#play", "has no function play"),
        ("component.wasm#test:entries/numbers#ten", "has no function"),
        ("component.wasm", "the wasm component is no program"),
    ] {
        let screen = run(&sandbox, &[&format!("./{program}")]);
        assert_eq!(screen.status, 126, "{program}: {screen}");
        assert!(screen.stderr.contains(sentence), "{program}: {screen}");
    }
    // The sign may be a part of a name, too.
    write(
        &sandbox,
        "a#b.wasm",
        assembled(r#"(module (func (export "_start")))"#),
    );
    assert_eq!(run(&sandbox, &["./a#b.wasm"]).status, 0);
    assert_eq!(sandbox.berth(&["ps", "-aq"]).success(), "");
}

/// An image's command names a function as well, a second start finds it again, and so does exec.
#[test]
fn commands_name_functions() {
    let sandbox = Sandbox::new();
    let waits = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "wait") (i64.store (i32.const 24) (i64.const 1000000000000)) (i32.store (i32.const 16) (i32.const 1))
          (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
        (func (export "status") (result i32) (i32.const 3)))"#;
    let layer = Layer::new()
        .file("library.wasm", 0o755, &assembled(LIBRARY))
        .file("waits.wasm", 0o755, &assembled(waits))
        .finish();
    let config = json!({ "Entrypoint": ["/library.wasm#status"] });
    sandbox.load(&ImageArchive::new(
        "entered:latest",
        ("wasi", "wasm"),
        &config,
        &layer,
    ));
    assert_eq!(run(&sandbox, &["entered"]).status, 7);
    let made = ["create", "--name", "again", "--network", "none", "entered"];
    sandbox.berth(&made).success();
    for _ in 0..2 {
        assert_eq!(sandbox.berth(&["start", "-a", "again"]).status, 7);
        // What is compiled goes; it is made again, with the function in mind.
        std::fs::remove_dir_all(sandbox.data().join("wasm")).expect("it is there");
    }
    let waiting = [
        "-d",
        "--name",
        "waits",
        "--entrypoint",
        "/waits.wasm#wait",
        "entered",
    ];
    sandbox
        .berth(&[&["run", "--network", "none"][..], &waiting].concat())
        .success();
    let exec = |word: &str| sandbox.berth(&["exec", "waits", word]);
    assert_eq!(exec("#status").status, 3);
    assert_eq!(exec("/waits.wasm#status").status, 3);
    assert_eq!(exec("/library.wasm#status").status, 7);
    assert_eq!(exec("library.wasm#work").status, 127);
    let none = exec("/library.wasm#play");
    assert_eq!(none.status, 126, "{none}");
    sandbox.berth(&["rm", "-f", "waits", "again"]).success();
}

/// Text is a program when the flag says so, is assembled once, and refused with a hint otherwise.
#[test]
fn wasm_in_text_form_needs_a_flag() {
    let sandbox = Sandbox::new();
    write(&sandbox, "library.wat", LIBRARY);
    write(
        &sandbox,
        "component.wat",
        format!(";; first a comment\n{COMPONENT}"),
    );
    write(&sandbox, "damaged.wat", "(module\n  (func (nonsense)))");
    write(&sandbox, "library.wasm", assembled(LIBRARY));
    let work = run(&sandbox, &["--wat", "./library.wat#work"]);
    assert_eq!(
        (work.status, work.stdout.as_str()),
        (0, "Ready\n"),
        "{work}"
    );
    assert_eq!(
        run(&sandbox, &["--wat", "./component.wat#failed"]).status,
        1
    );
    let refused = |arguments: &[&str], status: i32, words: [&str; 2]| {
        let screen = run(&sandbox, arguments);
        assert_eq!(screen.status, status, "{screen}");
        for word in words {
            assert!(screen.stderr.contains(word), "{word}: {screen}");
        }
    };
    let hint = "hint: berth run --wat ./library.wat";
    refused(&["./library.wat"], 125, ["it is wasm in text form", hint]);
    let hint = "hint: berth run --wat ./component.wat";
    refused(&["./component.wat"], 125, ["it is wasm in text form", hint]);
    let place = "line 2, column 10: ";
    refused(
        &["--wat", "./damaged.wat"],
        126,
        ["the wasm text is not valid", place],
    );
    refused(
        &["--wat", "./library.wasm"],
        125,
        ["a module already", "hint: leave --wat out"],
    );
    refused(
        &["--wat", "library.wat"],
        125,
        ["no path of a file", "hint: berth run --wat ./library.wat"],
    );
    // What the container was made from is kept: the text may go.
    let create = [
        "create",
        "--name",
        "kept",
        "--network",
        "none",
        "--wat",
        "./library.wat#status",
    ];
    sandbox.berth(&create).success();
    std::fs::remove_file(sandbox.path().join("library.wat")).expect("it is there");
    assert_eq!(sandbox.berth(&["start", "-a", "kept"]).status, 7);
    sandbox.berth(&["rm", "kept"]).success();
}
