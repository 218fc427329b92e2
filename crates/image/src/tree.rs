//! Walking the merged files of stacked layers by descriptor, and finding where a path leads.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use berth_sys::file::{Directory, Kind, Links, Metadata};

use crate::layer::is_mark;
use crate::merged::{LINK_LIMIT, Merged, Node, look_up, parts};

/// One entry of a merged tree, pinned by the descriptor of its directory.
#[derive(Debug)]
pub struct Entry {
    node: Node,
    metadata: Metadata,
}

/// Where a path leads once the links on its way are followed.
#[derive(Debug)]
pub struct Place {
    /// The path, relative to the root and free of links and `..`; what does not exist is kept as it is.
    pub path: PathBuf,
    /// What is there.
    pub entry: Option<Entry>,
}

impl Merged {
    /// Finds where a path leads; with `Links::Refused` a link at its very end is not followed.
    ///
    /// # Errors
    /// A layer cannot be read, or links go round in circles.
    pub fn place(&self, path: &Path, last: Links) -> io::Result<Place> {
        let mut pending: VecDeque<OsString> = parts(path).collect();
        let mut found: Vec<(OsString, Entry)> = Vec::new();
        let root = || Entry::of(Node::Directory(self.root()));
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == ".." {
                found.pop();
                continue;
            }
            let next = match found.last() {
                Some((_, entry)) => entry.child(&part)?,
                None => root()?.child(&part)?,
            };
            let Some(entry) = next else {
                let mut path: PathBuf = found.iter().map(|(name, _)| name).collect();
                path.push(&part);
                // Nothing is there to be followed any more.
                for part in pending {
                    if part == ".." {
                        path.pop();
                    } else {
                        path.push(part);
                    }
                }
                return Ok(Place { path, entry: None });
            };
            let follows = last == Links::InRoot || !pending.is_empty();
            if entry.metadata.kind != Kind::Symlink || !follows {
                found.push((part, entry));
                continue;
            }
            links += 1;
            if links > LINK_LIMIT {
                return Err(io::Error::other("too many symbolic links"));
            }
            let target = entry.read_link()?;
            if Path::new(&target).has_root() {
                found.clear();
            }
            let target: Vec<OsString> = parts(Path::new(&target)).collect();
            for part in target.into_iter().rev() {
                pending.push_front(part);
            }
        }
        let path = found.iter().map(|(name, _)| name).collect();
        let entry = match found.pop() {
            Some((_, entry)) => entry,
            None => root()?,
        };
        Ok(Place {
            path,
            entry: Some(entry),
        })
    }
}

impl Entry {
    fn of(node: Node) -> io::Result<Self> {
        let metadata = match &node {
            Node::Directory(stack) => stack[0].own_metadata()?,
            Node::Other { metadata, .. } => *metadata,
        };
        Ok(Self { node, metadata })
    }

    /// What it is.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.node, Node::Directory(_))
    }

    /// One name of a directory; a link is not followed.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn child(&self, name: &OsStr) -> io::Result<Option<Self>> {
        match &self.node {
            Node::Directory(stack) => look_up(stack, name)?.map(Self::of).transpose(),
            Node::Other { .. } => Ok(None),
        }
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let Node::Directory(stack) = &self.node else {
            return Ok(Vec::new());
        };
        let mut names = BTreeSet::new();
        for directory in stack.iter() {
            names.extend(directory.names()?);
        }
        // Looked at one by one, so that a large directory does not take all descriptors at once.
        Ok(names.into_iter().collect())
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// It is none, or cannot be opened.
    pub fn open(&self) -> io::Result<File> {
        let (directory, name) = self.at();
        directory.file(Path::new(name), Links::Refused)
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// It is none.
    pub fn read_link(&self) -> io::Result<OsString> {
        let (directory, name) = self.at();
        directory.read_link(name)
    }

    /// Its extended attributes, overlayfs's marks left out.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn attributes(&self) -> io::Result<Vec<(OsString, Vec<u8>)>> {
        let (directory, name) = self.at();
        let mut attributes = directory.attributes(name)?;
        attributes.retain(|(key, _)| {
            let text = key.to_string_lossy();
            !is_mark(key) && !text.contains(".overlay.")
        });
        attributes.sort_unstable();
        Ok(attributes)
    }

    /// The directory that holds it, and its name there.
    fn at(&self) -> (&Directory, &OsStr) {
        match &self.node {
            Node::Directory(stack) => (&stack[0], OsStr::new(".")),
            Node::Other {
                parent,
                layer,
                name,
                ..
            } => (&parent[*layer], name),
        }
    }
}
