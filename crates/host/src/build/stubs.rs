//! Mount points that a command's mounts left in its layer: empty files and directories that nobody asked
//! for are taken out again, so that a layer holds what the command did and nothing else.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use berth_image::Merged;
use berth_sys::file::{Directory, Kind, Links};

/// Where every container has something mounted.
const ALWAYS: [&str; 6] = [
    "/proc",
    "/sys",
    "/dev",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
];

/// The mount points that do not exist below, each with the directories above it.
#[derive(Debug)]
pub(super) struct Stubs {
    /// Those that will be made: taken out when they are empty.
    missing: Vec<PathBuf>,
    /// Directories that exist and get an entry: taken out when nothing else of them changed.
    touched: Vec<PathBuf>,
}

impl Stubs {
    /// Looks at what is there before the command is executed.
    pub(super) fn before<'a>(
        lower: &Merged,
        targets: impl Iterator<Item = &'a Path>,
    ) -> io::Result<Self> {
        let mut missing = Vec::new();
        let mut touched = Vec::new();
        for target in ALWAYS.iter().map(Path::new).chain(targets) {
            let place = lower.place(target, Links::InRoot)?;
            if place.entry.is_some() {
                continue;
            }
            let mut path = place.path;
            while !path.as_os_str().is_empty() {
                if lower.place(&path, Links::Refused)?.entry.is_some() {
                    touched.push(path);
                    break;
                }
                missing.push(path.clone());
                path.pop();
            }
        }
        // The deepest first.
        missing.sort_unstable_by(|left, right| right.cmp(left));
        missing.dedup();
        touched.sort_unstable_by(|left, right| right.cmp(left));
        touched.dedup();
        Ok(Self { missing, touched })
    }

    /// Takes them out of what the command wrote.
    pub(super) fn remove(&self, upper: &Directory, lower: &Merged) -> io::Result<()> {
        for path in &self.missing {
            let Some((directory, name)) = open(upper, path)? else {
                continue;
            };
            let Some(metadata) = directory.metadata(name)? else {
                continue;
            };
            match metadata.kind {
                Kind::File if metadata.size == 0 => directory.remove_file(name)?,
                Kind::Directory if is_empty(&directory, name)? => directory.remove_all(name)?,
                _ => {}
            }
        }
        for path in &self.touched {
            let Some((directory, name)) = open(upper, path)? else {
                continue;
            };
            let Some(metadata) = directory.metadata(name)? else {
                continue;
            };
            let below = lower.place(path, Links::Refused)?.entry;
            let same = below.is_some_and(|below| {
                let below = below.metadata();
                (below.kind, below.mode, below.uid, below.gid)
                    == (metadata.kind, metadata.mode, metadata.uid, metadata.gid)
            });
            let opaque = || -> io::Result<bool> {
                let attributes = directory.attributes(name)?;
                Ok(attributes
                    .iter()
                    .any(|(key, _)| key.to_string_lossy().ends_with(".opaque")))
            };
            if same && metadata.kind == Kind::Directory && is_empty(&directory, name)? && !opaque()?
            {
                directory.remove_all(name)?;
            }
        }
        Ok(())
    }
}

fn open<'p>(upper: &Directory, path: &'p Path) -> io::Result<Option<(Directory, &'p OsStr)>> {
    let Some(name) = path.file_name() else {
        return Ok(None);
    };
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    match upper.directory(parent.unwrap_or(Path::new(".")), Links::Refused) {
        Ok(directory) => Ok(Some((directory, name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // The command put a link in its place.
        Err(error) if matches!(error.raw_os_error(), Some(20 | 40)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_empty(directory: &Directory, name: &OsStr) -> io::Result<bool> {
    Ok(directory
        .directory(Path::new(name), Links::Refused)?
        .names()?
        .is_empty())
}
