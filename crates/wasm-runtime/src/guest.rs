//! A wasm guest: the native guest that runs the executor, and the executor's report.
//!
//! What `exec` means here: a wasm file runs as a second instance, with its own memory, in the same
//! namespaces, root and cgroup; a native file runs as in any container. In a container whose own program
//! is not one of its files (an artifact holds just a module) a command that is no file there becomes
//! arguments for another instance of that module; no command at all is such an instance everywhere.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use berth_contract::{Class, Error, Exit, Guest, Report, Result, Signal, Stdio, oci};
use berth_sys::error::Explain as _;
use berth_sys::fd;
use berth_sys::path::Directory;

use crate::configuration::{Ending, REFUSED_STATUS, TRAP_STATUS};
use crate::inside;
use crate::runtime::{Programs, Settings};

/// A report is one line about one trap; more than this is not read.
const LARGEST_REPORT: u64 = 64 * 1024;

/// A wasm guest.
#[derive(Debug)]
pub(crate) struct WasmGuest {
    inner: Box<dyn Guest>,
    report: Option<OwnedFd>,
    exec: Option<Exec>,
}

/// What a guest's first process needs for running further ones.
#[derive(Debug)]
struct Exec {
    programs: Programs,
    settings: Settings,
    name: String,
    module: OwnedFd,
}

impl WasmGuest {
    /// The guest's first process.
    pub(crate) fn first(
        inner: Box<dyn Guest>,
        report: OwnedFd,
        programs: Programs,
        settings: Settings,
        (process, module): (&oci::Process, OwnedFd),
    ) -> Self {
        let name = process
            .args
            .as_ref()
            .and_then(|arguments| arguments.first())
            .cloned()
            .unwrap_or_default();
        let exec = Exec {
            programs,
            settings: settings.without_ports(),
            name,
            module,
        };
        Self {
            inner,
            report: Some(report),
            exec: Some(exec),
        }
    }

    fn instance(
        &mut self,
        process: &oci::Process,
        stdio: Stdio,
        module: OwnedFd,
    ) -> Result<Box<dyn Guest>> {
        let exec = self.exec.as_ref().ok_or_else(nested)?;
        let launch = exec.programs.launch(process, &exec.settings, module)?;
        let inner =
            self.inner
                .exec_program(&launch.process, stdio, launch.program, launch.inherited)?;
        Ok(Box::new(Self {
            inner,
            report: Some(launch.report),
            exec: None,
        }))
    }

    /// The executor's report, if it left one before it ended.
    fn ending(&mut self) -> Option<Ending> {
        let mut text = Vec::new();
        File::from(self.report.take()?)
            .take(LARGEST_REPORT)
            .read_to_end(&mut text)
            .ok()?;
        serde_json::from_slice(&text).ok()
    }
}

fn nested() -> Error {
    Error::new(
        Class::Unsupported,
        "a process started by exec runs no further ones",
    )
}

impl Guest for WasmGuest {
    fn pid(&self) -> i32 {
        self.inner.pid()
    }

    fn pidfd(&self) -> BorrowedFd<'_> {
        self.inner.pidfd()
    }

    fn terminal(&mut self) -> Result<Option<OwnedFd>> {
        self.inner.terminal()
    }

    fn start(&mut self) -> Result<()> {
        self.inner.start()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.inner.signal(signal)
    }

    fn reap(&mut self) -> Result<Option<Exit>> {
        let Some(exit) = self.inner.reap()? else {
            return Ok(None);
        };
        let Exit::Code {
            code: status @ (TRAP_STATUS | REFUSED_STATUS),
        } = exit
        else {
            return Ok(Some(exit));
        };
        Ok(Some(match self.ending() {
            Some(Ending::Trapped(reason)) if status == TRAP_STATUS => Exit::Trapped { reason },
            Some(Ending::Refused(report)) if status == REFUSED_STATUS => Exit::NeverStarted {
                report: Report {
                    class: Class::CannotInvoke,
                    ..report
                },
            },
            // The guest itself ended with this status.
            _ => exit,
        }))
    }

    fn exec(&mut self, process: &oci::Process, stdio: Stdio) -> Result<Box<dyn Guest>> {
        let exec = self.exec.as_ref().ok_or_else(nested)?;
        let arguments = process.args.clone().unwrap_or_default();
        let root = Directory::open(Path::new(&format!("/proc/{}/root", self.inner.pid())))
            .map_err(|error| match error.kind() {
                // The guest has just ended.
                std::io::ErrorKind::NotFound => {
                    Error::new(Class::Conflict, "cannot run a command in the container")
                        .caused_by("it is not running")
                }
                _ => Error::new(Class::Internal, "cannot look into the container").caused_by(error),
            })?;
        let found = arguments
            .first()
            .and_then(|name| inside::find(&root, name, process));
        match found {
            Some(path) if inside::is_wasm(&root, &path) => {
                let compiled = inside::compiled(&exec.programs.cache()?, &root, &path)?;
                let module = File::open(&compiled)
                    .explain(|| format!("cannot open {}", compiled.display()))?;
                self.instance(process, stdio, module.into())
            }
            Some(_) => self.inner.exec(process, stdio),
            None if arguments.is_empty() || inside::find(&root, &exec.name, process).is_none() => {
                let module = fd::duplicate(&exec.module)
                    .explain(|| "cannot reuse the compiled module".to_owned())?;
                let mut again = process.clone();
                let own_name = std::iter::once(exec.name.clone());
                let says_name = arguments.first() == Some(&exec.name);
                let further = arguments.into_iter().skip(usize::from(says_name));
                again.args = Some(own_name.chain(further).collect());
                self.instance(&again, stdio, module)
            }
            // The native runtime has the words for a command that does not exist.
            None => self.inner.exec(process, stdio),
        }
    }

    fn destroy(&mut self) -> Result<()> {
        self.inner.destroy()
    }
}
