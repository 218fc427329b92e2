//! `berth-wasmc`: wasm bytes in, their compiled form out.
//!
//! ```text
//! berth-wasmc engine               fd 3 ◄─ what an artefact depends on beside the module, one line
//! berth-wasmc compile [FUNCTION]   fd 3 ◄─ artefact   fd 4 ◄─ on failure a report as JSON   fd 5 ─► module
//! berth-wasmc assemble             fd 3 ◄─ module     fd 4 ◄─ the same                      fd 5 ─► its text
//! ```
//!
//! A module is entered at `_start`, a component at one of WASI's interfaces, or either at FUNCTION.
//!
//! The engine's cache starts it for bytes that nobody has vouched for: before it reads the first of them
//! it gives up the file system, the network and every system call that a compiler does not need.

mod assemble;
mod confinement;
mod inspect;

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use berth_contract::{Class, Error, Report, Result};
use berth_sys::spawn;
use berth_wasm_runtime::engine;
use wasmtime::Engine;

/// What one write to a pipe that nobody reads yet can hold (man 7 pipe).
const REPORT_SIZE: usize = 64 * 1024;

fn main() -> ExitCode {
    // Taken first: later the process cannot even look at numbers it has not opened.
    let report = file(4);
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("engine") => describe_engine(),
        Some("compile") => compile(arguments.next().as_deref()),
        Some("assemble") => assemble(),
        _ => Err(Error::new(
            Class::Invalid,
            "berth-wasmc is started by berth alone",
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(report, &Report::from(&error));
            ExitCode::FAILURE
        }
    }
}

/// Whoever started us sees the exit status, too; a report that does not fit is worth less than an end.
fn tell(pipe: Result<File>, report: &Report) {
    if let (Ok(mut pipe), Ok(text)) = (pipe, serde_json::to_vec(report))
        && text.len() <= REPORT_SIZE
    {
        pipe.write_all(&text).ok();
    }
}

fn file(number: i32) -> Result<File> {
    spawn::inherited(number).map(File::from).map_err(|error| {
        Error::new(
            Class::Internal,
            format!("berth-wasmc was started without file {number}"),
        )
        .caused_by(error)
    })
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
    write(
        &mut file(3)?,
        format!("{:016x}\n", hasher.finish()).as_bytes(),
    )
}

fn compile(function: Option<&str>) -> Result<()> {
    let (mut artefact, module) = (file(3)?, file(5)?);
    let engine = engine()?;
    confinement::confine()?;
    let bytes = read(module)?;
    let compiled = match inspect::runnable(&bytes, function)? {
        inspect::Kind::Module => engine.precompile_module(&bytes),
        inspect::Kind::Component => engine.precompile_component(&bytes),
    };
    let compiled = compiled.map_err(|error| {
        Error::new(Class::CannotInvoke, "the wasm module is not valid").caused_by(chain(&error))
    })?;
    write(&mut artefact, &compiled)
}

fn assemble() -> Result<()> {
    let (mut module, text) = (file(3)?, file(5)?);
    confinement::confine()?;
    write(&mut module, &assemble::module(read(text)?)?)
}

/// Reads what was passed on; only once nothing of it can do any harm.
fn read(mut file: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| {
        Error::new(Class::Internal, "cannot read the wasm module").caused_by(error)
    })?;
    Ok(bytes)
}

fn write(file: &mut File, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes).map_err(|error| {
        Error::new(Class::Unavailable, "cannot write the compiled module").caused_by(error)
    })
}

/// The whole chain in one line: wasmtime's error is no `std::error::Error`.
fn chain(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}
