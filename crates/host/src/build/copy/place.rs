//! Putting files into a new layer, where the image's own links lead.
//!
//! Only the new layer's directory is written, by descriptor. What is below is looked at to know where a
//! path leads and what the directories on the way look like (CVE-2024-1753: a link of the image or of a
//! stage cannot lead out of it).

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use berth_image::{Entry, Merged};
use berth_sys::file::{self, Directory, Kind, Links, Metadata, Time};

use super::guard::Guard;
use super::mode::ModeChange;

/// How much of a file is copied before somebody asks whether it is wanted.
const PIECE: u64 = 64 << 20;

/// Writes into a new layer.
#[derive(Debug)]
pub(super) struct Placer<'a> {
    /// What is below.
    pub(super) lower: &'a Merged,
    /// The new layer.
    pub(super) layer: Directory,
    /// The new owner.
    pub(super) owner: Option<(u32, u32)>,
    /// The new mode.
    pub(super) mode: Option<&'a ModeChange>,
    /// The mode of directories that are made on the way.
    pub(super) directory_mode: Option<&'a ModeChange>,
    /// The time of what has none of its own.
    pub(super) now: Time,
    /// The time of everything, if it is not what each has.
    pub(super) time: Option<Time>,
    /// Whether a directory takes the place of what is none, and the other way round, as unpacking does and copying
    /// does not.
    pub(super) replaces: bool,
    guard: &'a Guard,
    /// Directories get their times last: making an entry in one changes them.
    directories: BTreeMap<PathBuf, Time>,
    /// Where the first name of a file with several was written.
    links: HashMap<(u64, u64), PathBuf>,
    /// The same the other way round: what is overwritten is the file no more.
    first_names: BTreeMap<PathBuf, (u64, u64)>,
}

impl<'a> Placer<'a> {
    pub(super) fn new(lower: &'a Merged, layer: Directory, now: Time, guard: &'a Guard) -> Self {
        Self {
            lower,
            layer,
            owner: None,
            mode: None,
            directory_mode: None,
            now,
            time: None,
            replaces: false,
            guard,
            directories: BTreeMap::new(),
            links: HashMap::new(),
            first_names: BTreeMap::new(),
        }
    }

    /// Where a path of the image leads, and whether a directory is there.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<(PathBuf, bool)> {
        let place = self.lower.place(path, Links::InRoot)?;
        let own = self.own(&place.path)?;
        let is_directory = match own {
            Some(metadata) => metadata.kind == Kind::Directory,
            None => place.entry.is_some_and(|entry| entry.is_directory()),
        };
        Ok((place.path, is_directory))
    }

    /// What the new layer has at a resolved path.
    fn own(&self, path: &Path) -> io::Result<Option<Metadata>> {
        let Some(name) = path.file_name() else {
            return self.layer.own_metadata().map(Some);
        };
        match self.layer.directory(parent(path), Links::Refused) {
            Ok(directory) => directory.metadata(name),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a directory of the layer at a resolved path, made as it is below or anew.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<Directory> {
        if path.as_os_str().is_empty() {
            return self.layer.duplicate();
        }
        match self.layer.directory(path, Links::Refused) {
            Err(error) if self.replaces || is_absence(&error) => {}
            other => return other,
        }
        let above = self.directory(parent(path))?;
        let name = path.file_name().unwrap_or_default();
        let below = self.lower.place(path, Links::Refused)?.entry;
        if above.metadata(name)?.is_some() {
            // What it has put in the place of a directory would have that directory's files again.
            if !self.replaces || below.as_ref().is_some_and(Entry::is_directory) {
                return Err(no_directory(path));
            }
            self.remove(&above, path)?;
        }
        if let Some(entry) = below.as_ref().filter(|entry| entry.is_directory()) {
            above.create_directory(name, 0o700)?;
            self.attributes(&above, name, entry, Change::Kept)?;
            let time = self.time_of(entry);
            self.directories.insert(path.to_owned(), time);
        } else {
            if below.is_some() && !self.replaces {
                return Err(no_directory(path));
            }
            let mode = self.directory_mode;
            let mode = mode.map_or(0o755, |change| change.apply(0o755, true));
            above.create_directory(name, 0o755)?;
            above.set_mode(name, mode)?;
            if let Some((uid, gid)) = self.owner {
                above.set_owner(name, uid, gid)?;
            }
            let time = self.time.unwrap_or(self.now);
            self.directories.insert(path.to_owned(), time);
        }
        above.directory(Path::new(name), Links::Refused)
    }

    /// Makes sure that a path of the image is a directory.
    pub(super) fn directory_for(&mut self, path: &Path) -> io::Result<()> {
        let (place, _) = self.resolve(path)?;
        self.directory(&place).map(drop)
    }

    /// Puts one entry at a path of the image; a directory that is there already keeps its attributes when
    /// `keeps` says so.
    pub(super) fn put(&mut self, path: &Path, entry: &Entry, keeps: bool) -> io::Result<()> {
        self.guard.admit(entry)?;
        if entry.is_directory() {
            return self.put_directory(path, entry, keeps);
        }
        // A link at the very place is replaced, links on the way are followed.
        let (above, _) = self.resolve(parent(path))?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let place = above.join(&name);
        let below = self.lower.place(&place, Links::Refused)?.entry;
        let own = self.own(&place)?;
        let is_directory = own.map_or_else(
            || below.is_some_and(|entry| entry.is_directory()),
            |own| own.kind == Kind::Directory,
        );
        if is_directory && !self.replaces {
            let reason = format!(
                "cannot put a file where the directory /{} is",
                place.display()
            );
            return Err(io::Error::other(reason));
        }
        let directory = self.directory(&above)?;
        if own.is_some() {
            self.remove(&directory, &place)?;
        }
        self.file(&directory, &name, &place, entry)
    }

    /// Removes what the new layer has at a path, which is in this directory.
    fn remove(&mut self, from: &Directory, path: &Path) -> io::Result<()> {
        let is_within = |known: &PathBuf| known.starts_with(path);
        let range = path.to_owned()..;
        let names = self.first_names.range(range.clone());
        let names: Vec<PathBuf> = names
            .map(|(known, _)| known.clone())
            .take_while(is_within)
            .collect();
        for known in names {
            if let Some(inode) = self.first_names.remove(&known) {
                self.links.remove(&inode);
            }
        }
        let directories = self.directories.range(range);
        let directories: Vec<PathBuf> = directories
            .map(|(known, _)| known.clone())
            .take_while(is_within)
            .collect();
        for known in directories {
            self.directories.remove(&known);
        }
        from.remove_all(path.file_name().unwrap_or_default())
    }

    fn put_directory(&mut self, path: &Path, entry: &Entry, keeps: bool) -> io::Result<()> {
        let (place, exists) = self.resolve(path)?;
        let directory = self.directory(&place)?;
        if exists && keeps {
            return Ok(());
        }
        let name = OsStr::new(".");
        self.attributes(&directory, name, entry, Change::Asked)?;
        let time = self.time_of(entry);
        self.directories.insert(place, time);
        Ok(())
    }

    /// When what is copied of an entry was changed.
    fn time_of(&self, entry: &Entry) -> Time {
        self.time.unwrap_or(entry.metadata().modified)
    }

    fn file(
        &mut self,
        to: &Directory,
        name: &OsStr,
        place: &Path,
        entry: &Entry,
    ) -> io::Result<()> {
        let metadata = entry.metadata();
        let inode = (metadata.device, metadata.inode);
        if metadata.links > 1
            && let Some(first) = self.links.get(&inode)
        {
            let above = self.layer.directory(parent(first), Links::Refused)?;
            return to.create_hard_link(name, &above, first.file_name().unwrap_or_default());
        }
        match metadata.kind {
            Kind::File => {
                self.content(&entry.open()?, &mut to.create_file(name, 0o600)?)?;
            }
            Kind::Symlink => to.create_symlink(name, &entry.read_link()?)?,
            // A socket is of a program that runs.
            Kind::Socket => return Ok(()),
            kind => to.create_node(name, kind, metadata.mode)?,
        }
        if metadata.links > 1 {
            self.links.insert(inode, place.to_owned());
            self.first_names.insert(place.to_owned(), inode);
        }
        self.attributes(to, name, entry, Change::Asked)?;
        let accessed = self.time.unwrap_or(metadata.accessed);
        to.set_times(name, accessed, self.time_of(entry))
    }

    fn content(&self, source: &File, target: &mut File) -> io::Result<()> {
        // std uses copy_file_range(2) here, which shares extents where the file system can.
        while io::copy(&mut source.take(PIECE), target)? > 0 {
            self.guard.check()?;
        }
        Ok(())
    }

    fn attributes(
        &self,
        to: &Directory,
        name: &OsStr,
        entry: &Entry,
        change: Change,
    ) -> io::Result<()> {
        let metadata = entry.metadata();
        let asked = change == Change::Asked;
        let owner = self.owner.filter(|_| asked);
        let (uid, gid) = owner.unwrap_or((metadata.uid, metadata.gid));
        to.set_owner(name, uid, gid)?;
        if metadata.kind != Kind::Symlink {
            let is_directory = metadata.kind == Kind::Directory;
            let mode = match self.mode.filter(|_| asked) {
                Some(change) => change.apply(metadata.mode, is_directory),
                None => metadata.mode,
            };
            to.set_mode(name, mode)?;
        }
        for (key, value) in entry.attributes()? {
            if !super::is_copied(key.as_bytes()) {
                continue;
            }
            match to.set_attribute(name, &key, &value) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Writes a file that is no copy.
    pub(super) fn write(
        &mut self,
        path: &Path,
        mode: u32,
        content: &mut dyn io::Read,
        time: Time,
    ) -> io::Result<()> {
        let (above, _) = self.resolve(parent(path))?;
        let name = path.file_name().unwrap_or_default();
        let directory = self.directory(&above)?;
        if let Some(own) = directory.metadata(name)? {
            if own.kind == Kind::Directory {
                return Err(io::Error::other("a directory is there"));
            }
            self.remove(&directory, &above.join(name))?;
        }
        let mut file = directory.create_file(name, 0o600)?;
        io::copy(&mut self.guard.over(content), &mut file)?;
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let mode = self.mode.map_or(mode, |change| change.apply(mode, false));
        file::set_owner_and_mode(&file, uid, gid, mode)?;
        file::set_times(&file, time, time)
    }

    /// Sets the times of the directories.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        for (path, time) in std::mem::take(&mut self.directories) {
            let relative = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &path
            };
            let directory = self.layer.directory(relative, Links::Refused)?;
            file::set_times(&directory, time, time)?;
        }
        Ok(())
    }
}

/// Whether the flags of the instruction apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Asked,
    Kept,
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn no_directory(path: &Path) -> io::Error {
    io::Error::other(format!("cannot copy to non-directory /{}", path.display()))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
