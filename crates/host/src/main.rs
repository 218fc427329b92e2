//! The `berth` command: reads the environment once, finds the verb, answers with its exit code.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = cli::Environment::of_process();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    ExitCode::from(cli::dispatch::run(environment, words))
}
