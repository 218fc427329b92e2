//! The stages of one platform: who builds which, and what they came to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use berth_contract::{Error, Result};
use berth_image::Platform;

use super::builder::{NOTICE, lock};
use super::dockerfile::Stages;
use super::request::Cancel;
use super::run::cancelled;
use super::state::State;

/// The stages of one platform and what they came to.
pub(super) struct Graph<'a> {
    pub(super) stages: &'a Stages,
    pub(super) platform: Platform,
    pub(super) predefined: BTreeMap<String, String>,
    /// The stages whose files are needed from the beginning.
    pub(super) whole: BTreeSet<usize>,
    progress: Mutex<Course>,
    changed: Condvar,
}

impl<'a> Graph<'a> {
    /// Nothing is built yet.
    pub(super) fn new(
        stages: &'a Stages,
        platform: Platform,
        predefined: BTreeMap<String, String>,
    ) -> Self {
        Self {
            stages,
            platform,
            predefined,
            whole: BTreeSet::new(),
            progress: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// What a stage comes to, built here unless somebody builds it already, who is waited for.
    pub(super) fn result(
        &self,
        wish: Wish,
        cancel: &Cancel,
        build: impl FnOnce() -> Option<State>,
    ) -> Result<Arc<State>> {
        let mut progress = lock(&self.progress);
        if progress.begun.insert(wish) {
            drop(progress);
            let mut settling = Settling {
                graph: self,
                wish,
                state: None,
            };
            settling.state = build().map(Arc::new);
            drop(settling);
            progress = lock(&self.progress);
        }
        loop {
            match progress.results.get(&wish) {
                Some(Some(state)) => return Ok(Arc::clone(state)),
                Some(None) => return Err(cancelled()),
                None if cancel.is_over() => return Err(cancelled()),
                None => {
                    let waited = self.changed.wait_timeout(progress, NOTICE);
                    (progress, _) = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// A stage failed, because of which what waits for it fails.
    pub(super) fn fail(&self, error: Error) {
        lock(&self.progress).failure = Some(error);
    }

    /// Why a stage failed, if one did.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.progress).failure.take()
    }

    /// Forgets what all stages came to if some came to two things, which can come to one only then: their files are needed
    /// from the beginning. So there is one more of them each time.
    pub(super) fn begins_anew(&mut self) -> bool {
        let torn = std::mem::take(&mut *lock(&self.progress)).torn;
        let is_torn = !torn.is_empty();
        self.whole.extend(torn);
        is_torn
    }

    /// What a stage has come to, with all its files if somebody needed them.
    pub(super) fn known(&self, index: usize) -> Option<Arc<State>> {
        let progress = lock(&self.progress);
        let result = |whole| progress.results.get(&(index, whole)).cloned().flatten();
        let first = result(false);
        match first {
            Some(state) if state.is_whole => Some(state),
            first => result(true).or(first),
        }
    }

    /// Says that stages came to two things, and something was to be made of both.
    pub(super) fn tear(&self, stages: BTreeSet<usize>) {
        lock(&self.progress).torn.extend(stages);
    }

    /// Whether that happened, so that all of it begins anew.
    pub(super) fn is_torn(&self) -> bool {
        !lock(&self.progress).torn.is_empty()
    }
}

/// A stage, and whether its files are needed: otherwise what comes of it may be known by name alone.
pub(super) type Wish = (usize, bool);

/// How far the stages are.
#[derive(Debug, Default)]
struct Course {
    /// Those that somebody builds or has built.
    begun: BTreeSet<Wish>,
    /// What they came to; nothing for those that failed.
    results: BTreeMap<Wish, Option<Arc<State>>>,
    /// The first failure; what waited for it fails because of it.
    failure: Option<Error>,
    /// Those that came to two things, and something was to be made of both.
    torn: BTreeSet<usize>,
}

/// Settles a stage however its building ends, a panic included: others wait for it.
struct Settling<'g, 'a> {
    graph: &'g Graph<'a>,
    wish: Wish,
    state: Option<Arc<State>>,
}

impl Drop for Settling<'_, '_> {
    fn drop(&mut self) {
        let mut progress = lock(&self.graph.progress);
        progress.results.insert(self.wish, self.state.take());
        self.graph.changed.notify_all();
    }
}
