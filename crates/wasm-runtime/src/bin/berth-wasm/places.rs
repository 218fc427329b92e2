//! Where a guest's directories are, by the number it knows them by: what wasmtime does not say about a
//! failure is looked up there.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
