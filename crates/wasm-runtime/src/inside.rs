//! Programs inside a running container: which file a command names, and its compiled form.

use std::path::{Path, PathBuf};

use berth_contract::{ProgramKind, Result, oci};
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
    match find(&root, name, process) {
        Some(path) if is_wasm(&root, &path) => compiled(cache, &root, &path).map(drop),
        _ => Ok(()),
    }
}

/// The compiled form of a module in the container. The container can write this file: it is read once, and
/// what was read is compiled.
pub(crate) fn compiled(cache: &Cache, root: &Directory, path: &Path) -> Result<PathBuf> {
    let bytes = root
        .read(path, LARGEST_MODULE)
        .explain(|| format!("cannot read {} in the container", path.display()))?;
    cache.compiled_bytes(&bytes)
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

pub(crate) fn is_wasm(root: &Directory, path: &Path) -> bool {
    root.read_head(path, 8)
        .is_ok_and(|head| ProgramKind::from_head(&head).is_wasm())
}
