//! A wasm guest: the native guest that runs the executor, and the executor's report.
//!
//! What `exec` means here: a wasm file runs as a second instance, with its own memory, in the same
//! namespaces, root and cgroup; a native file runs as in any container. In a container whose own program
//! is not one of its files (an artifact holds just a module) a command that is no file there becomes
//! arguments for another instance of that module; no command at all is such an instance everywhere. Behind
//! a wasm file's name `#FUNCTION` is where the instance is entered; without a name it is the own module's.

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

/// What a command is in a container.
enum Wanted {
    /// No wasm, or nothing: the native runtime has the words for a command that does not exist.
    Native,
    /// An instance of a module.
    Instance(Instance),
}

/// A further instance.
struct Instance {
    module: OwnedFd,
    function: Option<String>,
    arguments: Vec<String>,
}

impl Exec {
    /// The container's files as its guest sees them.
    fn root(&self, pid: i32) -> Result<Directory> {
        let below = self.settings.root.unwrap_or_default();
        let root = format!("/proc/{pid}/root{below}");
        Directory::open(Path::new(&root)).map_err(|error| match error.kind() {
            // The guest has just ended.
            std::io::ErrorKind::NotFound => {
                Error::new(Class::Conflict, "cannot run a command in the container")
                    .caused_by("it is not running")
            }
            _ => Error::new(Class::Internal, "cannot look into the container").caused_by(error),
        })
    }

    fn wanted(&self, root: &Directory, process: &oci::Process) -> Result<Wanted> {
        let words = process.args.as_deref().unwrap_or_default();
        let Some((first, rest)) = words.split_first() else {
            return self.own(self.settings.function(), &[]);
        };
        if let Some((path, function)) = inside::module(root, first, process) {
            let name = inside::without(first, function.as_deref()).to_owned();
            let words: Vec<String> = std::iter::once(name).chain(rest.iter().cloned()).collect();
            return self.file(root, &path, function, words);
        }
        if inside::find(root, first, process).is_some() {
            return Ok(Wanted::Native);
        }
        if let Some((name, function)) = first.split_once('#')
            && (name.is_empty() || name == self.name)
        {
            return self.own(Some(function.to_owned()), rest);
        }
        if inside::find(root, &self.name, process).is_some() {
            return Ok(Wanted::Native);
        }
        let further = if *first == self.name { rest } else { words };
        self.own(self.settings.function(), further)
    }

    /// Another instance of the container's own module.
    fn own(&self, function: Option<String>, further: &[String]) -> Result<Wanted> {
        let module = fd::duplicate(&self.module)
            .explain(|| "cannot reuse the compiled module".to_owned())?;
        let name = std::iter::once(self.name.clone());
        Ok(Wanted::Instance(Instance {
            module,
            function,
            arguments: name.chain(further.iter().cloned()).collect(),
        }))
    }

    /// An instance of a module in the container.
    fn file(
        &self,
        root: &Directory,
        path: &Path,
        function: Option<String>,
        arguments: Vec<String>,
    ) -> Result<Wanted> {
        let cache = self.programs.cache()?.entered_at(function.clone());
        let compiled = inside::compiled(&cache, root, path)?;
        let module =
            File::open(&compiled).explain(|| format!("cannot open {}", compiled.display()))?;
        Ok(Wanted::Instance(Instance {
            module: module.into(),
            function,
            arguments,
        }))
    }
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
        instance: Instance,
    ) -> Result<Box<dyn Guest>> {
        let exec = self.exec.as_ref().ok_or_else(nested)?;
        let mut process = process.clone();
        process.args = Some(instance.arguments);
        let settings = exec.settings.entered_at(instance.function);
        let launch = exec.programs.launch(&process, &settings, instance.module)?;
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
        match exec.wanted(&exec.root(self.inner.pid())?, process)? {
            Wanted::Native => self.inner.exec(process, stdio),
            Wanted::Instance(instance) => self.instance(process, stdio, instance),
        }
    }

    fn destroy(&mut self) -> Result<()> {
        self.inner.destroy()
    }
}
