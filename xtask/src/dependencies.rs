//! The arrows between the crates, as an allow-list that fails when somebody draws another.

use crate::shell::{self, Outcome};

/// Each crate, and the crates of ours it may depend on (ARCHITECTURE.md, "Crates").
const ARROWS: [(&str, &[&str]); 10] = [
    ("berth-contract", &[]),
    ("berth-sys", &["berth-contract"]),
    ("berth-network", &["berth-contract", "berth-sys"]),
    ("berth-image", &["berth-contract", "berth-sys"]),
    ("berth-linux-runtime", &["berth-contract", "berth-sys"]),
    ("berth-wasm-runtime", &["berth-contract", "berth-sys"]),
    (
        "berth-monitor",
        &[
            "berth-contract",
            "berth-sys",
            "berth-network",
            "berth-linux-runtime",
            "berth-wasm-runtime",
        ],
    ),
    (
        "berth-host",
        &[
            "berth-contract",
            "berth-sys",
            "berth-network",
            "berth-image",
            "berth-linux-runtime",
            "berth-wasm-runtime",
            "berth-monitor",
        ],
    ),
    ("berth-testkit", &["berth-contract"]),
    ("xtask", &[]),
];
/// Outside crates that only some of ours may name, with the reason in ARCHITECTURE.md.
const CONFINED: [(&str, &[&str]); 6] = [
    ("nix", &["berth-sys"]),
    ("rustix", &["berth-sys"]),
    ("libc", &["berth-sys"]),
    ("wasmtime", &["berth-wasm-runtime"]),
    ("reqwest", &["berth-image"]),
    ("clap", &["berth-host"]),
];

/// Compares every manifest with the two lists.
pub(crate) fn check(problems: &mut Vec<String>) -> Outcome {
    // `cargo tree` at depth 1 lists a package's own dependencies, whatever features they need.
    let allowed: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (package, arrows) in ARROWS {
        for dependency in direct(package)? {
            if allowed.contains(&dependency.as_str()) && !arrows.contains(&dependency.as_str()) {
                problems.push(format!("{package} must not depend on {dependency}"));
            }
            let confined = CONFINED.iter().find(|(name, _)| *name == dependency);
            if let Some((_, homes)) = confined
                && !homes.contains(&package)
            {
                problems.push(format!(
                    "{package} must not name {dependency}: it belongs to {homes:?}"
                ));
            }
        }
    }
    executor_without_compiler(problems)
}

fn direct(package: &str) -> Outcome<Vec<String>> {
    let tree = shell::read(shell::cargo().args([
        "tree",
        "--package",
        package,
        "--depth",
        "1",
        "--prefix",
        "none",
        "--edges",
        "normal,build",
        "--all-features",
        "--format",
        "{p}",
    ]))?;
    Ok(tree
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}

/// The executor runs guests' code; no compiler may be linked into it.
fn executor_without_compiler(problems: &mut Vec<String>) -> Outcome {
    let tree = shell::read(shell::cargo().args([
        "tree",
        "--package",
        "berth-wasm-runtime",
        "--features",
        "executor",
        "--prefix",
        "none",
        "--edges",
        "normal",
        "--format",
        "{p}",
    ]))?;
    for line in tree.lines() {
        if line.starts_with("cranelift-codegen ")
            || line.starts_with("wasmtime-internal-cranelift ")
        {
            problems.push(format!("berth-wasm would link a compiler: {line}"));
        }
    }
    Ok(())
}
