//! The files of stacked layers as overlayfs would show them, without mounting.
//!
//! A name is looked for from the topmost layer down. A whiteout (character device 0:0) or a file ends
//! the search; directories merge until one is opaque. Symbolic links are resolved within the layers,
//! `..` stops at the root, nothing is ever opened by a path of the host (CVE-2022-23648).

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Kind, Links, Metadata};

use crate::layer::{WHITEOUT, is_opaque};

/// The links Linux follows before it gives up (`path_resolution(7)`).
pub(crate) const LINK_LIMIT: usize = 40;
/// The longest `#!` line Linux reads.
const HEAD: u64 = 256;

/// Stacked layers.
#[derive(Debug)]
pub struct Merged {
    root: Stack,
}

/// One directory of the merged tree: its parts, topmost first.
pub(crate) type Stack = Rc<Vec<Directory>>;

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Node {
    Directory(Stack),
    /// Anything else, by the part that holds it and its name there.
    Other {
        parent: Stack,
        layer: usize,
        name: OsString,
        metadata: Metadata,
    },
}

impl Merged {
    /// Opens layers, topmost first.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn open(layers: &[PathBuf]) -> Result<Self> {
        let open = |path: &PathBuf| {
            Directory::open(path).explain(|| format!("cannot open layer {}", path.display()))
        };
        Ok(Self {
            root: Rc::new(layers.iter().map(open).collect::<Result<_>>()?),
        })
    }

    pub(crate) fn root(&self) -> Stack {
        Rc::clone(&self.root)
    }

    /// What a path leads to after all links; `None` if nothing is there.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<Option<Node>> {
        let mut pending: VecDeque<OsString> = parts(path).collect();
        let mut stack = vec![Rc::clone(&self.root)];
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == ".." {
                stack.truncate(stack.len().saturating_sub(1).max(1));
                continue;
            }
            let Some(directory) = stack.last() else {
                return Ok(None);
            };
            match look_up(directory, &part)? {
                None => return Ok(None),
                Some(Node::Directory(inner)) => stack.push(inner),
                Some(Node::Other {
                    parent,
                    layer,
                    name,
                    metadata,
                }) if metadata.kind == Kind::Symlink => {
                    links += 1;
                    if links > LINK_LIMIT {
                        return Err(io::Error::other("too many symbolic links"));
                    }
                    let target = parent[layer].read_link(&name)?;
                    if Path::new(&target).has_root() {
                        stack.truncate(1);
                    }
                    for part in parts(Path::new(&target))
                        .collect::<Vec<_>>()
                        .into_iter()
                        .rev()
                    {
                        pending.push_front(part);
                    }
                }
                Some(other) if pending.is_empty() => return Ok(Some(other)),
                Some(_) => return Ok(None),
            }
        }
        Ok(stack.pop().map(Node::Directory))
    }

    /// Opens a regular file; `None` if none is there.
    ///
    /// # Errors
    /// A layer cannot be read, or links go round in circles.
    pub fn open_file(&self, path: &Path) -> Result<Option<File>> {
        let open = || match self.resolve(path)? {
            Some(Node::Other {
                parent,
                layer,
                name,
                metadata,
            }) if metadata.kind == Kind::File => parent[layer]
                .file(Path::new(&name), Links::Refused)
                .map(Some),
            _ => Ok(None),
        };
        open().explain(|| format!("cannot open {} of the image", path.display()))
    }

    /// What a path leads to after all links; `None` if nothing is there.
    ///
    /// # Errors
    /// A layer cannot be read, or links go round in circles.
    pub fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        let metadata = || match self.resolve(path)? {
            Some(Node::Directory(stack)) => stack[0].own_metadata().map(Some),
            Some(Node::Other { metadata, .. }) => Ok(Some(metadata)),
            None => Ok(None),
        };
        metadata().explain(|| format!("cannot look at {} of the image", path.display()))
    }

    /// The first 256 bytes of a regular file; `None` if none is there.
    ///
    /// # Errors
    /// A layer cannot be read, or links go round in circles.
    pub fn read_head(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        let mut head = Vec::new();
        let read = file.take(HEAD).read_to_end(&mut head);
        read.explain(|| format!("cannot read {} of the image", path.display()))?;
        Ok(Some(head))
    }

    /// A whole small file, such as `/etc/passwd`; `None` if no regular file is there (CVE-2024-9676).
    ///
    /// # Errors
    /// Class `Invalid` when it is larger than `limit`.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let cannot = || format!("cannot read {} of the image", path.display());
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .explain(cannot)?;
        if bytes.len() as u64 > limit {
            return Err(Error::new(Class::Invalid, cannot())
                .caused_by(format!("it is larger than {limit} bytes")));
        }
        Ok(Some(bytes))
    }
}

/// The parts of a path that mean something; its root and `.` do not.
pub(crate) fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// One name of a merged directory.
pub(crate) fn look_up(parent: &Stack, name: &OsStr) -> io::Result<Option<Node>> {
    let mut found = Vec::new();
    for (layer, directory) in parent.iter().enumerate() {
        let Some(metadata) = directory.metadata(name)? else {
            continue;
        };
        match metadata.kind {
            WHITEOUT => break,
            Kind::Directory => {
                // There is nothing below the last one to be hidden.
                let opaque = layer + 1 < parent.len() && is_opaque(directory, name)?;
                found.push(directory.directory(Path::new(name), Links::Refused)?);
                if opaque {
                    break;
                }
            }
            _ if found.is_empty() => {
                let (parent, name) = (Rc::clone(parent), name.to_owned());
                return Ok(Some(Node::Other {
                    parent,
                    layer,
                    name,
                    metadata,
                }));
            }
            _ => break,
        }
    }
    Ok((!found.is_empty()).then(|| Node::Directory(Rc::new(found))))
}

/// The names of a merged directory, whiteouts left out, in order.
pub(crate) fn names(stack: &Stack) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for directory in stack.iter() {
        names.extend(directory.names()?);
    }
    let mut visible = BTreeSet::new();
    for name in names {
        if look_up(stack, &name)?.is_some() {
            visible.insert(name);
        }
    }
    Ok(visible)
}
