//! Loading a compiled module: the one place where bytes become code.

#![expect(
    unsafe_code,
    reason = "wasmtime cannot check machine code; see the proof at `code`"
)]

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::OwnedFd;

use berth_contract::{Class, Error, Result};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::ending::refusal;

/// What a file holds.
pub(crate) enum Code {
    /// A core module.
    Module(Module),
    /// A component.
    Component(Component),
}

/// Maps the compiled module.
///
/// wasmtime runs what is in the file, so the file must be its own compiler's output, whole, and must
/// not change while it is mapped. The proof:
///
/// - It comes by number from the process that started us, which opened it in the engine's own cache
///   (mode 0700, of the engine's user); no image or container can name a file there.
/// - The cache is filled only by `berth-wasmc`'s standard output, written aside, synced and renamed into
///   place when it ended with success. Files there are never written again, only unlinked.
/// - wasmtime refuses files of another version, other settings or another CPU.
pub(crate) fn code(engine: &Engine, file: OwnedFd) -> Result<Code> {
    let mut file = File::from(file);
    match kind(&mut file)? {
        Kind::Module => {
            // SAFETY: see above.
            let module = unsafe { Module::deserialize_open_file(engine, file) };
            module
                .map(Code::Module)
                .map_err(refusal("the compiled module does not load"))
        }
        Kind::Component => component(engine, file).map(Code::Component),
    }
}

/// The ELF header's flags say what wasmtime put into the file (`wasmtime_environ::obj`); the loader
/// checks the rest.
fn kind(file: &mut File) -> Result<Kind> {
    let mut head = [0_u8; 52];
    let unreadable =
        |error| Error::new(Class::Internal, "the compiled module cannot be read").caused_by(error);
    file.read_exact(&mut head).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let [.., first, second, third, fourth] = head;
    match (
        head.starts_with(b"\x7fELF"),
        u32::from_le_bytes([first, second, third, fourth]),
    ) {
        (true, 1) => Ok(Kind::Module),
        (true, 2) => Ok(Kind::Component),
        _ => Err(Error::new(
            Class::Internal,
            "the compiled module is damaged",
        )),
    }
}

enum Kind {
    Module,
    Component,
}

/// wasmtime 48 maps components by path only; `/proc` names the open file. Where the root has no `/proc`
/// the code is copied into memory instead, which is slower and shares nothing with other containers.
fn component(engine: &Engine, mut file: File) -> Result<Component> {
    let path = format!("/proc/self/fd/{}", berth_sys::fd::number(&file));
    if std::path::Path::new(&path).exists() {
        // SAFETY: see `code`; the path is this very file.
        let component = unsafe { Component::deserialize_file(engine, path) };
        return component.map_err(refusal("the compiled component does not load"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| {
        Error::new(Class::Internal, "the compiled component cannot be read").caused_by(error)
    })?;
    // SAFETY: see `code`; the copy is ours.
    let component = unsafe { Component::deserialize(engine, bytes) };
    component.map_err(refusal("the compiled component does not load"))
}
