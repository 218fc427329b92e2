//! berth's own commands: `cargo xtask build | hello | test | fuzz | check | bench | images | install | man | completions`.
//!
//! A plain `cargo build` of the workspace would unify features and link wasmtime's compiler into the
//! executor, so the four programs are built one by one into one target folder ([`programs`]).

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "a command for developers speaks on standard output"
)]
#![expect(clippy::print_stderr, reason = "and complains on standard error")]
#![expect(
    clippy::disallowed_methods,
    reason = "it reads its own environment, as every main does"
)]

mod benchmark;
mod check;
mod dependencies;
mod fuzz;
mod install;
mod programs;
mod shell;
mod suite;
mod tools;
mod twins;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  build         build berth, berth-monitor, berth-wasm and berth-wasmc
  hello         build, then run the built-in hello image natively and as wasm
  images        compile the twin programs of images/ for Linux and for WASI
  test [NAME]   install what the tests need, build, and run every test (or those whose name has NAME)
  fuzz [SECONDS]  run every fuzz target for so long (4)
  check         formatting, clippy, documentation, and the rules of the house
  bench [NAME]  measure against the floor and against installed peers
  man DIR       write the manual pages
  completions DIR  write the shell completions
  install [--prefix DIR]  install programs, completions and manual pages (default /usr/local)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("build") => programs::build().map(drop),
        Some("hello") => programs::hello(),
        Some("images") => twins::build().map(drop),
        Some("test") => suite::run(rest.first().map(String::as_str)),
        Some("fuzz") => fuzz::run(rest.first().map(String::as_str)),
        Some("check") => check::run(),
        Some("bench") => benchmark::run(rest),
        Some("man") => install::manual(rest),
        Some("completions") => install::completions(rest),
        Some("install") => install::run(rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
