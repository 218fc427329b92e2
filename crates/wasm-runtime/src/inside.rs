//! Programs inside a running container: which file a command names, and its compiled form.

use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, ProgramKind, Result, oci};
use berth_sys::error::Explain as _;
use berth_sys::path::Directory;

use crate::cache::{Cache, LARGEST_MODULE};

/// What `PATH` means where nobody set it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Compiles the module that a process in a container would run, so that the container's supervisor, which
/// serves everybody, finds it in the cache. What is no wasm module, or not there, is left to it.
///
/// # Errors
/// As for [`Cache::compiled_bytes`].
pub fn compile_ahead(cache: &Cache, pid: i32, process: &oci::Process) -> Result<()> {
    let name = process.args.iter().flatten().next();
    let root = Directory::open(Path::new(&format!("/proc/{pid}/root")));
    let (Some(name), Ok(root)) = (name, root) else {
        return Ok(());
    };
    let Some((path, function)) = module(&root, name, process) else {
        return Ok(());
    };
    let cache = cache.clone().entered_at(function);
    cache.compiled_bytes(&read(&root, &path)?).map(drop)
}

/// The module a command names inside the container, and the function behind `#`.
pub(crate) fn module(
    root: &Directory,
    command: &str,
    process: &oci::Process,
) -> Option<(PathBuf, Option<String>)> {
    // A file's own name may have the sign in it.
    if let Some(path) = find(root, command, process) {
        return is_wasm(root, &path).then_some((path, None));
    }
    let (name, function) = command.split_once('#')?;
    let path = find(root, name, process).filter(|path| is_wasm(root, path))?;
    Some((path, Some(function.to_owned())))
}

/// A command without the function behind it.
pub(crate) fn without<'a>(command: &'a str, function: Option<&str>) -> &'a str {
    function
        .and_then(|function| command.strip_suffix(function)?.strip_suffix('#'))
        .unwrap_or(command)
}

/// The compiled form of a module in the container, which was compiled ahead. The container can write this file: it
/// is read once, and what it has become meanwhile is not compiled here, where everybody would have to wait.
pub(crate) fn compiled(cache: &Cache, root: &Directory, path: &Path) -> Result<PathBuf> {
    let known = cache.known_bytes(&read(root, path)?)?;
    known.ok_or_else(|| {
        let message = format!("cannot run {} in the container", path.display());
        Error::new(Class::Conflict, message).caused_by("the file was changed at this very moment")
    })
}

fn read(root: &Directory, path: &Path) -> Result<Vec<u8>> {
    root.read(path, LARGEST_MODULE)
        .explain(|| format!("cannot read {} in the container", path.display()))
}

/// The file a command names inside the container.
pub(crate) fn find(root: &Directory, name: &str, process: &oci::Process) -> Option<PathBuf> {
    let is_file = |path: &PathBuf| {
        root.status(path)
            .is_ok_and(|status| status.st_mode & 0o170_000 == 0o100_000)
    };
    if name.is_empty() {
        return None;
    }
    if name.contains('/') {
        return Some(process.cwd.join(name)).filter(is_file);
    }
    let variables = process.env.as_deref().unwrap_or_default();
    let path = variables
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|directory| process.cwd.join(directory).join(name))
        .find(is_file)
}

fn is_wasm(root: &Directory, path: &Path) -> bool {
    root.read_head(path, 8)
        .is_ok_and(|head| ProgramKind::from_head(&head).is_wasm())
}
