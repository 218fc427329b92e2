//! The four programs, each built by itself so that features do not unify across them.

use std::path::PathBuf;

use crate::shell::{self, Outcome};

/// One of the four.
struct Program {
    package: &'static str,
    name: &'static str,
    feature: Option<&'static str>,
    /// Linked at a fixed address. There is a monitor for every running container, and relocating a
    /// position-independent one would copy 300 kB of its pages for each.
    fixed: bool,
}

const PROGRAMS: [Program; 4] = [
    Program {
        package: "berth-host",
        name: "berth",
        feature: None,
        fixed: false,
    },
    Program {
        package: "berth-monitor",
        name: "berth-monitor",
        feature: None,
        fixed: true,
    },
    Program {
        package: "berth-wasm-runtime",
        name: "berth-wasm",
        feature: Some("executor"),
        fixed: false,
    },
    Program {
        package: "berth-wasm-runtime",
        name: "berth-wasmc",
        feature: Some("compiler"),
        fixed: false,
    },
];

/// Builds all four and returns the folder that holds them.
pub(crate) fn build() -> Outcome<PathBuf> {
    for program in PROGRAMS {
        let mut cargo = shell::cargo();
        cargo.args([
            "rustc",
            "--release",
            "--package",
            program.package,
            "--bin",
            program.name,
        ]);
        cargo.args(
            program
                .feature
                .iter()
                .flat_map(|feature| ["--features", feature]),
        );
        if program.fixed {
            cargo.args(["--", "-C", "relocation-model=static"]);
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
    PROGRAMS.iter().map(|program| program.name)
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
    // The bridge these folders' containers were on; a person's own berth keeps its bridge.
    shell::read(&mut berth(&["network", "prune", "--force"]))?;
    println!(
        "\nThe programs are in {}; `cargo xtask install` puts them in place.",
        programs.display()
    );
    Ok(())
}
