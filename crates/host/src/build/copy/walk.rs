//! Walking what is copied: with what a context leaves out, and what `--exclude` does.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use berth_image::Entry;

use crate::build::ignore::{Parent, Patterns};

/// Deeper than any honest tree.
const DEPTH_LIMIT: usize = 512;

/// What is left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'a> {
    /// By the context's ignore file, by paths from the context's root.
    pub(super) ignored: &'a Patterns,
    /// By `--exclude`, by paths from what is copied.
    pub(super) excluded: &'a Patterns,
}

/// A directory on the way, visited when something in it is.
struct Frame<'a> {
    above: Option<&'a Self>,
    path: PathBuf,
    entry: &'a Entry,
    visited: Cell<bool>,
    depth: usize,
}

type Visit<'a> = dyn FnMut(&Path, &Entry) -> io::Result<()> + 'a;

/// Visits an entry and everything beneath it, directories first; `at` is its path in the context. The
/// visitor is given paths relative to the entry, which itself has the empty one.
pub(super) fn walk(
    entry: &Entry,
    at: &Path,
    filter: Filter<'_>,
    visit: &mut Visit<'_>,
) -> io::Result<()> {
    if !entry.is_directory() {
        let name = at.file_name().unwrap_or_default().to_string_lossy();
        return if filter.excluded.matches(&name) {
            Ok(())
        } else {
            visit(Path::new(""), entry)
        };
    }
    let frame = Frame {
        above: None,
        path: PathBuf::new(),
        entry,
        visited: Cell::new(false),
        depth: 0,
    };
    // What is named is there, even when it is empty.
    reach(&frame, visit)?;
    let known = state(filter.ignored, at);
    descend(&frame, at, (known, Parent::default()), filter, visit)
}

/// What the directories above a path matched.
fn state(patterns: &Patterns, path: &Path) -> Parent {
    let mut parent = Parent::default();
    let mut so_far = PathBuf::new();
    for part in path.components() {
        so_far.push(part);
        parent = patterns
            .matches_within(&so_far.to_string_lossy(), &parent)
            .1;
    }
    parent
}

fn reach(frame: &Frame<'_>, visit: &mut Visit<'_>) -> io::Result<()> {
    if frame.visited.get() {
        return Ok(());
    }
    if let Some(above) = frame.above {
        reach(above, visit)?;
    }
    frame.visited.set(true);
    visit(&frame.path, frame.entry)
}

fn descend(
    frame: &Frame<'_>,
    at: &Path,
    (ignored, excluded): (Parent, Parent),
    filter: Filter<'_>,
    visit: &mut Visit<'_>,
) -> io::Result<()> {
    if frame.depth > DEPTH_LIMIT {
        return Err(io::Error::other("the directories are nested too deeply"));
    }
    for name in frame.entry.names()? {
        let path = frame.path.join(&name);
        let full = at.join(&path);
        let (full_text, text) = (full.to_string_lossy(), path.to_string_lossy());
        let (is_ignored, inner_ignored) = filter.ignored.matches_within(&full_text, &ignored);
        let (is_excluded, inner_excluded) = filter.excluded.matches_within(&text, &excluded);
        let may_spare = (!is_ignored || filter.ignored.may_spare_within(&full_text))
            && (!is_excluded || filter.excluded.may_spare_within(&text));
        let is_left_out = is_ignored || is_excluded;
        if is_left_out && !may_spare {
            continue;
        }
        let Some(child) = frame.entry.child(&name)? else {
            continue;
        };
        if !child.is_directory() {
            if !is_left_out {
                reach(frame, visit)?;
                visit(&path, &child)?;
            }
            continue;
        }
        let inner = Frame {
            above: Some(frame),
            path: path.clone(),
            entry: &child,
            visited: Cell::new(false),
            depth: frame.depth + 1,
        };
        if !is_left_out {
            reach(&inner, visit)?;
        }
        descend(&inner, at, (inner_ignored, inner_excluded), filter, visit)?;
    }
    Ok(())
}
