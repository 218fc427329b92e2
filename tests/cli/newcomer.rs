//! The first minutes: a clean machine, the built-in image, help.

use berth_testkit::{Sandbox, Screen};

#[test]
fn hello_runs_without_any_set_up() {
    let sandbox = Sandbox::new();
    let native = sandbox.berth(&["run", "--rm", "hello"]);
    insta::assert_snapshot!(native, @"");
    let wasm = sandbox.berth(&["run", "--rm", "--platform", "wasi/wasm", "hello"]);
    insta::assert_snapshot!(wasm, @"");
}

#[test]
fn help_fits_on_one_screen() {
    let sandbox = Sandbox::new();
    let help = sandbox.berth(&["--help"]);
    insta::assert_snapshot!(help, @"");
    assert!(
        help.stdout.lines().count() <= 60,
        "help is longer than a screen"
    );
}

#[test]
fn a_plain_wasm_file_runs() {
    let sandbox = Sandbox::new();
    let twin = berth_testkit::Twin::new(berth_testkit::Kind::Wasm, "hello");
    std::fs::write(sandbox.path().join("app.wasm"), twin.program()).unwrap();
    let screen = sandbox.berth(&["run", "--rm", "./app.wasm", "a file"]);
    assert_eq!(screen.success(), "hello from a file");
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    let sandbox = Sandbox::new();
    let mut command = std::process::Command::new("setpriv");
    command.args([
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--",
    ]);
    let berth = sandbox.command(&["run", "--rm", "hello"]);
    command.arg(berth.get_program()).args(berth.get_args());
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("PATH", "/usr/bin:/bin");
    let screen = Screen::new(&command.output().unwrap());
    let screen = screen.replace(&sandbox.path().display().to_string(), "[SANDBOX]");
    insta::assert_snapshot!(screen, @"");
}

#[test]
fn versions_and_info_answer() {
    let sandbox = Sandbox::new();
    assert!(
        sandbox
            .berth(&["version", "--format", "{{.Client.Version}}"])
            .success()
            .contains('.')
    );
    assert_eq!(
        sandbox
            .berth(&["info", "--format", "{{.Containers}}"])
            .success(),
        "0"
    );
    assert!(
        sandbox
            .berth(&["--version"])
            .success()
            .starts_with("berth version ")
    );
}
