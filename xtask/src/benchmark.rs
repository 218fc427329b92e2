//! `cargo xtask bench`: ratios against the floor program and against installed peers, in one run.

use crate::programs;
use crate::shell::{self, Outcome};

/// Builds, then hands over to `tests/bench/run.py`, whose arguments these are.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let folder = programs::build()?;
    shell::run(
        shell::command("python3")
            .arg("tests/bench/run.py")
            .arg("--berth")
            .arg(folder.join("berth"))
            .args(arguments),
    )
}
