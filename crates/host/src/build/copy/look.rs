//! Whether files are as they were when their digest was taken: what is copied afterwards is then what the cache's key
//! says. Somebody may write to a context while it is built.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;

use berth_image::Entry;

use super::walk::{Filter, walk};
use super::{Item, Manner, Origin};

/// How files looked at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) struct Look(u64);

/// Whether a step has read what its key says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::build) enum Read {
    #[default]
    AsKeyed,
    Changed,
}

impl Read {
    /// By how the files looked before and after.
    pub(in crate::build) fn between(before: Look, after: Look) -> Self {
        if before == after {
            Self::AsKeyed
        } else {
            Self::Changed
        }
    }
}

/// Looks at one file after the other.
#[derive(Debug, Default)]
pub(super) struct Looking(DefaultHasher);

impl Looking {
    pub(super) fn item(&mut self, name: &std::ffi::OsStr, kept: &Path) {
        (name, kept).hash(&mut self.0);
    }

    /// A file by its inode and times, of which nobody can set that of the last change. What happens in a directory is
    /// seen by its entries: others, that are not copied, may come and go.
    pub(super) fn entry(&mut self, path: &Path, entry: &Entry) {
        let metadata = entry.metadata();
        (path, metadata.mode, metadata.uid, metadata.gid).hash(&mut self.0);
        if entry.is_directory() {
            return;
        }
        (metadata.device, metadata.inode, metadata.size).hash(&mut self.0);
        for time in [metadata.modified, metadata.changed] {
            (time.seconds, time.nanoseconds).hash(&mut self.0);
        }
    }

    pub(super) fn finish(self) -> Look {
        Look(self.0.finish())
    }
}

/// How things look now that were found anew.
pub(in crate::build) fn look(
    items: &[Item],
    origin: &Origin<'_>,
    manner: &Manner,
) -> io::Result<Look> {
    let mut looking = Looking::default();
    let filter = Filter {
        ignored: origin.ignored,
        excluded: &manner.excluded,
    };
    for item in items {
        if let Item::Tree(one) | Item::Archive(one) = item {
            looking.item(&one.name, &one.kept);
            walk(&one.entry, &one.path, filter, &mut |path, entry| {
                looking.entry(path, entry);
                origin.guard.check()
            })?;
        }
    }
    Ok(looking.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::cache::Key;
    use crate::build::copy::{FileDigests, Guard, describe, items};
    use crate::build::ignore::Patterns;
    use berth_image::{Interrupt, Merged};
    use std::fs;

    #[test]
    fn every_change_is_seen_and_what_is_left_out_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "one").unwrap();
        fs::write(root.join("d/log"), "").unwrap();
        let ignored = Patterns::from_file("d/log*").unwrap();
        let (digests, manner) = (FileDigests::none(), Manner::default());
        let elsewhere = tempfile::tempdir().unwrap();
        let guard = Guard::new(Interrupt::default(), elsewhere.path());
        let seen = |described: bool| {
            let tree = Merged::open(&[root.to_owned()]).unwrap();
            let origin = Origin {
                tree: &tree,
                ignored: &ignored,
                digests: &digests,
                guard: &guard,
            };
            let found = items(&origin, "d", &manner, false).unwrap().unwrap();
            if described {
                describe(&mut Key::new("test"), &found, &origin, &manner).unwrap()
            } else {
                look(&found, &origin, &manner).unwrap()
            }
        };
        let first = seen(true);
        fs::write(root.join("d/log"), "said").unwrap();
        fs::write(root.join("d/log2"), "").unwrap();
        assert_eq!(Read::between(first, seen(false)), Read::AsKeyed);
        let changes: [&dyn Fn(); 4] = [
            &|| fs::write(root.join("d/f"), "two").unwrap(),
            &|| fs::write(root.join("d/new"), "").unwrap(),
            &|| fs::remove_file(root.join("d/new")).unwrap(),
            &|| fs::rename(root.join("d/f"), root.join("d/g")).unwrap(),
        ];
        for change in changes {
            let before = seen(true);
            change();
            assert_eq!(Read::between(before, seen(false)), Read::Changed);
        }
    }
}
