//! Where a guest's directories are, by the number it knows them by: what wasmtime does not say about a
//! failure is looked up there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// As many links in one path as the kernel follows.
const MOST_LINKS: usize = 40;

/// Where a path that starts at `start` leads when the links in it may lead anywhere below `root`: a path
/// below the root without links, but for the last name where that is not followed. `None` outside of it.
pub(crate) fn beneath(root: &Path, start: &Path, path: &str, follows: bool) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let slash = if path.ends_with('/') { "/" } else { "" };
    let mut here = PathBuf::new();
    let mut left = names(Path::new(path));
    left.extend(names(start.strip_prefix(root).ok()?));
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == "/" {
            here.clear();
        } else if name == ".." {
            here.pop().then_some(())?;
        } else {
            here.push(name);
            if left.is_empty() && slash.is_empty() && !follows {
                break;
            }
            if let Ok(target) = root.join(&here).read_link() {
                links += 1;
                (links <= MOST_LINKS).then_some(())?;
                here.pop();
                left.extend(names(&target));
            }
        }
    }
    let text = here.to_str()?;
    Some(if text.is_empty() { "." } else { text }.to_owned() + slash)
}

/// What a path is made of, the first last.
fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter(|name| *name != Component::CurDir)
        .map(|name| name.as_os_str().to_owned())
        .collect()
}

/// The paths of open directories.
#[derive(Debug)]
pub(crate) struct Known<Number>(BTreeMap<Number, PathBuf>);

impl<Number> Default for Known<Number> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Number: Ord + Copy> Known<Number> {
    /// A directory is open under this number.
    pub(crate) fn insert(&mut self, number: Number, path: PathBuf) {
        self.0.insert(number, path);
    }

    /// Where this directory is.
    pub(crate) fn path(&self, number: Number) -> Option<&Path> {
        self.0.get(&number).map(PathBuf::as_path)
    }

    /// The number means nothing any more.
    pub(crate) fn remove(&mut self, number: Number) -> Option<PathBuf> {
        self.0.remove(&number)
    }

    /// A directory below a known one was opened.
    pub(crate) fn opened(&mut self, number: Number, base: Number, path: &str) {
        if let Some(base) = self.0.get(&base) {
            let full = base.join(path);
            self.0.insert(number, full);
        }
    }

    /// Whether this path, which need not exist, is on a read-only mount.
    pub(crate) fn is_read_only(&self, directory: Number, path: &str) -> bool {
        self.nearest(directory, path)
            .is_some_and(|path| berth_sys::path::is_read_only(&path))
    }

    /// Whether two paths, each beside its directory, lie on different file systems.
    pub(crate) fn are_apart(&self, from: (Number, &str), to: (Number, &str)) -> bool {
        let device = |(directory, path)| {
            // What is renamed or linked is an entry of its parent, wherever a link in it leads.
            let parent = Path::new(path).parent()?.to_str()?;
            let nearest = self.nearest(directory, parent)?;
            Some(nearest.metadata().ok()?.dev())
        };
        device(from)
            .zip(device(to))
            .is_some_and(|(from, to)| from != to)
    }

    fn nearest(&self, directory: Number, path: &str) -> Option<PathBuf> {
        let full = self.0.get(&directory)?.join(path);
        full.ancestors()
            .find(|path| path.exists())
            .map(Path::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_anywhere_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let start = root.join("app");
        std::fs::create_dir(&start).unwrap();
        for (name, target) in [
            ("a", "/app/x"),
            ("b", "../app/a"),
            ("c", "c"),
            ("d", "/"),
            ("e", "../.."),
        ] {
            std::os::unix::fs::symlink(target, start.join(name)).unwrap();
        }
        let leads = |path: &str, follows| beneath(root, &start, path, follows);
        let to = |path: &str| Some(path.to_owned());
        assert_eq!(leads("b", true), to("app/x"));
        assert_eq!(leads("b", false), to("app/b"));
        assert_eq!(leads("./d/app/../app/b", true), to("app/x"));
        assert_eq!(leads("d/", false), to("./"));
        assert_eq!(leads("../etc", true), to("etc"));
        for outside in ["c", "../..", "e", "e/x", "/app"] {
            assert_eq!(leads(outside, true), None, "{outside}");
        }
    }

    #[test]
    fn paths_that_need_not_exist_are_found() {
        let mut known = Known::default();
        known.insert(3, "/".into());
        known.opened(4, 3, "proc/self");
        known.opened(5, 9, "nowhere");
        assert!(!known.is_read_only(4, "missing/file"));
        assert!(!known.is_read_only(5, "x"));
        assert!(known.are_apart((3, "new"), (4, "fd/new")));
        assert!(!known.are_apart((4, "a"), (4, "b/c")));
        assert!(known.remove(4).is_some() && known.remove(4).is_none());
    }
}
