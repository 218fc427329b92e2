//! `cargo xtask fuzz`: every target of `fuzz/` for a few seconds, on the stable compiler.
//!
//! What `cargo fuzz` asks of a nightly compiler is the address sanitizer, which safe code has little need of.
//! The coverage that guides libFuzzer is a pass of LLVM, which stable flags reach. libFuzzer itself is C++.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::shell::{self, Outcome};

/// How long each target runs at most unless another number is given, and how often: the same inputs each time,
/// so that a run that has nothing to do with a finding does not fail by it.
const SECONDS: &str = "4";
const RUNS: &str = "-runs=5000";
/// At once: each also waits for the file system.
const AT_ONCE: usize = 3;
/// The coverage libFuzzer is guided by, and what `cargo fuzz` sets.
const FLAGS: &str = "--cfg fuzzing -Aunused -Cdebug-assertions -Coverflow-checks \
    -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Builds the targets and runs each of them from its corpus.
pub(crate) fn run(seconds: Option<&str>) -> Outcome {
    if !shell::exists("c++") {
        println!("fuzz targets are skipped: there is no C++ compiler (Debian: g++)");
        return Ok(());
    }
    let folder = shell::target().join("fuzz");
    let mut cargo = shell::cargo();
    cargo.args([
        "build",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
    ]);
    cargo.arg(&folder).env("RUSTFLAGS", FLAGS);
    shell::run(&mut cargo)?;
    let programs = folder.join(shell::host_triple()?).join("debug");
    let mut failures = Vec::new();
    let targets = targets()?;
    for group in targets.chunks(AT_ONCE) {
        let mut running = Vec::new();
        for target in group {
            let started = start(target, &programs, &folder, seconds);
            running.push((target, started));
        }
        for (target, started) in running {
            if let Err(reason) = started.and_then(|child| finish(target, child)) {
                failures.push(reason);
            }
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n")),
    }
}

/// The targets are the files.
fn targets() -> Outcome<Vec<String>> {
    let place = shell::root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&place);
    let entries = entries.map_err(|error| format!("{}: {error}", place.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}

/// What is found goes beside the programs; the corpus of the repository is only read.
fn start(target: &str, programs: &Path, folder: &Path, seconds: Option<&str>) -> Outcome<Child> {
    let found = folder.join("found").join(target);
    let fresh = match std::fs::remove_dir_all(&found) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(&found),
    };
    fresh.map_err(|error| format!("{}: {error}", found.display()))?;
    let mut command: Command = shell::command(programs.join(target));
    command
        .args(["-seed=1", "-timeout=10", "-rss_limit_mb=1024"])
        .args(seconds.is_none().then_some(RUNS))
        .arg(format!("-max_total_time={}", seconds.unwrap_or(SECONDS)))
        .arg(format!(
            "-artifact_prefix={}/crash-{target}-",
            folder.display()
        ))
        .arg(&found)
        .arg(format!("fuzz/corpus/{target}"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
        .spawn()
        .map_err(|error| format!("{target}: {error}"))
}

fn finish(target: &str, child: Child) -> Outcome {
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        let last = said.lines().rev().find(|line| line.starts_with("Done"));
        println!("fuzz {target}: {}", last.unwrap_or("done"));
        return Ok(());
    }
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(40)..].join("\n");
    Err(format!(
        "fuzz {target} ended with {}:\n{end}",
        output.status
    ))
}
