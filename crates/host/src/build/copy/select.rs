//! Which files the sources of `COPY` and `ADD` name: wildcards, links on the way, `--parents`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use berth_image::{Entry, Merged};
use berth_sys::file::Links;

use crate::build::ignore::{Glob, Patterns, clean};

/// One thing to copy.
#[derive(Debug)]
pub(in crate::build) struct Selected {
    /// Where it is in the tree, links on the way followed.
    pub(in crate::build) path: PathBuf,
    /// What it is called: the last part of what was asked for.
    pub(in crate::build) name: OsString,
    /// With `--parents`: the directories above it that are kept.
    pub(in crate::build) kept: PathBuf,
    /// What it is.
    pub(in crate::build) entry: Entry,
}

/// Finds what a source names; nothing for wildcards that match nothing, `None` for a name that is not
/// there.
pub(in crate::build) fn select(
    tree: &Merged,
    ignored: &Patterns,
    source: &str,
    parents: bool,
) -> io::Result<Option<Vec<Selected>>> {
    let pivot = if parents { pivot(source) } else { None };
    let cleaned = clean(&format!("/{source}"));
    let relative = cleaned.trim_start_matches('/');
    let has_wildcards = relative.contains(['*', '?', '[', '\\']);
    let mut paths: Vec<PathBuf> = Vec::new();
    if has_wildcards {
        if parents {
            let glob = Glob::parse(relative).map_err(invalid)?;
            let root = tree.place(Path::new("/"), Links::InRoot)?;
            if let Some(root) = root.entry {
                search(&root, Path::new(""), &glob, &mut paths, 0)?;
            }
        } else {
            let parts: Vec<&str> = relative.split('/').collect();
            expand(tree, Path::new(""), &parts, &mut paths)?;
        }
    } else {
        paths.push(PathBuf::from(relative));
    }
    let mut selected = Vec::new();
    for path in paths {
        let place = tree.place(&path, Links::InRoot)?;
        let Some(entry) = place.entry else {
            if has_wildcards {
                let reason = format!("{} is a link that leads nowhere", path.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, reason));
            }
            return Ok(None);
        };
        if is_left_out(ignored, &path, &entry) || is_left_out(ignored, &place.path, &entry) {
            if has_wildcards {
                continue;
            }
            return Ok(None);
        }
        let kept = match (&pivot, parents) {
            (_, false) => PathBuf::new(),
            (None, true) => path.parent().unwrap_or(Path::new("")).to_owned(),
            (Some(pivot), true) => {
                let below = path.strip_prefix(pivot).unwrap_or(&path);
                below.parent().unwrap_or(Path::new("")).to_owned()
            }
        };
        selected.push(Selected {
            name: path.file_name().unwrap_or_default().to_owned(),
            path: place.path,
            kept,
            entry,
        });
    }
    Ok(Some(selected))
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// What stands before `/./`: it is not kept.
fn pivot(source: &str) -> Option<PathBuf> {
    let trimmed = source.trim_start_matches("./").trim_start_matches('/');
    let (before, _) = trimmed.split_once("/./")?;
    Some(PathBuf::from(clean(before)))
}

fn is_left_out(ignored: &Patterns, path: &Path, entry: &Entry) -> bool {
    let text = path.to_string_lossy();
    !text.is_empty()
        && ignored.matches(&text)
        && !(entry.is_directory() && ignored.may_spare_within(&text))
}

/// Matches part by part: a wildcard does not match a slash.
fn expand(tree: &Merged, at: &Path, parts: &[&str], found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        found.push(at.to_owned());
        return Ok(());
    };
    let glob = Glob::parse(part).map_err(invalid)?;
    if glob.is_literal() {
        let next = at.join(glob.literal_prefix());
        return match tree.place(&next, Links::InRoot)?.entry {
            Some(_) => expand(tree, &next, rest, found),
            None => Ok(()),
        };
    }
    let Some(entry) = tree.place(at, Links::InRoot)?.entry else {
        return Ok(());
    };
    for name in entry.names()? {
        if glob.matches(&name.to_string_lossy()) && entry.child(&name)?.is_some() {
            expand(tree, &at.join(&name), rest, found)?;
        }
    }
    Ok(())
}

/// Matches whole paths: `**` matches slashes.
fn search(
    entry: &Entry,
    at: &Path,
    glob: &Glob,
    found: &mut Vec<PathBuf>,
    depth: usize,
) -> io::Result<()> {
    for name in entry.names()? {
        let path = at.join(&name);
        let Some(child) = entry.child(&name)? else {
            continue;
        };
        if glob.matches(&path.to_string_lossy()) {
            // A directory is copied with all that is in it.
            found.push(path);
        } else if child.is_directory() && depth < 512 {
            search(&child, &path, glob, found, depth + 1)?;
        }
    }
    Ok(())
}
