//! The two traits every runtime keeps, and the data that crosses them.
//!
//! The description of a guest is the OCI runtime-spec ([`oci::Spec`]). Beside it a [`Slot`] holds what
//! the standard has no word for: where the root file system comes from, the guest's stdio, and for
//! wasm the compiled module.
//!
//! Both traits are synchronous and object-safe: forking from an async runtime is a trap.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Class, Error, Result};
use crate::exit::Exit;
use crate::id::ContainerId;
use crate::oci;
use crate::signal::Signal;

/// A way of running guests.
pub trait Runtime: fmt::Debug {
    /// The word `inspect` shows: `linux` or `wasm`.
    fn name(&self) -> &'static str;

    /// Says whether this host can run this runtime's guests at all, and what is missing otherwise.
    fn probe(&self, host: &HostFacts) -> Support;

    /// Decides from data, never by trying, whether an image is this runtime's.
    fn accepts(&self, image: &ImageFacts) -> Verdict;

    /// Makes a guest and returns as soon as its process exists.
    ///
    /// The guest prepares itself (mounts, identity, limits) while the caller attaches networks to
    /// `/proc/PID/ns/net`; it does not execute its program before [`Guest::start`]. The calling
    /// process must be single-threaded and stays the guest's direct parent; when it dies, the kernel
    /// kills the guest.
    ///
    /// # Errors
    /// Whatever can be known before the guest prepares itself; nothing is left behind then.
    fn create(&self, spec: &oci::Spec, slot: Slot) -> Result<Box<dyn Guest>>;
}

/// One guest: a process tree in its own namespaces and cgroup, or a second process inside them.
pub trait Guest: fmt::Debug {
    /// The pid of the guest's first process as the host sees it.
    fn pid(&self) -> i32;

    /// Refers to that process; readable once it has ended.
    fn pidfd(&self) -> BorrowedFd<'_>;

    /// Hands out the pty master of a guest with [`Stdio::Terminal`], once; waits until the guest made it.
    ///
    /// # Errors
    /// The guest failed while preparing itself; the error is the one [`Guest::start`] would give.
    fn terminal(&mut self) -> Result<Option<OwnedFd>>;

    /// Waits until the guest is prepared, lets it execute its program, and returns once it runs.
    ///
    /// # Errors
    /// Class `CommandNotFound` (127) and `CannotInvoke` (126) for the program itself, others for the
    /// preparation. The guest is dead then; [`Guest::destroy`] still has to be called.
    fn start(&mut self) -> Result<()>;

    /// Sends a signal to the guest's first process.
    ///
    /// # Errors
    /// The process has ended already.
    fn signal(&self, signal: Signal) -> Result<()>;

    /// How the guest ended, or `None` while it runs. Never blocks.
    ///
    /// `Signalled(KILL)` is reported as such: whether memory was the reason is read from the cgroup
    /// by the caller.
    ///
    /// # Errors
    /// The process is not ours to wait for.
    fn reap(&mut self) -> Result<Option<Exit>>;

    /// Runs a second process inside this guest: same namespaces, cgroup and root; own stdio and exit.
    ///
    /// # Errors
    /// As for [`Guest::start`]; the returned guest still has to be started.
    fn exec(&mut self, process: &oci::Process, stdio: Stdio) -> Result<Box<dyn Guest>>;

    /// As [`Guest::exec`], with a program of the caller's and further files open: how a runtime that
    /// wraps another one runs its own programs inside the guest.
    ///
    /// # Errors
    /// As for [`Guest::exec`]; class `Unsupported` where a runtime has no use for it.
    fn exec_program(
        &mut self,
        process: &oci::Process,
        stdio: Stdio,
        program: Program,
        inherited: Vec<Inherited>,
    ) -> Result<Box<dyn Guest>> {
        let _unused = (process, stdio, program, inherited);
        Err(Error::new(
            Class::Unsupported,
            "this runtime runs no foreign programs in its guests",
        ))
    }

    /// Kills what is left of the guest and removes its cgroup. May be called twice.
    ///
    /// # Errors
    /// All failures are collected; what could be removed is removed.
    fn destroy(&mut self) -> Result<()>;
}

/// What the OCI runtime-spec does not say about one guest.
#[derive(Debug)]
pub struct Slot {
    /// The container.
    pub id: ContainerId,
    /// Where the root file system comes from. `spec.root.readonly` says whether it is writable.
    pub rootfs: Rootfs,
    /// Where the guest's standard streams go.
    pub stdio: Stdio,
    /// What is executed in place of `spec.process.args[0]`, if anything.
    pub program: Program,
    /// Further files the guest finds open, at these numbers (3 and up).
    pub inherited: Vec<Inherited>,
    /// The compiled module of a wasm guest, open for reading.
    pub module: Option<OwnedFd>,
}

/// Where a root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rootfs {
    /// Image layers with a writable layer on top.
    Overlay {
        /// The extracted layers, topmost first.
        lowers: Vec<PathBuf>,
        /// The writable layer.
        upper: PathBuf,
        /// Overlayfs's work directory, on the file system of `upper`.
        work: PathBuf,
        /// Skip every sync: right for a container that `--rm` throws away.
        volatile: bool,
    },
    /// A directory used as it is (`--rootfs`, OCI bundles).
    Directory(PathBuf),
}

/// Where a guest's standard streams go.
#[derive(Debug)]
pub enum Stdio {
    /// Three open files.
    Files {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A new pty of the container's own devpts; its master comes from [`Guest::terminal`].
    Terminal(TerminalSize),
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters per line.
    pub columns: u16,
}

/// What the guest executes.
#[derive(Debug)]
pub enum Program {
    /// `spec.process.args[0]`, looked up in the guest's `PATH` and root.
    Arguments,
    /// This file, whatever `args[0]` says: opened outside, through a read-only mount or sealed, so that
    /// the guest cannot overwrite it through `/proc/self/exe` (CVE-2019-5736).
    File(OwnedFd),
}

/// A file the guest finds open.
#[derive(Debug)]
pub struct Inherited {
    /// The file.
    pub file: OwnedFd,
    /// Its number in the guest, 3 or above.
    pub number: i32,
}

/// What the host offers, as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// `amd64`, `arm64`, … as image-spec spells it.
    pub architecture: String,
    /// Kernel version, major and minor.
    pub kernel: (u32, u32),
}

/// Whether a host can run a runtime's guests.
#[derive(Debug)]
pub enum Support {
    /// It can.
    Ready,
    /// It cannot: what is missing, and what to do about it.
    Missing(Error),
}

/// What dispatch looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// The media type of the image's config.
    pub config_media_type: String,
    /// `os` of the config or of the index entry: `linux`, `wasi`, `wasip1`, `wasip2`.
    pub os: String,
    /// `architecture`: `amd64`, `wasm`, `wasm32`, …
    pub architecture: String,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// What the resolved entrypoint is, after following `#!` to its interpreter; `None` if no file is
    /// there (it may appear with a volume, or be a mistake that starting will report).
    pub program: Option<ProgramKind>,
}

/// What a program's first bytes say it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramKind {
    /// ELF, with its `e_machine` (62 is x86-64, 183 aarch64).
    Elf {
        /// The machine number.
        machine: u16,
    },
    /// A core wasm module: `\0asm` and version 1.
    WasmModule,
    /// A wasm component: `\0asm`, version 13, layer 1.
    WasmComponent,
    /// `#!`, with the interpreter's path.
    Script {
        /// The interpreter, as written.
        interpreter: String,
    },
    /// Something else, or nothing.
    Unknown,
}

impl ProgramKind {
    /// Reads the kind from a program's first bytes (256 are enough for any `#!` line Linux accepts).
    #[must_use]
    pub fn from_head(head: &[u8]) -> Self {
        match head {
            [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Self::WasmModule,
            [0, b'a', b's', b'm', _, _, 1, 0, ..] => Self::WasmComponent,
            [0x7f, b'E', b'L', b'F', _, order, ..] if head.len() >= 20 => {
                let machine = [head[18], head[19]];
                let machine = if *order == 2 {
                    u16::from_be_bytes(machine)
                } else {
                    u16::from_le_bytes(machine)
                };
                Self::Elf { machine }
            }
            [b'#', b'!', rest @ ..] => {
                let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let text = String::from_utf8_lossy(line);
                match text.split_ascii_whitespace().next() {
                    Some(interpreter) => Self::Script {
                        interpreter: interpreter.to_owned(),
                    },
                    None => Self::Unknown,
                }
            }
            _ => Self::Unknown,
        }
    }

    /// Whether it is wasm.
    #[must_use]
    pub fn is_wasm(&self) -> bool {
        matches!(self, Self::WasmModule | Self::WasmComponent)
    }
}

/// A runtime's answer to "is this image yours?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Mine,
    /// It is another runtime's.
    NotMine,
    /// It is this runtime's kind, but it cannot be run here.
    Refused {
        /// Why.
        reason: String,
        /// What to do instead.
        hint: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_kind() {
        let mut elf = [0_u8; 20];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        assert_eq!(
            ProgramKind::from_head(&elf),
            ProgramKind::Elf { machine: 62 }
        );
        assert_eq!(
            ProgramKind::from_head(b"\0asm\x01\0\0\0"),
            ProgramKind::WasmModule
        );
        assert_eq!(
            ProgramKind::from_head(b"\0asm\x0d\0\x01\0"),
            ProgramKind::WasmComponent
        );
        assert_eq!(
            ProgramKind::from_head(b"#! /usr/bin/env sh\necho"),
            ProgramKind::Script {
                interpreter: "/usr/bin/env".into()
            }
        );
        for nothing in [&b""[..], b"#!", b"#!\n", b"\0as", b"\x7fELF", b"hello"] {
            assert_eq!(ProgramKind::from_head(nothing), ProgramKind::Unknown);
        }
    }
}
