//! Builds the two programs of the built-in image `hello` from their sources in `src/hello/`.
//!
//! The native one needs the C compiler that the build needs anyway; it uses no C library, so that a
//! machine without a static one can build it. The wasm one is assembled by the `wat` crate.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/hello");
    println!("cargo::rerun-if-env-changed=CC");
    let output = PathBuf::from(variable("OUT_DIR")?);
    native(&output.join("hello"))?;
    wasm(&output.join("hello.wasm"))
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    std::env::var(name).map_err(|error| format!("{name}: {error}").into())
}

/// The C compiler for the target, as the `cc` crate looks for it: `CC_<target>`, `TARGET_CC`, `CC`.
fn compiler() -> Result<String, Box<dyn Error>> {
    let target = variable("TARGET")?;
    let specific = format!("CC_{}", target.replace('-', "_"));
    let names = [
        format!("CC_{target}"),
        specific,
        "TARGET_CC".to_owned(),
        "CC".to_owned(),
    ];
    let chosen = names.iter().find_map(|name| std::env::var(name).ok());
    if let Some(chosen) = chosen {
        return Ok(chosen);
    }
    let architecture = variable("CARGO_CFG_TARGET_ARCH")?;
    let native = variable("HOST")?.starts_with(&architecture);
    Ok(if native {
        "cc".to_owned()
    } else {
        format!("{architecture}-linux-gnu-gcc")
    })
}

fn native(program: &Path) -> Result<(), Box<dyn Error>> {
    let compiler = compiler()?;
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words).args([
        "-static",
        "-nostdlib",
        "-nostartfiles",
        "-ffreestanding",
        "-fno-stack-protector",
        "-fno-asynchronous-unwind-tables",
        "-fno-pie",
        "-no-pie",
        "-Os",
        "-s",
        "-Wl,--build-id=none",
        "-Wl,-z,norelro",
        "-Wl,-z,noseparate-code",
        "-o",
    ]);
    command.arg(program).arg("src/hello/hello.c");
    let output = command.output().map_err(|error| {
        format!(
            "berth needs a C compiler to build its hello image, but {compiler:?} cannot be run: {error}\n\
             install gcc or clang, or name yours with CC=…"
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("the C compiler {compiler:?} cannot build src/hello/hello.c:\n{said}").into())
}

fn wasm(module: &Path) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string("src/hello/wasm.txt")?;
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let source = std::fs::read_to_string("src/hello/hello.wat")?
        .replace("@TEXT@", &escaped)
        .replace("@LENGTH@", &text.len().to_string());
    let bytes = wat::parse_str(&source)?;
    std::fs::write(module, bytes)?;
    Ok(())
}
