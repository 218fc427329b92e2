//! The programs of `images/`, each compiled for Linux and for WASI preview 1.

use std::path::PathBuf;
use std::process::Command;

use crate::shell::{self, Outcome};

/// Compiles every twin into `TARGET/twins/{native,wasm}/NAME` and returns `TARGET/twins`.
///
/// Where Debian's clang for wasm is not installed, the wasm half is left out and the tests say so.
pub(crate) fn build() -> Outcome<PathBuf> {
    let twins = shell::target().join("twins");
    for kind in ["native", "wasm"] {
        std::fs::create_dir_all(twins.join(kind))
            .map_err(|error| format!("{}: {error}", twins.display()))?;
    }
    let wasm = shell::exists("clang-14") && shell::exists("wasm-ld-14");
    if !wasm {
        println!("clang-14 and lld-14 are missing: the wasm twins are not built");
    }
    let folder = shell::root().join("images");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("images: {error}"))?;
    for entry in entries.flatten() {
        let source = entry.path().join("main.c");
        if !source.is_file() {
            continue;
        }
        let mut native = shell::command("cc");
        native.args(["-O2", "-static", "-s", "-Wall", "-Wextra", "-Werror"]);
        compile(
            native,
            &source,
            &twins.join("native").join(entry.file_name()),
        )?;
        if wasm {
            let mut clang = shell::command("clang-14");
            clang.args(["--target=wasm32-wasi", "-O2", "-Wall", "-Wextra", "-Werror"]);
            clang.arg("-Wl,--strip-all");
            compile(clang, &source, &twins.join("wasm").join(entry.file_name()))?;
        }
    }
    Ok(twins)
}

fn compile(mut compiler: Command, source: &PathBuf, target: &PathBuf) -> Outcome {
    let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified());
    if let (Ok(made), Ok(written)) = (changed(target), changed(source))
        && made > written
    {
        return Ok(());
    }
    shell::run(compiler.arg("-o").arg(target).arg(source))
}
