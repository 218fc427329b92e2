//! The README's second command: everything the tests need, and all of them.

use crate::shell::{self, Outcome};
use crate::{fuzz, programs, tools, twins};

/// Installs, builds and tests.
///
/// Unit tests run in the development profile; the end-to-end tests of `tests/` run the shipped
/// programs, found through `BERTH_PROGRAMS` and `BERTH_TWINS`.
pub(crate) fn run(filter: Option<&str>) -> Outcome {
    tools::install()?;
    let folder = programs::build()?;
    let twins = twins::build()?;
    let skips = shell::target().join("skipped-tests");
    remove(&skips)?;

    let mut failures = Vec::new();
    let mut test = |arguments: &[&str]| {
        // A shell that starts the suite in the background has it ignore Ctrl-C, and what the tests start with it.
        let mut cargo = shell::command("env");
        cargo.arg("--default-signal=INT,QUIT");
        cargo.arg(shell::cargo().get_program());
        cargo.arg("test").args(arguments).arg("--no-fail-fast");
        cargo
            .env("BERTH_PROGRAMS", &folder)
            .env("BERTH_TWINS", &twins);
        cargo.env("BERTH_SKIPS", &skips);
        cargo.args(filter);
        if let Err(reason) = shell::run(&mut cargo) {
            failures.push(reason);
        }
    };
    // The fault points are in no shipped program: with them berth and a monitor die at a step of our choice.
    let faults = [
        "--features",
        "berth-host/fault-points,berth-monitor/fault-points",
    ];
    test(&[&["--workspace", "--exclude", "berth-testkit"], &faults[..]].concat());
    test(&["--package", "berth-testkit"]);

    if filter.is_none()
        && let Err(reason) = fuzz::run(None)
    {
        failures.push(reason);
    }
    remove_empty_cgroup();
    report_skips(&skips);
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("; "))
    }
}

fn remove(file: &std::path::Path) -> Outcome {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", file.display()))
        }
        _ => Ok(()),
    }
}

/// The engine lets the cgroup stay in which those of its containers were; after the tests nobody needs it.
fn remove_empty_cgroup() {
    let top = std::path::Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(top).into_iter().flatten().flatten();
    for hierarchy in hierarchies
        .map(|entry| entry.path())
        .chain([top.to_owned()])
    {
        // The kernel refuses while containers are in it, and where there is none nothing is to be done.
        std::fs::remove_dir(hierarchy.join("berth")).ok();
    }
}

fn report_skips(skips: &std::path::Path) {
    let text = std::fs::read_to_string(skips).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    println!("\nskipped: {}", lines.len());
    for line in lines {
        println!("  {line}");
    }
}
