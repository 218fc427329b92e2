//! The layers of a stage: what a step's key leads to, here, in other caches or by name alone, and what is made anew.
//!
//! ```text
//!  key ─► the cache here ─► caches of --cache-from ─► a name of which no cache has the layer ─► made now
//!                                                      as long as nobody needs the files of the stage
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{Layer, urls_without_logins};
use berth_sys::error::Explain as _;

use super::cache::{CachedStep, Key};
use super::copy::Read;
use super::remote_cache::diff_ids;
use super::report::Step;
use super::stage_builder::{StageBuilder, extracted};
use super::state::State;

/// Where the layer of a step comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It was made now.
    New,
    /// It is in the cache.
    Here,
    /// It was in another cache.
    Elsewhere,
    /// It is only known what it is called.
    Nowhere,
}

/// The layer a step makes, if the cache does not have it.
pub(super) struct Made {
    /// What the history says.
    pub(super) created_by: String,
    /// What the step depends on.
    pub(super) key: Key,
}

impl StageBuilder<'_, '_> {
    /// The stage's files now.
    pub(super) fn lowers(&self) -> Result<Vec<PathBuf>> {
        if !self.state.is_whole {
            // It is built once more, with all its files.
            self.lacks_files.set(true);
            return Err(missing());
        }
        extracted(self.build, &self.state.layers)
    }

    /// Notes that something comes out of a stage. Two executions of one command differ, and nothing may be made of both:
    /// a stage that was known by name, and then built because its files were needed, is built first when all begins anew.
    pub(super) fn comes_of(&self, index: usize, state: &State) -> Result<()> {
        let own = (index, diff_ids(&state.layers));
        let mut origins = self.origins.borrow_mut();
        let mut torn = BTreeSet::new();
        for (index, layers) in state.origins.clone().into_iter().chain([own]) {
            if *origins.entry(index).or_insert_with(|| layers.clone()) != layers {
                torn.insert(index);
            }
        }
        if torn.is_empty() {
            return Ok(());
        }
        self.graph.tear(torn);
        Err(missing())
    }

    /// Adds a step's layer: the cache's, or one that is made now.
    pub(super) fn layer(
        &mut self,
        made: Made,
        step: Step<'_>,
        make: impl FnOnce(&Self) -> Result<(Layer, Read)>,
    ) -> Result<()> {
        let Made { key, created_by } = made;
        let key = self.finished(key);
        if self.took(&key, false, &created_by, step) {
            return Ok(());
        }
        let (layer, read) = make(self)?;
        let created_by = urls_without_logins(&created_by);
        let epoch = self.build.epoch.map(|_| self.build.now.clone());
        let created = epoch.or_else(|| Some(super::time::rfc3339(None)));
        self.state.add(layer, created_by.clone(), created);
        if read == Read::Changed {
            step.note("files changed while they were copied: the cache does not keep this step");
            return Ok(());
        }
        self.keep((key, false), &created_by, Place::New);
        Ok(())
    }

    /// The key of a step, complete.
    pub(super) fn finished(&self, mut key: Key) -> Digest {
        if let Some(latest) = self.latest() {
            key.text("rewritten");
            key.bytes(&latest.to_le_bytes());
        }
        key.finish()
    }

    /// Adds the layer that a key leads to, if it is known.
    pub(super) fn took(
        &mut self,
        key: &Digest,
        by_name: bool,
        created_by: &str,
        step: Step<'_>,
    ) -> bool {
        let build = self.build;
        if build.ignores_cache(self.stage.name.as_deref()) {
            return false;
        }
        let known = self.known(key).or_else(|| self.left_out(key));
        let Some((layer, created, place)) = known else {
            return false;
        };
        step.cached();
        let created_by = urls_without_logins(created_by);
        let created = build.epoch.map(|_| build.now.clone()).or(created);
        self.state.add(layer, created_by.clone(), created);
        self.state.is_whole &= place != Place::Nowhere;
        self.keep((key.clone(), by_name), &created_by, place);
        true
    }

    /// Remembers that a key leads to the topmost layer.
    fn keep(&self, (key, by_name): (Digest, bool), about: &str, place: Place) {
        let about = (about, self.state.created.clone());
        let Some(mut kept) = CachedStep::new(key, &self.state.layers, about, self.latest()) else {
            return;
        };
        kept.by_name = by_name;
        self.build.keep(kept, place == Place::Here);
    }

    /// Tells other caches that another key leads to the topmost layer, too.
    pub(super) fn also(&self, key: Digest) {
        let about = ("", self.state.created.clone());
        if let Some(mut kept) = CachedStep::new(key, &self.state.layers, about, self.latest()) {
            kept.by_name = true;
            self.build.tell(kept);
        }
    }

    /// The layer a key leads to, here or in the caches of `--cache-from`, upon the layers of this stage.
    fn known(&self, key: &Digest) -> Option<(Layer, Option<String>, Place)> {
        let build = self.build;
        let below = &self.state.layers;
        if let Some(cached) = build.cache.find(key, &build.store, &build.assembly) {
            let mut stack = below.clone();
            stack.push(cached.layer());
            // A linked copy may have been made upon others.
            let is_here = build.store.extracted(&stack).is_some();
            if is_here || build.assembly.adopt(None, &stack).is_ok() {
                return Some((cached.layer(), cached.created, Place::Here));
            }
        }
        let (layer, created) = build.imports.find(build, key, below)?;
        Some((layer, created, Place::Elsewhere))
    }

    /// What a step came to whose layer is not here, where its files are not needed.
    fn left_out(&self, key: &Digest) -> Option<(Layer, Option<String>, Place)> {
        if self.whole {
            return None;
        }
        let build = self.build;
        let here = build.cache.left_out(key);
        let layer = here.or_else(|| build.imports.left_out(build, key))?;
        Some((layer, None, Place::Nowhere))
    }

    /// A directory for the files of the next layer; its own attributes are those of the layer below.
    pub(super) fn new_layer(&self) -> Result<PathBuf> {
        let directory = self.build.assembly.directory()?;
        if let Some(below) = self.lowers()?.first() {
            let copy = || {
                let below = berth_sys::file::Directory::open(below)?.own_metadata()?;
                let own = berth_sys::file::Directory::open(&directory)?;
                berth_sys::file::set_owner_and_mode(&own, below.uid, below.gid, below.mode)
            };
            copy().explain(|| "cannot prepare a layer".into())?;
        }
        Ok(directory)
    }
}

/// A layer that should be here.
pub(super) fn missing() -> Error {
    Error::new(Class::Internal, "a layer of the stage is missing")
        .hint("berth builder prune -a, and build again")
}
