//! `COPY` and `ADD`: what is copied, its digest, and putting it into a layer.
//!
//! ```text
//!  select: which files ─► digest: the cache's key ─► (a hit: done)
//!                     └─► walk: what is left out ─► place: into the new layer, where links lead
//! ```

mod digest;
mod guard;
mod look;
mod mode;
mod place;
mod select;
mod walk;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use berth_image::{Merged, is_archive};
use berth_sys::file::{Directory, Time};

pub(crate) use digest::FileDigests;
pub(crate) use guard::Guard;
use look::Looking;
pub(super) use look::{Look, Read, look};
use mode::ModeChange;
use place::Placer;
use select::Selected;
use walk::{Filter, walk};

use super::cache::Key;
use super::ignore::{Patterns, clean};

/// Where files come from.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    /// The files.
    pub(super) tree: &'a Merged,
    /// What is left out of them.
    pub(super) ignored: &'a Patterns,
    /// What is known of their digests.
    pub(super) digests: &'a FileDigests,
    /// What ends the copy before its time.
    pub(super) guard: &'a Guard,
}

/// How files are copied.
#[derive(Debug, Default)]
pub(super) struct Manner {
    /// The new owner of files: the one that is asked for, or root for what comes from outside.
    pub(super) owner: Option<(u32, u32)>,
    /// The owner that is asked for: what is in an archive has owners of its own.
    pub(super) asked_owner: Option<(u32, u32)>,
    pub(super) mode: Option<ModeChange>,
    /// The time of everything, if it is not what each has.
    pub(super) time: Option<Time>,
    pub(super) parents: bool,
    pub(super) excluded: Patterns,
    /// Whether a directory that is made for the content of another becomes like that one: not for `COPY`, but what is
    /// mounted is the directory itself.
    pub(super) is_mount: bool,
}

/// One thing to put somewhere.
#[derive(Debug)]
pub(super) enum Item {
    /// A file or the content of a directory.
    Tree(Selected),
    /// What is in an archive.
    Archive(Selected),
    /// The content of a directory that was fetched.
    Directory(PathBuf),
    /// A text of the Dockerfile.
    Text {
        /// What it is called.
        name: OsString,
        /// What it says.
        content: Vec<u8>,
    },
    /// A file that was fetched.
    Fetched {
        /// What it is called.
        name: OsString,
        /// Where it lies.
        path: PathBuf,
        /// Whether it is unpacked.
        unpack: bool,
        /// When it was last changed.
        time: Time,
    },
}

impl Item {
    /// Whether it is a directory, or is unpacked into one.
    pub(super) fn is_directory(&self) -> bool {
        match self {
            Self::Tree(one) => one.entry.is_directory(),
            Self::Archive(_) | Self::Directory(_) => true,
            Self::Text { .. } => false,
            Self::Fetched { unpack, .. } => *unpack,
        }
    }
}

/// Where things go.
#[derive(Debug)]
pub(super) struct Target {
    /// The absolute path in the image.
    pub(super) path: PathBuf,
    /// Whether it is a directory by the way it is written.
    pub(super) is_directory: bool,
}

impl Target {
    /// Reads a destination; a relative one begins at the working directory.
    pub(super) fn parse(text: &str, working_directory: &str) -> Self {
        let is_directory = text.ends_with('/')
            || matches!(text, "." | "..")
            || text.ends_with("/.")
            || text.ends_with("/..");
        let base = if working_directory.is_empty() {
            "/"
        } else {
            working_directory
        };
        let joined = if text.starts_with('/') {
            text.to_owned()
        } else {
            format!("{base}/{text}")
        };
        Self {
            path: PathBuf::from(clean(&format!("/{joined}"))),
            is_directory,
        }
    }
}

/// Reads `--chmod`.
pub(super) fn mode_change(text: &str) -> Result<ModeChange, String> {
    ModeChange::parse(text)
}

/// Attributes that are copied with a file.
fn is_copied(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
}

/// What a source names; `None` when it is not there.
pub(super) fn items(
    origin: &Origin<'_>,
    source: &str,
    manner: &Manner,
    unpacks: bool,
) -> io::Result<Option<Vec<Item>>> {
    let Some(selected) = select::select(origin.tree, origin.ignored, source, manner.parents)?
    else {
        return Ok(None);
    };
    let mut items = Vec::new();
    for one in selected {
        let archive = unpacks
            && one.entry.metadata().kind == berth_sys::file::Kind::File
            && is_archive(&mut one.entry.open()?)?;
        items.push(if archive {
            Item::Archive(one)
        } else {
            Item::Tree(one)
        });
    }
    Ok(Some(items))
}

/// Adds what is copied to a key, and says how it looked meanwhile.
pub(super) fn describe(
    key: &mut Key,
    items: &[Item],
    origin: &Origin<'_>,
    manner: &Manner,
) -> io::Result<Look> {
    let mut looking = Looking::default();
    key.number(items.len() as u64);
    for item in items {
        match item {
            Item::Tree(one) | Item::Archive(one) => {
                key.text(if matches!(item, Item::Tree(_)) {
                    "tree"
                } else {
                    "archive"
                });
                key.text(&one.name.to_string_lossy());
                key.text(&one.kept.to_string_lossy());
                looking.item(&one.name, &one.kept);
                let filter = Filter {
                    ignored: origin.ignored,
                    excluded: &manner.excluded,
                };
                walk(&one.entry, &one.path, filter, &mut |path, entry| {
                    looking.entry(path, entry);
                    digest::add(
                        key,
                        path,
                        entry,
                        manner.owner,
                        (origin.digests, origin.guard),
                    )
                })?;
            }
            Item::Directory(path) => {
                key.text("fetched directory");
                let nothing = Patterns::default();
                let tree = Merged::open(std::slice::from_ref(path))
                    .map_err(|error| io::Error::other(chain(&error)))?;
                let root = tree.place(Path::new("/"), berth_sys::file::Links::Refused)?;
                if let Some(root) = root.entry {
                    let filter = Filter {
                        ignored: &nothing,
                        excluded: &manner.excluded,
                    };
                    walk(&root, Path::new(""), filter, &mut |path, entry| {
                        digest::add(
                            key,
                            path,
                            entry,
                            manner.owner,
                            (&FileDigests::none(), origin.guard),
                        )
                    })?;
                }
            }
            Item::Text { name, content } => {
                key.text("text");
                key.text(&name.to_string_lossy());
                key.bytes(content);
            }
            Item::Fetched {
                name, path, unpack, ..
            } => {
                key.text(if *unpack {
                    "fetched archive"
                } else {
                    "fetched"
                });
                key.text(&name.to_string_lossy());
                let mut file = origin.guard.over(File::open(path)?);
                let mut hasher = <sha2::Sha256 as sha2::Digest>::new();
                io::copy(&mut file, &mut Hashing(&mut hasher))?;
                key.bytes(&sha2::Digest::finalize(hasher));
            }
        }
    }
    Ok(looking.finish())
}

struct Hashing<'a>(&'a mut sha2::Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sha2::Digest::update(self.0, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What putting things needs beside them.
pub(super) struct Place<'a> {
    /// What is below the new layer.
    pub(super) lower: &'a Merged,
    /// The new layer.
    pub(super) layer: &'a Path,
    /// The time of what has none of its own.
    pub(super) now: Time,
    /// Makes a directory to unpack archives in.
    pub(super) scratch: &'a dyn Fn() -> berth_contract::Result<PathBuf>,
}

/// Puts things into a new layer.
pub(super) fn put(
    items: &[Item],
    target: &Target,
    origin: &Origin<'_>,
    manner: &Manner,
    place: &Place<'_>,
) -> io::Result<()> {
    let layer = Directory::open(place.layer)?;
    let mut placer = Placer::new(place.lower, layer, place.now, origin.guard);
    placer.owner = manner.owner;
    placer.mode = manner.mode.as_ref();
    placer.time = manner.time;
    let (_, exists) = placer.resolve(&target.path)?;
    let into = target.is_directory || items.len() > 1 || exists || manner.parents;
    for item in items {
        // BuildKit has it so: the mode is that of a file, and of directories made for files of a tree.
        placer.directory_mode = placer.mode.filter(|_| matches!(item, Item::Tree(_)));
        // It is there even if all of what was found is left out.
        if target.is_directory && !manner.is_mount {
            placer.directory_for(&target.path)?;
        }
        match item {
            Item::Tree(one) => {
                let filter = Filter {
                    ignored: origin.ignored,
                    excluded: &manner.excluded,
                };
                tree(&mut placer, one, (origin, filter), (target, into), manner)?;
            }
            Item::Text { name, content } => {
                let path = named(&placer, target, name, into)?;
                placer.write(&path, 0o644, &mut content.as_slice(), place.now)?;
            }
            Item::Fetched {
                name,
                path,
                unpack: false,
                time,
            } => {
                let at = named(&placer, target, name, into)?;
                placer.write(&at, 0o600, &mut File::open(path)?, *time)?;
            }
            Item::Directory(path) => whole(&mut placer, path, target, manner)?,
            Item::Archive(one) => {
                let file = origin.guard.over(one.entry.open()?);
                unpack(&mut placer, file, place, (target, manner))?;
            }
            Item::Fetched { path, .. } => {
                let file = origin.guard.over(File::open(path)?);
                unpack(&mut placer, file, place, (target, manner))?;
            }
        }
    }
    placer.finish()
}

/// Unpacks an archive aside and puts what was in it where links lead.
fn unpack(
    placer: &mut Placer<'_>,
    file: impl io::Read,
    place: &Place<'_>,
    (target, manner): (&Target, &Manner),
) -> io::Result<()> {
    let scratch = (place.scratch)().map_err(|error| io::Error::other(chain(&error)))?;
    berth_image::unpack_archive(file, &scratch).map_err(|error| io::Error::other(chain(&error)))?;
    // An archive says itself whose its files are and what may be done with them.
    let (owner, mode) = (placer.owner, placer.mode.take());
    placer.owner = manner.asked_owner;
    placer.replaces = true;
    let unpacked = whole(placer, &scratch, target, manner);
    placer.replaces = false;
    (placer.owner, placer.mode) = (owner, mode);
    unpacked
}

/// Puts everything in a directory.
fn whole(
    placer: &mut Placer<'_>,
    directory: &Path,
    target: &Target,
    manner: &Manner,
) -> io::Result<()> {
    let tree =
        Merged::open(&[directory.to_owned()]).map_err(|error| io::Error::other(chain(&error)))?;
    let root = tree.place(Path::new("/"), berth_sys::file::Links::Refused)?;
    let Some(root) = root.entry else {
        return Ok(());
    };
    let nothing = Patterns::default();
    let filter = Filter {
        ignored: &nothing,
        excluded: &manner.excluded,
    };
    placer.directory_for(&target.path)?;
    walk(&root, Path::new(""), filter, &mut |path, entry| {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        placer.put(&target.path.join(path), entry, false)
    })
}

fn chain(error: &berth_contract::Error) -> String {
    berth_contract::Report::from(error).line()
}

/// Where a file goes: into a directory by its own name, else to where the destination leads if that is a link.
fn named(
    placer: &Placer<'_>,
    target: &Target,
    name: &std::ffi::OsStr,
    into: bool,
) -> io::Result<PathBuf> {
    if into {
        return Ok(target.path.join(name));
    }
    placer.resolve(&target.path).map(|(path, _)| path)
}

/// A file by its name, a directory's content without it; with `--parents` beneath the directories it was
/// in.
fn tree(
    placer: &mut Placer<'_>,
    one: &Selected,
    (origin, filter): (&Origin<'_>, Filter<'_>),
    (target, into): (&Target, bool),
    manner: &Manner,
) -> io::Result<()> {
    let mut base = target.path.clone();
    if manner.parents {
        // The directories above it, as they are where it comes from.
        let above = one.path.parent().unwrap_or(Path::new(""));
        let depth = one.kept.components().count();
        let outer = above.components().count().saturating_sub(depth);
        let mut source: PathBuf = above.components().take(outer).collect();
        for part in one.kept.components() {
            source.push(part);
            base.push(part);
            if let Some(entry) = origin
                .tree
                .place(&source, berth_sys::file::Links::InRoot)?
                .entry
            {
                placer.put(&base, &entry, true)?;
            }
        }
        base.push(&one.name);
    } else if !one.entry.is_directory() {
        base = named(placer, target, &one.name, into)?;
    }
    walk(&one.entry, &one.path, filter, &mut |path, entry| {
        if !path.as_os_str().is_empty() {
            return placer.put(&base.join(path), entry, false);
        }
        if entry.is_directory() && !manner.parents && !manner.is_mount {
            // Its content is copied, not itself.
            return placer.directory_for(&base);
        }
        placer.put(&base, entry, true)
    })
}

/// Makes a directory of the image with the parents it lacks; one that is there stays as it is.
pub(super) fn make_directory(
    lower: &Merged,
    (layer, path): (&Path, &Path),
    owner: (u32, u32),
    now: Time,
    guard: &Guard,
) -> io::Result<()> {
    let mut placer = Placer::new(lower, Directory::open(layer)?, now, guard);
    placer.owner = Some(owner);
    let (place, exists) = placer.resolve(path)?;
    if !exists {
        placer.directory(&place)?;
    }
    placer.finish()
}
