//! Running `berth-wasmc`: one process per module, with a time limit and three files.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_contract::{Class, Error, Exit, Report, Result, Signal};
use berth_sys::error::Explain as _;
use berth_sys::spawn::{Executable, Program};
use berth_sys::{clock, fd, memory_file, pidfd, random};

/// How long compiling one module may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// A file being made that is older than this has lost its maker.
const ABANDONED: Duration = Duration::from_secs(3600);
const PARTIAL: &str = "partial";

/// The compiler's program.
#[derive(Debug, Clone)]
pub(crate) struct Compiler {
    path: PathBuf,
}

impl Compiler {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What artefacts of this compiler depend on.
    pub(crate) fn engine(&self) -> Result<String> {
        let (reader, writer) = fd::pipe().explain(|| "cannot make a pipe".to_owned())?;
        let (_, reports) = fd::pipe().explain(|| "cannot make a pipe".to_owned())?;
        let exit = self.run(&["engine"], &[writer.as_fd(), reports.as_fd()])?;
        drop(writer);
        if exit != (Exit::Code { code: 0 }) {
            return Err(Error::new(
                Class::Internal,
                format!("{} does not run", self.path.display()),
            ));
        }
        let mut text = String::new();
        File::from(reader)
            .take(64)
            .read_to_string(&mut text)
            .explain(|| "cannot read from the compiler".to_owned())?;
        Ok(text.trim_end().to_owned())
    }

    /// Compiles `module` into `place`; nobody sees the file before it is whole and on disk.
    ///
    /// The module must have its own entry, or this function.
    pub(crate) fn compile(
        &self,
        module: &[u8],
        function: Option<&str>,
        (directory, place): (&Path, &Path),
    ) -> Result<()> {
        sweep(directory);
        let partial = Partial::create(directory)?;
        let verb = std::iter::once("compile").chain(function);
        self.translate(&verb.collect::<Vec<_>>(), module, &partial.file)?;
        let unwritten = || format!("cannot keep the compiled module {}", place.display());
        // The engine maps and executes this file unread; after a power cut it must be whole or absent.
        partial.file.sync_data().explain(unwritten)?;
        std::fs::rename(&partial.path, place).explain(unwritten)
    }

    /// Turns wasm in text form into a module.
    pub(crate) fn assemble(&self, text: &[u8], module: &File) -> Result<()> {
        self.translate(&["assemble"], text, module)
    }

    fn translate(&self, verb: &[&str], from: &[u8], into: &File) -> Result<()> {
        // The compiler reads these bytes and no file that anybody could still change.
        let from = memory_file::sealed("module", from)
            .explain(|| "cannot pass the wasm module on".to_owned())?;
        let (reader, reports) = fd::pipe().explain(|| "cannot make a pipe".to_owned())?;
        let exit = self.run(verb, &[into.as_fd(), reports.as_fd(), from.as_fd()])?;
        drop(reports);
        match exit {
            Exit::Code { code: 0 } => Ok(()),
            Exit::Code { .. } => Err(reported(reader)),
            exit => Err(Error::new(
                Class::CannotInvoke,
                "compiling the wasm module takes more time or memory than it may",
            )
            .caused_by(format!("berth-wasmc ended with status {}", exit.status()))),
        }
    }

    fn run(&self, verb: &[&str], files: &[BorrowedFd<'_>]) -> Result<Exit> {
        let words = std::iter::once("berth-wasmc").chain(verb.iter().copied());
        let arguments: Vec<&OsStr> = words.map(OsStr::new).collect();
        let program = Program {
            executable: Executable::Path(&self.path),
            arguments: &arguments,
            files,
        };
        let failed = || format!("cannot run {}", self.path.display());
        let pid = program.spawn().explain(failed)?;
        let process = pidfd::open(pid).explain(failed)?;
        if !pidfd::wait_ended(process.as_fd(), Some(PATIENCE)).explain(failed)? {
            pidfd::signal(&process, Signal::KILL).explain(failed)?;
        }
        pidfd::wait(process.as_fd()).explain(failed)
    }
}

/// The compiler's own words, which it wrote before it ended.
fn reported(reader: OwnedFd) -> Error {
    let mut text = Vec::new();
    let read = File::from(reader).read_to_end(&mut text);
    match read
        .ok()
        .and_then(|_| serde_json::from_slice::<Report>(&text).ok())
    {
        Some(report) => report.into(),
        None => Error::new(Class::CannotInvoke, "the wasm module cannot be compiled"),
    }
}

/// A file being made, removed unless it was renamed.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn create(directory: &Path) -> Result<Self> {
        let random = random::bytes().explain(|| "cannot get random bytes".to_owned())?;
        let name: String = random[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = directory.join(format!("{name}.{PARTIAL}"));
        let file = File::options()
            .write(true)
            .create_new(true)
            // The directory keeps others out; a guest of any user reopens its own through /proc.
            .mode(0o644)
            .open(&path)
            .explain(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, file })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already when it was renamed.
        std::fs::remove_file(&self.path).ok();
    }
}

/// Removes what makers that were killed left behind.
fn sweep(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    let now = Duration::from_nanos(clock::realtime());
    for entry in entries.flatten() {
        let path = entry.path();
        let is_partial = path
            .extension()
            .is_some_and(|extension| extension == PARTIAL);
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|modified| {
                now.checked_sub(modified.duration_since(std::time::UNIX_EPOCH).ok()?)
            });
        if is_partial && age.is_some_and(|age| age > ABANDONED) {
            std::fs::remove_file(path).ok();
        }
    }
}
