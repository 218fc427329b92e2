//! The `berth` command: reads the environment once, finds the verb, answers with its exit code.
//!
//! A build with the feature `fault-points` reads `RUN/fault-point`, as berth-monitor does, and dies there;
//! its own points begin with `host-`, and `tests/killed` strikes at each of them.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = cli::Environment::of_process();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    ExitCode::from(cli::dispatch::run(environment, words))
}
