//! The named contexts that are directories: of the host, or fetched when a step first needs them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use berth_contract::{Class, Error, Result};
use berth_image::{download, urls_without_secrets};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Kind, Links};

use super::builder::{Build, lock};
use super::ignore::Patterns;
use super::repository::{check_out, is_repository};
use super::request::{BuildRequest, NamedContext};

/// More than any ignore file that a person has written.
const IGNORE_LIMIT: u64 = 16 << 20;
/// Why a file of a context is not read: whoever filled it cannot have files of the host read for it.
pub const LINK_OUT_OF_CONTEXT: &str = "it is a link to what is not in the context";
/// What `BuildKit` calls the file of a context that is one of the web.
const FILE: &str = "context";

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    /// What those of the host leave out.
    ignored: BTreeMap<PathBuf, Patterns>,
    nothing_ignored: Patterns,
    /// Where the others lie, by their sources.
    fetched: Mutex<BTreeMap<String, Arc<Wanted>>>,
}

/// A context that somebody fetches, and then its directory.
type Wanted = Mutex<Option<PathBuf>>;

impl Contexts {
    /// Reads the ignore files.
    pub(super) fn of(request: &BuildRequest) -> Result<Self> {
        let mut contexts = Self::default();
        for context in request.contexts.values() {
            if let NamedContext::Directory(path) = context
                && let Some(patterns) = ignored(path)?
            {
                contexts.ignored.insert(path.clone(), patterns);
            }
        }
        Ok(contexts)
    }
}

/// What the ignore file of a directory says.
fn ignored(path: &Path) -> Result<Option<Patterns>> {
    let directory =
        Directory::open(path).explain(|| format!("cannot open the context {}", path.display()))?;
    for name in [".dockerignore", ".containerignore"] {
        let file = path.join(name);
        let cannot = || format!("cannot read {}", file.display());
        // Whoever filled the directory cannot have files of the host read for it.
        match directory.file(Path::new(name), Links::InRoot) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if is_link(&directory, Path::new(name)) {
                    let error = Error::new(Class::NotFound, cannot());
                    return Err(error.caused_by(LINK_OUT_OF_CONTEXT));
                }
            }
            opened => return patterns(&file, opened.explain(cannot)?).map(Some),
        }
    }
    Ok(None)
}

/// Whether there is a link at a path of a context, of which only the last part is not followed.
#[must_use]
pub fn is_link(root: &Directory, path: &Path) -> bool {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = root.directory(parent.unwrap_or(Path::new(".")), Links::InRoot);
    let found = parent.and_then(|parent| parent.metadata(path.file_name().unwrap_or_default()));
    matches!(found, Ok(Some(metadata)) if metadata.kind == Kind::Symlink)
}

fn patterns(file: &Path, opened: File) -> Result<Patterns> {
    let cannot = || format!("cannot read {}", file.display());
    let mut text = String::new();
    let mut opened = opened.take(IGNORE_LIMIT);
    opened.read_to_string(&mut text).explain(cannot)?;
    Patterns::from_file(&text).map_err(|reason| {
        let message = format!("cannot use {}", file.display());
        Error::new(Class::Invalid, message).caused_by(reason)
    })
}

impl Build<'_> {
    /// What is left out of a source: a directory's own ignore file says so, as `BuildKit` has it.
    pub(super) fn ignored(&self, from: Option<&str>) -> &Patterns {
        let Some(name) = from else {
            return &self.ignored;
        };
        let own = match self.request.named_context(name) {
            Some(NamedContext::Directory(path)) => self.contexts.ignored.get(path),
            _ => None,
        };
        own.unwrap_or(&self.contexts.nothing_ignored)
    }

    /// The directory of a named context, if it is one.
    pub(super) fn directory(&self, name: &str) -> Result<Option<PathBuf>> {
        match self.request.named_context(name) {
            Some(NamedContext::Directory(path)) => Ok(Some(path.clone())),
            Some(NamedContext::Remote(source)) => self.fetched(name, source).map(Some),
            _ => Ok(None),
        }
    }

    fn fetched(&self, name: &str, source: &str) -> Result<PathBuf> {
        let wanted = Arc::clone(
            lock(&self.contexts.fetched)
                .entry(source.to_owned())
                .or_default(),
        );
        // Held while it is fetched: another stage that wants the same waits for it, and no other.
        let mut wanted = lock(&wanted);
        if let Some(known) = &*wanted {
            return Ok(known.clone());
        }
        let shown = urls_without_secrets(source);
        let step = self.steps.begin(&format!("[context {name}] {shown}"));
        let path = step.end(self.fetch(source))?;
        *wanted = Some(path.clone());
        Ok(path)
    }

    fn fetch(&self, source: &str) -> Result<PathBuf> {
        let options = &self.request.pull_options;
        let directory = self.assembly.directory()?;
        if is_repository(source) {
            return check_out(source, &directory, false, &options.access.interrupt);
        }
        let cannot = || format!("cannot fetch {}", urls_without_secrets(source));
        let mut content = download(source, options)?;
        let mut file = File::create_new(directory.join(FILE)).explain(cannot)?;
        io::copy(&mut content, &mut file).explain(cannot)?;
        let private = std::fs::Permissions::from_mode(0o600);
        file.set_permissions(private).explain(cannot)?;
        Ok(directory)
    }
}
