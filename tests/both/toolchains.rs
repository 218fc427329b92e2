//! Wasm from real toolchains runs unmodified: Rust for WASI preview 1 and 2, and Go.

use std::process::Command;

use berth_testkit::{Sandbox, skip};

/// Compiles the programs of `tests/toolchains`, once for all tests, and returns one of them.
fn program(test: &str, name: &str) -> Option<Vec<u8>> {
    let target = berth_testkit::twins().parent()?.join("toolchains");
    let lock = std::fs::create_dir_all(&target)
        .and_then(|()| std::fs::File::create(target.join("lock")))
        .expect("the target folder is writable");
    lock.lock().expect("a file can be locked");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/toolchains/make.sh"
    );
    let output = Command::new(script)
        .arg(&target)
        .output()
        .expect("the script starts");
    let path = target.join(format!("{name}.wasm"));
    if path.exists() {
        return std::fs::read(path).ok();
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().last().unwrap_or("no reason given");
    skip(
        test,
        &format!("the toolchain is not to be had here: {last}"),
    );
    None
}

fn run(test: &str, name: &str, arguments: &[&str]) -> Option<berth_testkit::Screen> {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("guest.wasm");
    std::fs::write(&file, program(test, name)?).expect("the sandbox is writable");
    let run = [
        "run",
        "--rm",
        "-e",
        "GREETING=hi",
        "--tmpfs",
        "/data",
        "./guest.wasm",
    ];
    Some(sandbox.berth(&[&run, arguments].concat()))
}

#[test]
fn rust_for_preview_1() {
    let Some(screen) = run("rust_for_preview_1", "rust-p1", &["one", "two words"]) else {
        return;
    };
    insta::assert_snapshot!(screen, @r#"
    exit: 0
    --- stdout ---
    rust got ["one", "two words"]
    GREETING=hi
    read back: rust was here
    clock runs: true
    --- stderr ---
    "#);
}

#[test]
fn rust_for_preview_2() {
    let Some(screen) = run("rust_for_preview_2", "rust-p2", &["fail"]) else {
        return;
    };
    insta::assert_snapshot!(screen, @r#"
    exit: 1
    --- stdout ---
    rust got ["fail"]
    GREETING=hi
    read back: rust was here
    clock runs: true
    --- stderr ---
    "#);
}

#[test]
fn go_for_preview_1() {
    let Some(screen) = run("go_for_preview_1", "go", &["fail"]) else {
        return;
    };
    insta::assert_snapshot!(screen, @r"
    exit: 5
    --- stdout ---
    go got [fail]
    GREETING=hi
    read back: go was here
    goroutines: 42
    --- stderr ---
    ");
}
