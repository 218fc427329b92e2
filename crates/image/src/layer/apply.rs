//! Making a layer's files beneath a directory fd.
//!
//! Parents are walked by `openat2` beneath the layer's root without following links. Only if the layer
//! itself made a parent a symbolic link is it followed, with the layer's root as root, as Docker does
//! in its chroot: nothing outside can be reached either way. Whiteouts become what overlayfs
//! understands: character devices 0:0 and the opaque attribute.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_sys::error::{Explain as _, class};
use berth_sys::file::{self, Directory, Kind, Links, Time};
use berth_sys::write_out;

use super::entry::{Action, Entry};
use super::mark::{WHITEOUT, hide, mark_opaque};
use super::sparse::Sparse;
use super::tape::Tape;

/// More than any real layer has (security.md 27).
const ENTRIES_LIMIT: u64 = 10_000_000;

/// From this size on a file's writing to disk begins at once: smaller ones the final sync writes together.
const WRITTEN_OUT: u64 = 64 << 10;

/// What was made.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) size: u64,
    pub(super) implied: BTreeSet<PathBuf>,
    /// Directories get their times last: making an entry in one changes them.
    directories: BTreeMap<PathBuf, Time>,
}

/// What names that begin with `.wh.` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    /// A layer's marks of what is gone.
    Meant,
    /// In an archive that is no layer: names of files that no layer could hold.
    Refused,
}

struct Layer<'d> {
    root: &'d Directory,
    /// The directory of the previous entry: archives list a directory's entries together.
    current: Option<(Vec<OsString>, Directory)>,
    applied: Applied,
    buffer: Vec<u8>,
}

/// Unpacks an archive into an empty directory.
pub(super) fn apply(source: impl Read, root: &Directory, marks: Marks) -> Result<Applied> {
    let applied = Applied {
        size: 0,
        implied: std::iter::once(PathBuf::new()).collect(),
        directories: BTreeMap::new(),
    };
    let mut layer = Layer {
        root,
        current: None,
        applied,
        buffer: vec![0; 128 << 10],
    };
    let tape = Tape::new(source);
    let mut archive = tar::Archive::new(tape.clone());
    let mut entries = archive.entries().map_err(super::damaged)?;
    let mut count = 0_u64;
    while let Some(entry) = tape.next(&mut entries) {
        count += 1;
        if count > ENTRIES_LIMIT {
            return Err(Error::new(Class::Invalid, "the layer has too many entries"));
        }
        let mut stream = entry.map_err(super::damaged)?;
        let path = String::from_utf8_lossy(&stream.path_bytes()).into_owned();
        let refused = |reason: String| refused(&path, reason);
        if marks == Marks::Refused && path.split('/').any(|part| part.starts_with(".wh.")) {
            let reason = "a name that begins with .wh. means a removal in layers, and no image can hold such a file";
            return Err(refused(reason.to_owned()));
        }
        let map = tape.sparse_map(&stream).map_err(refused)?;
        let stored = map.as_ref().map(Sparse::stored);
        let entry = Entry::read(&mut stream, map).map_err(refused)?;
        tape.with_content(&mut stream, stored, super::damaged, |content| {
            layer.add(entry, content)
        })?;
    }
    Ok(layer.applied)
}

fn refused(path: &str, reason: impl Into<String>) -> Error {
    Error::new(
        Class::Invalid,
        format!("the layer's entry {:?} is refused", super::shown(path)),
    )
    .caused_by(reason.into())
}

impl Applied {
    /// Forgets a path that is gone and all beneath it, which follow it in the order of paths. It takes no longer than
    /// these are many: a layer may say the same name any number of times.
    fn forget(&mut self, path: &Path) {
        let within = |found: &PathBuf| found.starts_with(path);
        let directories = self.directories.range(path.to_owned()..);
        let gone: Vec<PathBuf> = directories
            .map(|(directory, _)| directory.clone())
            .take_while(within)
            .collect();
        gone.iter().for_each(|directory| {
            self.directories.remove(directory);
        });
        let implied = self.implied.range(path.to_owned()..);
        let gone: Vec<PathBuf> = implied.take_while(|path| within(path)).cloned().collect();
        gone.iter().for_each(|directory| {
            self.implied.remove(directory);
        });
    }

    /// Sets the times of the directories.
    pub(super) fn finish(&mut self, root: &Directory) -> Result<()> {
        for (path, time) in std::mem::take(&mut self.directories) {
            let relative = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &path
            };
            // A later entry may have put something else in the directory's place.
            let Ok(directory) = root.directory(relative, Links::Refused) else {
                continue;
            };
            file::set_times(&directory, time, time)
                .explain(|| format!("cannot set the times of {}", path.display()))?;
        }
        Ok(())
    }
}

impl Layer<'_> {
    fn add(&mut self, entry: Entry, content: &mut dyn Read) -> Result<()> {
        if matches!(entry.action, Action::Skip) {
            return Ok(());
        }
        let path = entry.path();
        let unpack = || format!("cannot unpack {}", path.display());
        let root = entry.name.is_empty() && entry.parents.is_empty();
        if root {
            return match entry.action {
                Action::Directory => self.root_attributes(&entry).explain(unpack),
                _ => Err(refused(
                    &path.to_string_lossy(),
                    "it would replace the root",
                )),
            };
        }
        let parent = self.parent(&entry.parents)?;
        match &entry.action {
            Action::Skip => Ok(()),
            Action::Opaque => mark_opaque(&parent, OsStr::new(".")).explain(unpack),
            Action::Whiteout => hide(&parent, &entry.name).explain(unpack),
            Action::Directory => self.make_directory(&parent, &entry, &path).explain(unpack),
            Action::File(_) => self.make_file(&parent, entry, &path, content),
            Action::Symlink(target) => self
                .replace(&parent, &entry.name, &path, |parent, name| {
                    parent.create_symlink(name, target)
                })
                .and_then(|()| attributes(&parent, &entry, false))
                .explain(unpack),
            Action::HardLink(target) => self.make_hard_link(&parent, &entry.name, target, &path),
            Action::Node(kind) => self
                .replace(&parent, &entry.name, &path, |parent, name| {
                    parent.create_node(name, *kind, entry.mode)
                })
                .and_then(|()| attributes(&parent, &entry, true))
                .explain(unpack),
        }?;
        self.current = Some((entry_parents(&path), parent));
        Ok(())
    }

    fn root_attributes(&mut self, entry: &Entry) -> io::Result<()> {
        file::set_owner_and_mode(self.root, entry.uid, entry.gid, entry.mode)?;
        for (key, value) in &entry.attributes {
            file::set_attribute(self.root, key, value)?;
        }
        self.applied.implied.remove(Path::new(""));
        self.applied
            .directories
            .insert(PathBuf::new(), entry.modified);
        Ok(())
    }

    /// Opens the directory an entry lies in, making what the archive left out.
    fn parent(&mut self, parents: &[OsString]) -> Result<Directory> {
        if let Some((known, directory)) = self.current.take()
            && known == parents
        {
            return Ok(directory);
        }
        let path: PathBuf = parents.iter().collect();
        let cannot = || format!("cannot open directory {} of the layer", path.display());
        if parents.is_empty() {
            return self.root.duplicate().explain(cannot);
        }
        match self.root.directory(&path, Links::Refused) {
            Ok(directory) => Ok(directory),
            Err(error) if !may_be_made(&error) => Err(error).explain(cannot),
            Err(_absent) => self.make_parents(parents).explain(cannot),
        }
    }

    fn make_parents(&mut self, parents: &[OsString]) -> io::Result<Directory> {
        let mut path = PathBuf::new();
        let mut directory = self.root.duplicate()?;
        for part in parents {
            path.push(part);
            let found = directory.metadata(part)?.map(|metadata| metadata.kind);
            match found {
                Some(Kind::Directory) => {}
                Some(Kind::Symlink) => {
                    directory = self.root.directory(&path, Links::InRoot)?;
                    continue;
                }
                None | Some(WHITEOUT) => {
                    if found.is_some() {
                        directory.remove_file(part)?;
                    }
                    directory.create_directory(part, 0o755)?;
                    // The mode above is subject to the umask of whoever runs the command.
                    directory.set_mode(part, 0o755)?;
                    if found.is_some() {
                        mark_opaque(&directory, part)?;
                    }
                    self.applied.implied.insert(path.clone());
                }
                Some(_) => return Err(io::Error::other("a file is where a directory should be")),
            }
            directory = directory.directory(Path::new(part), Links::Refused)?;
        }
        Ok(directory)
    }

    fn make_directory(&mut self, parent: &Directory, entry: &Entry, path: &Path) -> io::Result<()> {
        let existing = parent.metadata(&entry.name)?.map(|metadata| metadata.kind);
        if existing != Some(Kind::Directory) {
            self.replace(parent, &entry.name, path, |parent, name| {
                parent.create_directory(name, 0o700)
            })?;
            if existing == Some(WHITEOUT) {
                mark_opaque(parent, &entry.name)?;
            }
        }
        self.applied.implied.remove(path);
        self.applied
            .directories
            .insert(path.to_owned(), entry.modified);
        attributes(parent, entry, true)
    }

    fn make_file(
        &mut self,
        parent: &Directory,
        entry: Entry,
        path: &Path,
        content: &mut dyn Read,
    ) -> Result<()> {
        let unpack = || format!("cannot unpack {}", path.display());
        let mut made = None;
        self.replace(parent, &entry.name, path, |parent, name| {
            made = Some(parent.create_file(name, 0o600)?);
            Ok(())
        })
        .explain(unpack)?;
        let Some(mut file) = made else { return Ok(()) };
        let size = match entry.action {
            Action::File(Some(sparse)) => sparse.write(content, &mut file).map_err(|error| {
                let kind = if error.raw_os_error().is_some() {
                    class(&error)
                } else {
                    Class::Invalid
                };
                Error::new(kind, unpack()).caused_by(error)
            })?,
            _ => self.copy(content, &mut file, &unpack)?,
        };
        self.applied.size += size;
        if size >= WRITTEN_OUT {
            write_out::begin(&file, 0, size);
        }
        let attributes = || {
            file::set_owner_and_mode(&file, entry.uid, entry.gid, entry.mode)?;
            for (key, value) in &entry.attributes {
                tolerate_unsupported(file::set_attribute(&file, key, value))?;
            }
            file::set_times(&file, entry.modified, entry.modified)
        };
        attributes().explain(unpack)
    }

    fn copy(
        &mut self,
        content: &mut dyn Read,
        file: &mut File,
        unpack: &impl Fn() -> String,
    ) -> Result<u64> {
        let mut size = 0;
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => return Ok(size),
                Ok(length) => {
                    file.write_all(&self.buffer[..length]).explain(unpack)?;
                    size += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(super::damaged(error)),
            }
        }
    }

    fn make_hard_link(
        &mut self,
        parent: &Directory,
        name: &OsStr,
        target: &[OsString],
        path: &Path,
    ) -> Result<()> {
        let Some((target_name, target_parents)) = target.split_last() else {
            return Ok(());
        };
        let missing = || {
            let target: PathBuf = target.iter().collect();
            let reason = format!(
                "it is a hard link to {}, which is not in the layer",
                target.display()
            );
            refused(&path.to_string_lossy(), reason)
        };
        if target.iter().collect::<PathBuf>() == path {
            return Err(refused(
                &path.to_string_lossy(),
                "it is a hard link to itself",
            ));
        }
        let directory: PathBuf = target_parents.iter().collect();
        let directory = if target_parents.is_empty() {
            self.root.duplicate()
        } else {
            let plain = self.root.directory(&directory, Links::Refused);
            plain.or_else(|_| self.root.directory(&directory, Links::InRoot))
        };
        let Ok(directory) = directory else {
            return Err(missing());
        };
        match directory.metadata(target_name) {
            Ok(Some(metadata)) if metadata.kind != Kind::Directory => {}
            _ => return Err(missing()),
        }
        self.replace(parent, name, path, |parent, name| {
            parent.create_hard_link(name, &directory, target_name)
        })
        .explain(|| format!("cannot unpack {}", path.display()))
    }

    /// Makes an entry; what has its name gives way, as when archives are unpacked one after the other.
    fn replace(
        &mut self,
        parent: &Directory,
        name: &OsStr,
        path: &Path,
        mut make: impl FnMut(&Directory, &OsStr) -> io::Result<()>,
    ) -> io::Result<()> {
        match make(parent, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
        parent.remove_all(name)?;
        self.applied.forget(path);
        make(parent, name)
    }
}

fn entry_parents(path: &Path) -> Vec<OsString> {
    let parent = path.parent().unwrap_or(Path::new(""));
    parent.iter().map(OsStr::to_owned).collect()
}

fn may_be_made(error: &io::Error) -> bool {
    // ELOOP and ENOTDIR: a link or a whiteout is in the way, which making the parents knows to treat.
    let name = error.kind();
    matches!(name, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || is_loop(error)
}

fn is_loop(error: &io::Error) -> bool {
    const ELOOP: i32 = 40;
    error.raw_os_error() == Some(ELOOP)
}

fn attributes(parent: &Directory, entry: &Entry, with_mode: bool) -> io::Result<()> {
    parent.set_owner(&entry.name, entry.uid, entry.gid)?;
    if with_mode {
        parent.set_mode(&entry.name, entry.mode)?;
    }
    for (key, value) in &entry.attributes {
        tolerate_unsupported(parent.set_attribute(&entry.name, key, value))?;
    }
    if matches!(entry.action, Action::Directory) {
        return Ok(());
    }
    parent.set_times(&entry.name, entry.modified, entry.modified)
}

/// A file system without extended attributes can still hold the image.
fn tolerate_unsupported(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}
