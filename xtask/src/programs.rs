//! The four programs, each built by itself so that features do not unify across them.

use std::path::PathBuf;

use crate::shell::{self, Outcome};

/// Package, program and features of each build.
const PROGRAMS: [(&str, &str, &[&str]); 4] = [
    ("berth-host", "berth", &[]),
    ("berth-monitor", "berth-monitor", &[]),
    ("berth-wasm-runtime", "berth-wasm", &["executor"]),
    ("berth-wasm-runtime", "berth-wasmc", &["compiler"]),
];

/// Builds all four and returns the folder that holds them.
pub(crate) fn build() -> Outcome<PathBuf> {
    for (package, program, features) in PROGRAMS {
        let mut cargo = shell::cargo();
        cargo.args(["build", "--release", "--package", package, "--bin", program]);
        if !features.is_empty() {
            cargo.arg("--features").arg(features.join(","));
        }
        shell::run(&mut cargo)?;
    }
    folder()
}

/// Where release programs lie: below the host's own triple, because `.cargo/config.toml` names a target.
pub(crate) fn folder() -> Outcome<PathBuf> {
    let version = shell::read(shell::command("rustc").args(["--version", "--verbose"]))?;
    let triple = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or("rustc names no host triple")?;
    Ok(shell::target().join(triple).join("release"))
}

/// The names of the programs.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    PROGRAMS.into_iter().map(|(_, program, _)| program)
}

/// Builds everything and runs the built-in image with both runtimes, in folders of its own.
pub(crate) fn hello() -> Outcome {
    let programs = build()?;
    let place = shell::target().join("hello");
    let berth = |arguments: &[&str]| {
        let mut command = shell::command(programs.join("berth"));
        command
            .arg("--root")
            .arg(place.join("data"))
            .arg("--runroot")
            .arg(place.join("run"));
        command.args(arguments);
        command
    };
    shell::run(&mut berth(&["run", "--rm", "hello"]))?;
    shell::run(&mut berth(&[
        "run",
        "--rm",
        "--platform",
        "wasi/wasm",
        "hello",
    ]))?;
    println!(
        "\nThe programs are in {}; `cargo xtask install` puts them in place.",
        programs.display()
    );
    Ok(())
}
