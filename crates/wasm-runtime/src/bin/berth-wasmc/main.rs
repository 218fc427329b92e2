//! `berth-wasmc`: a wasm module on standard input, its compiled form on standard output.
//!
//! ```text
//! berth-wasmc            fd 0 module bytes → fd 1 artefact; on failure fd 2 holds a report as JSON
//! berth-wasmc --engine   prints what the artefact depends on beside the module
//! ```
//!
//! It is started by [`berth_wasm_runtime::cache`] alone, for bytes that nobody has vouched for: before it
//! reads the first of them it gives up the file system, the network and every system call that a
//! compiler does not need.

mod confinement;
mod inspect;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use berth_contract::{Class, Error, Report, Result};
use berth_wasm_runtime::engine;
use wasmtime::Engine;

fn main() -> ExitCode {
    let describe = std::env::args().nth(1).is_some_and(|argument| argument == "--engine");
    let outcome = if describe { describe_engine() } else { compile() };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let report = serde_json::to_vec(&Report::from(&error)).unwrap_or_default();
            // Whoever started us sees the exit status, too.
            std::io::stderr().write_all(&report).ok();
            ExitCode::FAILURE
        }
    }
}

fn engine() -> Result<Engine> {
    Engine::new(&engine::settings()).map_err(|error| {
        Error::new(Class::Internal, "cannot set up the wasm compiler").caused_by(chain(&error))
    })
}

/// The hash covers wasmtime's full version, its tunables, the compiler's flags and the CPU's features.
fn describe_engine() -> Result<()> {
    let mut hasher = DefaultHasher::new();
    engine()?.precompile_compatibility_hash().hash(&mut hasher);
    let text = format!("{:016x}\n", hasher.finish());
    output(text.as_bytes())
}

fn compile() -> Result<()> {
    let engine = engine()?;
    confinement::confine()?;
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| Error::new(Class::Internal, "cannot read the module").caused_by(error))?;
    let kind = inspect::runnable(&bytes)?;
    let artefact = match kind {
        inspect::Kind::Module => engine.precompile_module(&bytes),
        inspect::Kind::Component => engine.precompile_component(&bytes),
    };
    let artefact = artefact.map_err(|error| {
        Error::new(Class::CannotInvoke, "the wasm module is not valid").caused_by(chain(&error))
    })?;
    output(&artefact)
}

fn output(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Error::new(Class::Unavailable, "cannot write the compiled module").caused_by(error))
}

/// The whole chain in one line: wasmtime's error is no `std::error::Error`.
fn chain(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}
