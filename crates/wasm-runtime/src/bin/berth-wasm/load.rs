//! Loading a compiled module: the one place where bytes become code.

#![expect(
    unsafe_code,
    reason = "wasmtime cannot check machine code; see the proof at `code`"
)]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use berth_contract::{Class, Error, Result};
use berth_sys::path;
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
    let file = File::from(file);
    match kind(&file)? {
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
///
/// Read at an offset: instances in one container share the open file and its position.
fn kind(file: &File) -> Result<Kind> {
    let mut head = [0_u8; 52];
    file.read_exact_at(&mut head, 0).map_err(|error| {
        Error::new(Class::Internal, "the compiled module cannot be read").caused_by(error)
    })?;
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

/// wasmtime 48 maps components by path only; `/proc` names the open file. Where that is not to be had the
/// code is copied into memory instead, which is slower and shares nothing with other containers.
fn component(engine: &Engine, file: File) -> Result<Component> {
    let path = format!("/proc/self/fd/{}", berth_sys::fd::number(&file));
    if is_named(&path) {
        // SAFETY: see `code`; the path is this very file.
        let component = unsafe { Component::deserialize_file(engine, path) };
        return component.map_err(refusal("the compiled component does not load"));
    }
    let bytes = copy(&file).map_err(|error| {
        Error::new(Class::Internal, "the compiled component cannot be read").caused_by(error)
    })?;
    // SAFETY: see `code`; the copy is ours.
    let component = unsafe { Component::deserialize(engine, bytes) };
    component.map_err(refusal("the compiled component does not load"))
}

fn copy(file: &File) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Whether the kernel names an open file there: an image can hold a file of that path, and nothing can
/// be mounted over the kernel's.
fn is_named(path: &str) -> bool {
    let folder = File::open("/proc/self/fd");
    folder.is_ok_and(|folder| path::is_on(&folder, path::PROC).unwrap_or(false))
        && File::open(path).is_ok()
}
