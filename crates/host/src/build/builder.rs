//! Carrying a build out: the stages as a graph, independent ones at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_contract::{Class, Digest, Error, Result, Signal};
use berth_image::{Assembly, Descriptor, Image, Platform, Progress, Store};
use berth_sys::clock;
use berth_sys::error::Explain as _;
use berth_sys::lock::Lock;
use berth_sys::process;

use super::cache::{BuildCache, CachedStep};
use super::contexts::Contexts;
use super::copy::{FileDigests, Guard};
use super::deletion::Deletion;
use super::dockerfile::{Dockerfile, Stages};
use super::graph::{Graph, Wish};
use super::ignore::Patterns;
use super::jobs::Jobs;
use super::memory::Memory;
use super::output;
use super::remote_cache::{self, Imports};
use super::report::{Report, Step, Steps};
use super::request::{BuildRequest, Cancel, NamedContext};
use super::run_mounts::Copies;
use super::scope::predefined_arguments;
use super::shell::FailedPlace;
use super::stage_builder::StageBuilder;
use super::state::State;
use crate::engine::{CreateOptions, Engine};

/// What a build came to.
#[derive(Debug, Clone)]
pub struct Built {
    /// What the names lead to: a manifest, or an index of several.
    pub target: Descriptor,
    /// The digest of the config of the only image, or of the index.
    pub id: Digest,
}

/// A build while it goes on.
pub(super) struct Build<'a> {
    pub(super) engine: &'a Engine,
    pub(super) request: &'a BuildRequest,
    pub(super) file: &'a Dockerfile,
    pub(super) steps: Steps<'a>,
    pub(super) cancel: &'a Cancel,
    pub(super) jobs: Jobs,
    pub(super) store: Store,
    pub(super) assembly: Assembly,
    /// What says that it goes on.
    pub(super) alive: Alive,
    pub(super) cache: BuildCache,
    /// Steps to remember once they are on disk.
    pub(super) pending: Mutex<Vec<CachedStep>>,
    /// When steps were last put there.
    remembered: Mutex<Duration>,
    /// Every step that was needed, as it is in the cache now.
    used: Mutex<BTreeMap<Digest, CachedStep>>,
    /// Where secrets lie while a command needs them.
    pub(super) memory: Memory,
    /// The cache mounts that were emptied because the cache is not asked.
    pub(super) begun: Mutex<BTreeSet<String>>,
    /// What is mounted read-only, copied once for all commands.
    pub(super) mounted: Mutex<Copies>,
    /// What commands have left behind.
    pub(super) deletion: Deletion,
    /// What ends copies before their time.
    pub(super) guard: Guard,
    /// What other caches know.
    pub(super) imports: Imports,
    /// What the context leaves out.
    pub(super) ignored: Patterns,
    /// The named contexts that are directories.
    pub(super) contexts: Contexts,
    /// Digests of the context's files.
    pub(super) digests: FileDigests,
    /// Images that were looked up, so that two stages do not pull one twice.
    images: Mutex<BTreeMap<(String, String), Arc<Wanted>>>,
    /// The arguments that stages have declared.
    pub(super) declared: Mutex<BTreeSet<String>>,
    /// The time of everything, if it is given.
    pub(super) epoch: Option<i64>,
    /// RFC 3339.
    pub(super) now: String,
}

/// A file that is locked as long as a build goes on.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) path: PathBuf,
    _lock: Lock,
}

impl Alive {
    fn begin(assembly: &Assembly) -> Result<Self> {
        let cannot = || "cannot begin a build".to_owned();
        let directory = assembly.directory()?;
        let opened = std::fs::File::open(&directory).explain(cannot)?;
        let lock = Lock::take(&opened, "lock").explain(cannot)?;
        Ok(Self {
            path: directory.join("lock"),
            _lock: lock.ok_or_else(|| Error::new(Class::Internal, cannot()))?,
        })
    }
}

/// An image that somebody looks up, and then it.
type Wanted = Mutex<Option<Arc<Image>>>;

/// How long finished steps may be lost to a builder that is killed: what was made in that time is made again, and more
/// often the file system is not asked to write everything it holds.
const UNREMEMBERED: Duration = Duration::from_secs(5);

/// How long waiting takes no notice of a cancelled build.
pub(super) const NOTICE: Duration = Duration::from_millis(100);

impl Engine {
    /// Builds an image.
    ///
    /// # Errors
    /// The Dockerfile is wrong, a step fails, or the result cannot be written.
    pub fn build(
        &self,
        request: &BuildRequest,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> Result<Built> {
        self.require_root_for_build()?;
        // Whoever walks through a stage has each directory on the way open in each of its layers.
        drop(process::raise_open_files());
        let steps = Steps::new(report, cancel);
        let ignored = Patterns::from_file(&request.ignore).map_err(|reason| {
            Error::new(Class::Invalid, "cannot use the ignore file").caused_by(reason)
        })?;
        let load = steps.begin("[internal] load build definition from Dockerfile");
        let text = &request.dockerfile;
        let (file, misread) = Dockerfile::read_so_far(&request.dockerfile_name, text);
        let file = file.with_base(request.base.as_deref());
        if let Some(misread) = misread {
            let refused = file.refuse(misread.reason.clone(), misread.lines);
            let refused = load.end(Err(refused));
            // What is told beside the mistake is no mistake itself.
            drop(self.warn_of_dockerfile((&file, Some(misread)), request, &ignored, &steps));
            return refused;
        }
        load.end(Ok(()))?;
        self.warn_of_dockerfile((&file, None), request, &ignored, &steps)?;
        let epoch = epoch(&file, request)?;
        // What killed builds left; what cannot be removed now is tried by the next one.
        super::memory::sweep(&self.paths().run().join("build"));
        drop(self.clear_killed_builds());
        let store = self.store();
        let cache = BuildCache::new(self.paths().data());
        let interrupt = &request.pull_options.access.interrupt;
        let context = super::cache::Key::new("context");
        let context = {
            let mut key = context;
            key.text(&request.context.to_string_lossy());
            key.finish()
        };
        let assembly = store.assembly()?.ended_by(interrupt);
        let build = Build {
            alive: Alive::begin(&assembly)?,
            engine: self,
            request,
            file: &file,
            steps,
            cancel,
            jobs: Jobs::new(request.jobs),
            guard: Guard::new(interrupt.clone(), self.paths().data()),
            assembly,
            store,
            digests: FileDigests::load(cache.files().join(context.hex())),
            cache,
            pending: Mutex::default(),
            remembered: Mutex::new(clock::monotonic()),
            used: Mutex::default(),
            memory: Memory::new(self.paths().run()),
            begun: Mutex::default(),
            mounted: Mutex::default(),
            deletion: Deletion::default(),
            imports: Imports::default(),
            ignored,
            contexts: Contexts::of(request)?,
            images: Mutex::default(),
            declared: Mutex::default(),
            now: super::time::rfc3339(epoch),
            epoch,
        };
        let built = build.everything();
        // What was made is of use to the next build even if this one failed.
        build.remember();
        let deleted = build.deletion.finish();
        let built = built?;
        deleted.map(|()| built)
    }
}

impl<'a> Build<'a> {
    fn stage_name(&self) -> &str {
        self.file.stage_name(self.request.target.as_deref())
    }

    fn everything(&self) -> Result<Built> {
        let host = Platform::host();
        let platforms = if self.request.platforms.is_empty() {
            vec![host.clone()]
        } else {
            self.request.platforms.clone()
        };
        let (annotations, documents) = (&self.request.annotations, self.request.documents);
        annotations.check(&platforms, self.request.is_list, documents)?;
        let mut results = Vec::new();
        for platform in platforms {
            let predefined = predefined_arguments((&platform, &host), self.stage_name());
            let stages = Stages::of(self.file, &self.request.arguments, &predefined)
                .map_err(|misread| self.file.refuse(misread.reason, misread.lines))?
                .with_contexts(self.request.contexts.keys());
            let target = stages
                .target(self.request.target.as_deref())
                .map_err(|reason| Error::new(Class::Invalid, reason))?;
            let mut graph = Graph::new(&stages, platform.clone(), predefined);
            let state = loop {
                let built = self.stages(&graph, target);
                if self.cancel.is_over() || !graph.begins_anew() {
                    break built?;
                }
                self.remember();
            };
            results.push((platform, state));
        }
        self.digests.save();
        self.warn_of_request();
        let states: Vec<Arc<State>> = results.iter().map(|(_, state)| Arc::clone(state)).collect();
        let built = output::finish(self, results)?;
        remote_cache::export(self, states.iter().map(AsRef::as_ref))?;
        Ok(built)
    }

    /// Builds a stage and all it needs.
    fn stages(&self, graph: &Graph<'_>, target: usize) -> Result<Arc<State>> {
        let order = graph.stages.order(target);
        if order.len() > 1 {
            std::thread::scope(|scope| {
                for index in order {
                    scope.spawn(move || drop(self.stage(graph, index)));
                }
            });
        }
        let built = self.whole_stage(graph, target);
        match graph.failure() {
            Some(error) => Err(error),
            None => built,
        }
    }

    /// What a stage comes to: built here unless somebody builds it already, who is waited for. Stages need
    /// only earlier ones, so nobody waits for himself.
    pub(super) fn stage(&self, graph: &Graph<'_>, index: usize) -> Result<Arc<State>> {
        self.wished(graph, (index, false))
    }

    /// The same with all its files.
    pub(super) fn whole_stage(&self, graph: &Graph<'_>, index: usize) -> Result<Arc<State>> {
        let state = self.stage(graph, index)?;
        if state.is_whole {
            return Ok(state);
        }
        self.wished(graph, (index, true))
    }

    fn wished(&self, graph: &Graph<'_>, wish: Wish) -> Result<Arc<State>> {
        graph.result(wish, self.cancel, || self.build_stage(graph, wish))
    }

    /// Builds a stage, once more if files of it were needed that are not here.
    fn build_stage(&self, graph: &Graph<'_>, (index, whole): Wish) -> Option<State> {
        let mut builder = StageBuilder::new(self, graph, (index, whole));
        match builder.build() {
            Ok(state) => return Some(state),
            Err(error) if !builder.lacks_files.get() => {
                self.failed(graph, &builder, error);
                return None;
            }
            Err(_) if graph.is_torn() => return None,
            Err(_) => {}
        }
        // What was made so far need not be made again.
        self.remember();
        let mut builder = StageBuilder::new(self, graph, (index, true));
        let built = builder.build();
        built
            .map_err(|error| self.failed(graph, &builder, error))
            .ok()
    }

    /// A stage whose files a step needs: others may go on while it is waited for.
    pub(super) fn needed(&self, graph: &Graph<'_>, index: usize) -> Result<Arc<State>> {
        // Whoever holds a lock has asked for it before, and must not wait for a turn now.
        let known = graph.known(index).filter(|known| known.is_whole);
        if let Some(known) = known {
            return Ok(known);
        }
        let wait = || self.whole_stage(graph, index);
        self.jobs.aside(self.cancel, wait)
    }

    /// What a stage comes to, with all its files if somebody needed them already.
    pub(super) fn stage_so_far(&self, graph: &Graph<'_>, index: usize) -> Result<Arc<State>> {
        let state = self.stage(graph, index)?;
        Ok(graph.known(index).unwrap_or(state))
    }

    /// A stage failed: the first one that does ends the others, and is looked at if that is wanted.
    fn failed(&self, graph: &Graph<'_>, stage: &StageBuilder<'_, '_>, error: Error) {
        let was_cancelled = self.cancel.is_cancelled();
        if graph.is_torn() && !was_cancelled {
            return;
        }
        let Some(running) = self.cancel.fail() else {
            return;
        };
        for id in running {
            // One that has ended by itself needs no signal.
            self.engine.kill(&id, Signal::KILL).ok();
        }
        if let Some(remains) = stage.remains.borrow().as_ref()
            && !was_cancelled
        {
            self.steps.failed(&FailedPlace {
                engine: self.engine,
                cancel: self.cancel,
                builder: &self.alive.path,
                state: &stage.state,
                remains,
                error: &error,
            });
        }
        graph.fail(error);
    }

    /// An image by name, or what a named context puts in its place.
    pub(super) fn image(
        &self,
        name: &str,
        platform: &Platform,
        step: Option<&Step<'_>>,
    ) -> Result<Arc<Image>> {
        let name = match self.request.named_context(name) {
            Some(NamedContext::Image(other)) => other.as_str(),
            _ => name,
        };
        let key = (name.to_owned(), platform.to_string());
        let wanted = Arc::clone(lock(&self.images).entry(key).or_default());
        // Held while it is pulled: another stage that wants the same waits for it, and no other.
        let mut wanted = lock(&wanted);
        if let Some(known) = &*wanted {
            return Ok(Arc::clone(known));
        }
        let options = CreateOptions {
            platform: Some(platform.to_string()),
            pull: self.request.pull,
            pull_options: Some(&self.request.pull_options),
            progress: step.map(|step| step as &dyn Progress),
            ..CreateOptions::default()
        };
        let image = Arc::new(self.engine.base_image(name, &options)?);
        if image.module().is_some() {
            return Err(
                Error::new(Class::Unsupported, format!("cannot build from {name}"))
                    .caused_by("it is a wasm artifact, which has no files")
                    .hint("begin with FROM scratch and COPY the module"),
            );
        }
        *wanted = Some(Arc::clone(&image));
        Ok(image)
    }

    /// Keeps a step's result for later builds, once it is on disk, unless the cache has it already.
    pub(super) fn keep(&self, step: CachedStep, is_known: bool) {
        if !is_known {
            lock(&self.pending).push(step.clone());
        }
        lock(&self.used).insert(step.key.clone(), step);
        let is_due = |last: Duration| clock::monotonic().saturating_sub(last) >= UNREMEMBERED;
        // Whoever holds it is about it right now.
        if self.remembered.try_lock().is_ok_and(|last| is_due(*last)) {
            self.remember();
        }
    }

    /// Tells other caches of a step that is not kept here.
    pub(super) fn tell(&self, step: CachedStep) {
        // What a linked copy lies upon may be another layer than before all began anew.
        lock(&self.used).insert(step.key.clone(), step);
    }

    /// Every step that the build needed so far.
    pub(super) fn steps_used(&self) -> Vec<CachedStep> {
        lock(&self.used).values().cloned().collect()
    }

    /// One after the other: what a step came to last is what is kept.
    fn remember(&self) {
        let mut last = lock(&self.remembered);
        *last = clock::monotonic();
        let pending = std::mem::take(&mut *lock(&self.pending));
        // A build is no worse for it when the cache cannot be written.
        if pending.is_empty() || self.assembly.sync().is_err() {
            return;
        }
        for step in pending {
            drop(self.cache.write(&step));
        }
    }

    /// Whether the cache is not to be asked in a stage.
    pub(super) fn ignores_cache(&self, stage: Option<&str>) -> bool {
        let no_cache = &self.request.no_cache;
        no_cache.all || stage.is_some_and(|stage| no_cache.stages.contains(stage))
    }
}

/// The time of everything: what is asked for, else what the file says before its first stage.
fn epoch(file: &Dockerfile, request: &BuildRequest) -> Result<Option<i64>> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    if request.epoch.is_some() || request.arguments.contains_key(NAME) {
        return Ok(request.epoch);
    }
    let host = Platform::host();
    let predefined = predefined_arguments((&host, &host), "");
    let (stages, _) = Stages::so_far(file, &request.arguments, &predefined);
    let text = stages.globals.get(NAME).filter(|text| !text.is_empty());
    let epoch = text.map(|text| {
        super::time::epoch_of(text).map_err(|reason| {
            let message = format!("invalid {NAME}: {text}");
            Error::new(Class::Invalid, message).caused_by(reason)
        })
    });
    epoch.transpose()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
