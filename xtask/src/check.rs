//! `cargo xtask check`: what must hold before anything lands.

use std::path::{Path, PathBuf};

use crate::shell::{self, Outcome};
use crate::{dependencies, programs};

/// A source file longer than this is questioned; longer than [`TOO_LONG`] it fails.
const LONG: usize = 500;
const TOO_LONG: usize = 800;

/// The rules of the house, formatting, clippy for every feature set, and documentation.
pub(crate) fn run() -> Outcome {
    // What needs no compiler comes first: it fails within a second.
    let mut problems = Vec::new();
    dependencies::check(&mut problems)?;
    sources(&mut problems)?;
    manifests(&mut problems)?;
    report(&problems)?;

    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    let clippy = |arguments: &[&str]| {
        let mut cargo = shell::cargo();
        cargo
            .arg("clippy")
            .args(arguments)
            .args(["--quiet", "--", "--deny", "warnings"]);
        shell::run(&mut cargo)
    };
    clippy(&["--workspace", "--all-targets"])?;
    clippy(&["--package", "berth-wasm-runtime", "--features", "executor"])?;
    clippy(&["--package", "berth-wasm-runtime", "--features", "compiler"])?;
    let mut doc = shell::cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "--deny warnings");
    shell::run(&mut doc)?;

    programs::check_resident(&mut problems)?;
    report(&problems)?;
    println!("the rules of the house hold");
    Ok(())
}

/// Fails with all that was found, if anything was.
fn report(problems: &[String]) -> Outcome {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "the rules of the house are broken:\n  {}",
            problems.join("\n  ")
        ))
    }
}

/// Every source opens by saying what it is, is not too long, and leaves nothing for later.
fn sources(problems: &mut Vec<String>) -> Outcome {
    let mut files = Vec::new();
    for folder in ["crates", "fuzz", "tests", "xtask"] {
        collect(&shell::root().join(folder), &mut files)?;
    }
    for file in files {
        let name = file
            .strip_prefix(shell::root())
            .unwrap_or(&file)
            .display()
            .to_string();
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{name}: {error}"))?;
        if !text.starts_with("//!") {
            problems.push(format!("{name} does not open with //!"));
        }
        let lines = text.lines().count();
        if lines > TOO_LONG {
            problems.push(format!("{name} has {lines} lines, more than {TOO_LONG}"));
        } else if lines > LONG {
            println!("{name} has {lines} lines: would a newcomer find their room in it?");
        }
        // Spelled in two halves so that this file does not find itself.
        for word in [
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("#[ig", "nore"),
        ] {
            if text.contains(word) {
                problems.push(format!("{name} contains {word}"));
            }
        }
    }
    Ok(())
}

/// Every crate obeys the workspace's lints.
fn manifests(problems: &mut Vec<String>) -> Outcome {
    let crates =
        std::fs::read_dir(shell::root().join("crates")).map_err(|error| error.to_string())?;
    for entry in crates.flatten() {
        let manifest = entry.path().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .map_err(|error| format!("{}: {error}", manifest.display()))?;
        if !text.contains("[lints]\nworkspace = true") {
            problems.push(format!(
                "{} does not take the workspace's lints",
                manifest.display()
            ));
        }
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
