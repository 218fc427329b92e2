//! The directories a preview 1 guest has open, and where paths that start there are looked for.

use std::io;
use std::path::PathBuf;

use berth_wasm_runtime::configuration::Configuration;

use crate::guest;
use crate::places::{Known, beneath};

/// The directories a guest has open, by number.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// `None` when the guest has closed it.
    root: Option<i32>,
    working_directory: Option<i32>,
    root_path: PathBuf,
    pub(super) known: Known<i32>,
}

impl Places {
    /// The preopened directories: `/` at `root`, and the working directory after it where it is another.
    pub(super) fn new(root: i32, configuration: &Configuration) -> Self {
        let mut known = Known::default();
        let root_path = PathBuf::from(configuration.root.as_deref().unwrap_or("/"));
        known.insert(root, root_path.clone());
        let number = (configuration.working_directory != "/").then_some(root + 1);
        if let Some(number) = number {
            known.insert(number, guest::working_directory(configuration).into());
        }
        Self {
            root: Some(root),
            working_directory: number,
            root_path,
            known,
        }
    }

    /// A number means nothing any more.
    pub(super) fn closed(&mut self, number: i32) {
        self.known.remove(number);
        for place in [&mut self.root, &mut self.working_directory] {
            place.take_if(|place| *place == number);
        }
    }

    /// What was one number is another now, in place of what that was.
    pub(super) fn moved(&mut self, from: i32, to: i32) {
        if from == to {
            return;
        }
        self.closed(to);
        if let Some(path) = self.known.remove(from) {
            self.known.insert(to, path);
        }
        for place in [&mut self.root, &mut self.working_directory] {
            if *place == Some(from) {
                *place = Some(to);
            }
        }
    }

    /// Where a path relative to this directory is looked for, in order.
    pub(super) fn candidates(&self, directory: i32, absolute: bool) -> [Option<i32>; 2] {
        let root = self
            .root
            .filter(|_| self.working_directory == Some(directory));
        match root {
            Some(root) if absolute => [Some(root), Some(directory)],
            root => [Some(directory), root],
        }
    }
    /// Where the links in a path lead, when it starts at a directory that the guest was given: those are
    /// the root and a part of it, so that a link may lead anywhere in the root, as for native programs.
    pub(super) fn lead(&self, directory: i32, path: &str, follows: bool) -> Option<(i32, String)> {
        let given = [self.root, self.working_directory];
        if !given.contains(&Some(directory)) {
            return None;
        }
        let start = self.known.path(directory)?;
        let led = beneath(&self.root_path, start, path, follows)?;
        Some((self.root?, led))
    }

    /// What a link says, where wasmtime does not read it as it leads to an absolute path.
    pub(super) fn target(&self, directory: i32, path: &str) -> Option<io::Result<PathBuf>> {
        let (_, led) = self.lead(directory, path, false)?;
        Some(self.root_path.join(led).read_link())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn working_in(directory: &str) -> Configuration {
        Configuration {
            working_directory: directory.to_owned(),
            ..Configuration::default()
        }
    }

    #[test]
    fn the_working_directory_comes_before_the_root() {
        let places = Places::new(3, &working_in("/app"));
        assert_eq!(places.candidates(4, false), [Some(4), Some(3)]);
        assert_eq!(places.candidates(4, true), [Some(3), Some(4)]);
        assert_eq!(places.candidates(3, false), [Some(3), None]);
        assert_eq!(
            Places::new(3, &working_in("/")).candidates(3, true),
            [Some(3), None]
        );
    }

    #[test]
    fn numbers_lose_their_meaning_when_they_are_closed() {
        let mut places = Places::new(3, &working_in("/app"));
        places.moved(4, 9);
        assert_eq!(places.candidates(4, false), [Some(4), None]);
        assert_eq!(places.candidates(9, false), [Some(9), Some(3)]);
        places.closed(3);
        assert_eq!(places.candidates(9, false), [Some(9), None]);
        places.moved(9, 9);
        assert_eq!(places.working_directory, Some(9));
        places.moved(5, 9);
        assert_eq!(places.working_directory, None);
    }
}
