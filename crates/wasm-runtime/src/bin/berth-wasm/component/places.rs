//! Where a component's paths are looked for, and what it is told when that fails: the same for every
//! version of `wasi:filesystem`.
//!
//! Programs reach it through the same C library as preview 1, which drops the difference between
//! absolute and relative paths; `preview1/paths.rs` tells the story.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use berth_wasm_runtime::configuration::Configuration;
use wasmtime::component::Resource;
use wasmtime_wasi::TrappableError;
use wasmtime_wasi::filesystem::Descriptor;

use crate::guest;
use crate::places::{Known, beneath};

/// What a version's error codes have in common.
pub(super) trait Code: std::error::Error + Send + Sync + 'static {
    /// What this one means, where it matters here.
    fn meaning(&self) -> Option<Meaning>;

    /// The code for a meaning.
    fn of(meaning: Meaning) -> Self;
}

/// The failures that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing is there.
    Absent,
    /// A part of the path is no directory.
    NotDirectory,
    /// Something without a name of its own.
    Unnamed,
    /// The file system cannot be written.
    ReadOnly,
    /// Two paths are on two file systems.
    Apart,
    /// It is no link.
    NoLink,
    /// It leads out of the directory, or the kernel forbids it.
    Forbidden,
}

/// The codes of a version's `error-code` by their names.
macro_rules! code {
    ($code:ty) => {
        impl crate::component::places::Code for $code {
            fn meaning(&self) -> Option<crate::component::places::Meaning> {
                use crate::component::places::Meaning;
                Some(match self {
                    Self::NoEntry => Meaning::Absent,
                    Self::NotDirectory => Meaning::NotDirectory,
                    Self::Io => Meaning::Unnamed,
                    Self::ReadOnly => Meaning::ReadOnly,
                    Self::CrossDevice => Meaning::Apart,
                    Self::Invalid => Meaning::NoLink,
                    Self::NotPermitted => Meaning::Forbidden,
                    _ => return None,
                })
            }

            fn of(meaning: crate::component::places::Meaning) -> Self {
                use crate::component::places::Meaning;
                match meaning {
                    Meaning::Absent => Self::NoEntry,
                    Meaning::NotDirectory => Self::NotDirectory,
                    Meaning::Unnamed => Self::Io,
                    Meaning::ReadOnly => Self::ReadOnly,
                    Meaning::Apart => Self::CrossDevice,
                    Meaning::NoLink => Self::Invalid,
                    Meaning::Forbidden => Self::NotPermitted,
                }
            }
        }
    };
}
pub(super) use code;

/// The functions on paths that WASI 0.2 and 0.3 share; `in_places` and `in_pairs` are each one's own.
macro_rules! on_paths {
    () => {
        in_places! {
            |path| path, follows: false =>
            create_directory_at(path: String) -> ();
            symlink_at(target: String, path: String) -> ();
            unlink_file_at(path: String) -> ();
        }

        in_places! {
            |path| path, follows: flags.contains(types::PathFlags::SYMLINK_FOLLOW) =>
            stat_at(flags: types::PathFlags, path: String) -> types::DescriptorStat;
            set_times_at(flags: types::PathFlags, path: String, accessed: types::NewTimestamp, modified: types::NewTimestamp) -> ();
            metadata_hash_at(flags: types::PathFlags, path: String) -> types::MetadataHashValue;
        }

        in_places! {
            |path| without_slashes(path), follows: false =>
            remove_directory_at(path: String) -> ();
        }

        in_pairs! {
            link_at(flags: types::PathFlags);
            rename_at();
        }
    };
}

pub(super) use on_paths;

/// How an operation on a path ended.
pub(super) type Outcome<T, C> = Result<T, TrappableError<C>>;

fn meaning<T, C: Code>(outcome: &Outcome<T, C>) -> Option<Meaning> {
    outcome.as_ref().err()?.downcast_ref()?.meaning()
}

/// A path, and the directory where it starts.
pub(super) type Start = (u32, String);

/// An operation tried from one start, or two, after the other.
pub(super) struct Search<S, T, C> {
    left: VecDeque<S>,
    first: Option<Outcome<T, C>>,
}

impl<S: PartialEq, T, C: Code> Search<S, T, C> {
    pub(super) fn new(starts: impl IntoIterator<Item = S>) -> Self {
        Self {
            left: starts.into_iter().collect(),
            first: None,
        }
    }

    pub(super) fn next(&mut self) -> Option<S> {
        self.left.pop_front()
    }

    /// Takes how it ended from one start; gives it back when that is the end of the search. What was
    /// forbidden is tried again from where the links `lead`.
    pub(super) fn take(
        &mut self,
        from: &S,
        outcome: Outcome<T, C>,
        lead: impl FnOnce() -> Option<S>,
    ) -> Option<Outcome<T, C>> {
        let goes_on = match meaning(&outcome) {
            Some(Meaning::Absent | Meaning::NotDirectory) => true,
            // Between two file systems the kernel does not look whether there is anything.
            Some(Meaning::Apart) => self.first.is_some(),
            Some(Meaning::Forbidden) => {
                let next = lead().filter(|next| next != from);
                let there = next.is_some();
                self.left.extend(next);
                self.left.rotate_right(usize::from(there));
                if there {
                    return None;
                }
                self.first.is_some()
            }
            _ => false,
        };
        if !goes_on {
            return Some(outcome);
        }
        self.first.get_or_insert(outcome);
        None
    }

    /// It is nowhere: the first place has the word.
    pub(super) fn absent(self) -> Outcome<T, C> {
        self.first
            .unwrap_or_else(|| Err(C::of(Meaning::Absent).into()))
    }
}

/// A directory by its number.
pub(super) fn at(number: u32) -> Resource<Descriptor> {
    Resource::new_borrow(number)
}

/// wasmtime refuses a trailing slash where a directory is removed, as `preview1/paths.rs` tells.
pub(super) fn without_slashes(path: String) -> String {
    match path.trim_end_matches('/') {
        "" => path,
        trimmed => trimmed.to_owned(),
    }
}

/// The directories a component has open, by the number of their resource.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// A root directory that the guest cannot close.
    root: Option<u32>,
    working: Vec<u32>,
    /// All that the guest was given, and the root it cannot close.
    preopened: Vec<u32>,
    known: Known<u32>,
    root_path: PathBuf,
    working_directory: PathBuf,
}

impl Places {
    pub(super) fn new(configuration: &Configuration) -> Self {
        Self {
            root_path: configuration.root.as_deref().unwrap_or("/").into(),
            working_directory: guest::working_directory(configuration).into(),
            ..Self::default()
        }
    }

    /// Whether the guest's root directory has no number yet that the guest does not know.
    pub(super) fn wants_root(&self) -> bool {
        self.root.is_none()
    }

    /// Keeps the root among preopened directories that the guest will not see.
    pub(super) fn keep_root(&mut self, directories: &[(Resource<Descriptor>, String)]) {
        for (directory, _) in directories.iter().filter(|(_, name)| name == "/") {
            self.root = Some(directory.rep());
            self.preopened.push(directory.rep());
            self.known.insert(directory.rep(), self.root_path.clone());
        }
    }

    /// The guest was given these preopened directories.
    pub(super) fn given(&mut self, directories: &[(Resource<Descriptor>, String)]) {
        for (directory, name) in directories {
            self.preopened.push(directory.rep());
            let path = if name == "." {
                self.working.push(directory.rep());
                self.working_directory.clone()
            } else {
                self.root_path.clone()
            };
            self.known.insert(directory.rep(), path);
        }
    }

    /// A directory below another was opened.
    pub(super) fn opened(&mut self, number: u32, below: u32, path: &str) {
        self.known.opened(number, below, path);
    }

    /// The number will name something else.
    pub(super) fn closed(&mut self, number: u32) {
        self.known.remove(number);
        for numbers in [&mut self.working, &mut self.preopened] {
            numbers.retain(|open| *open != number);
        }
    }

    /// From where a path relative to this directory is looked for, in order.
    pub(super) fn starts(
        &self,
        directory: &Resource<Descriptor>,
        path: &str,
    ) -> impl Iterator<Item = Start> + use<> {
        let (directory, path) = (directory.rep(), path.to_owned());
        let second = self.root.filter(|_| self.working.contains(&directory));
        std::iter::once(directory)
            .chain(second)
            .map(move |directory| (directory, path.clone()))
    }

    /// The pairs of them for two paths, in order.
    pub(super) fn pairs(
        &self,
        (from, old): (&Resource<Descriptor>, &str),
        (to, new): (&Resource<Descriptor>, &str),
    ) -> Vec<(Start, Start)> {
        let to: Vec<Start> = self.starts(to, new).collect();
        let with_each = |from: Start| to.iter().map(move |to| (from.clone(), to.clone()));
        self.starts(from, old).flat_map(with_each).collect()
    }

    /// Where the links in a path lead, when it starts at a directory that the guest was given: those are
    /// the root and a part of it, so that a link may lead anywhere in the root, as for native programs.
    pub(super) fn lead(&self, (directory, path): &Start, follows: bool) -> Option<Start> {
        if !self.preopened.contains(directory) {
            return None;
        }
        let start = self.known.path(*directory)?;
        Some((self.root?, beneath(&self.root_path, start, path, follows)?))
    }

    /// The same for two paths, at least one of which leads elsewhere.
    pub(super) fn lead_both(&self, (from, to): &(Start, Start)) -> Option<(Start, Start)> {
        let (old, new) = (self.lead(from, false), self.lead(to, false));
        (old.is_some() || new.is_some()).then(|| {
            (
                old.unwrap_or_else(|| from.clone()),
                new.unwrap_or_else(|| to.clone()),
            )
        })
    }

    /// What a link says; wasmtime does not read one that leads to an absolute path.
    pub(super) fn read<C: Code>(
        &self,
        start: &Start,
        outcome: Outcome<String, C>,
    ) -> Outcome<String, C> {
        let target = || {
            let (_, path) = self.lead(start, false)?;
            Some(self.root_path.join(path).read_link())
        };
        if meaning(&outcome) != Some(Meaning::Forbidden) {
            return outcome;
        }
        match target() {
            None => outcome,
            Some(Ok(target)) => {
                let text = target.into_os_string().into_string();
                text.map_or(outcome, Ok)
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(C::of(Meaning::Absent).into())
            }
            Some(Err(_)) => Err(C::of(Meaning::NoLink).into()),
        }
    }

    /// What the guest is told when an operation on `path` ended so.
    pub(super) fn told<T, C: Code>(
        &self,
        outcome: Outcome<T, C>,
        (directory, path): (u32, &str),
    ) -> Outcome<T, C> {
        if meaning(&outcome) == Some(Meaning::Unnamed) && self.known.is_read_only(directory, path) {
            return Err(C::of(Meaning::ReadOnly).into());
        }
        outcome
    }

    /// The same for an operation on two paths.
    pub(super) fn told_of_two<T, C: Code>(
        &self,
        outcome: Outcome<T, C>,
        from: (u32, &str),
        to: (u32, &str),
    ) -> Outcome<T, C> {
        if meaning(&outcome) == Some(Meaning::Unnamed) && self.known.are_apart(from, to) {
            return Err(C::of(Meaning::Apart).into());
        }
        self.told(outcome, to)
    }
}
