//! What is asked of a build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_contract::ContainerId;
use berth_image::{
    DocumentStyle, Interrupt, Platform, PullOptions, PullPolicy, Recompression, Reference,
};

use super::adjustments::Adjustments;
use super::annotations::Annotations;
use super::dockerfile::context_name;
use super::remote_cache::{CacheExport, CachePlace};
use crate::api::types::HostConfig;

/// Everything a build is told.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct BuildRequest {
    /// Where files come from.
    pub context: PathBuf,
    /// The Dockerfile's name in messages.
    pub dockerfile_name: String,
    /// The Dockerfile.
    pub dockerfile: String,
    /// The text of the ignore file.
    pub ignore: String,
    /// What the first `FROM` names, if it is not what the Dockerfile says.
    pub base: Option<String>,
    /// The names the image gets.
    pub tags: Vec<Reference>,
    /// The stage that is built; otherwise the last.
    pub target: Option<String>,
    /// Build arguments.
    pub arguments: BTreeMap<String, String>,
    /// What is built for; the host if nothing is said.
    pub platforms: Vec<Platform>,
    /// Labels the image gets.
    pub labels: Vec<(String, String)>,
    /// Whether the result is a list of platforms even if there is one.
    pub is_list: bool,
    /// Whose documents describe images.
    pub documents: DocumentStyle,
    /// Annotations of manifests and of their index.
    pub annotations: Annotations,
    /// Further contexts, by name ([`context_name`](super::dockerfile::context_name)).
    pub contexts: BTreeMap<String, NamedContext>,
    /// Secrets, by id.
    pub secrets: BTreeMap<String, Secret>,
    /// Sockets of ssh agents, by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Limits, names and network of the commands.
    pub host: HostConfig,
    /// What the cache is not asked for.
    pub no_cache: NoCache,
    /// Caches that are asked for what the own one lacks.
    pub cache_from: Vec<CachePlace>,
    /// Caches that are written.
    pub cache_to: Vec<CacheExport>,
    /// Whether the image's config tells how its layers were made.
    pub inline_cache: bool,
    /// When registries are asked for base images.
    pub pull: PullPolicy,
    /// Who to be for registries, and how to reach them.
    pub pull_options: PullOptions,
    /// Which layers of the image become one.
    pub squash: Squash,
    /// What the image has, whatever the Dockerfile says.
    pub adjustments: Adjustments,
    /// The time of everything that is made: seconds since the epoch.
    pub epoch: Option<i64>,
    /// Whether later times of files become that one.
    pub rewrite_timestamp: bool,
    /// Whether commands may ask not to be confined.
    pub allow_insecure: bool,
    /// Whether commands may ask for the network of the host.
    pub allow_host_network: bool,
    /// The devices that commands may have: kinds or full names; all of them with an empty one.
    pub allow_devices: Vec<String>,
    /// What is done with the result.
    pub outputs: Vec<Output>,
    /// How many steps go on at once; 0 for any number.
    pub jobs: usize,
    /// What happens when a command fails.
    pub on_failure: OnFailure,
}

impl BuildRequest {
    /// What ends this build from outside.
    #[must_use]
    pub fn cancel(&self) -> Cancel {
        Cancel {
            interrupt: self.pull_options.access.interrupt.clone(),
            ..Cancel::default()
        }
    }

    /// The context of a name: that of a stage, which is the same in upper and lower case, or of an image, which may
    /// be written in more than one way.
    #[must_use]
    pub fn named_context(&self, name: &str) -> Option<&NamedContext> {
        self.contexts.get(&context_name(name))
    }
}

/// Which layers of an image become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Squash {
    /// None.
    #[default]
    Nothing,
    /// Those that its base does not have.
    Own,
    /// All of them.
    All,
}

/// A context beside the main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory.
    Directory(PathBuf),
    /// An image of the store or a registry.
    Image(String),
    /// Nothing: `docker-image://scratch`.
    Scratch,
    /// A repository, or a file of the web, which is called `context` then.
    Remote(String),
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file.
    File(PathBuf),
    /// A value that was taken from the environment.
    Value(Vec<u8>),
}

/// What the cache is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoCache {
    /// Anything.
    pub all: bool,
    /// The stages of these names.
    pub stages: BTreeSet<String>,
}

/// What is done with the result beside keeping it as an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// An image of the store.
    Image,
    /// An image of the store, which is pushed to where its names are.
    Push(Option<Recompression>),
    /// The files, beneath a directory of the host.
    Local(PathBuf),
    /// The files as an archive.
    Tar(Destination),
    /// The image in an OCI layout, as an archive.
    Oci(Destination),
    /// The same in a directory.
    OciDirectory(PathBuf),
    /// The image as `docker load` reads it.
    Docker(Destination),
    /// The wasm module as an artifact of the store.
    Wasm,
}

/// What happens when a command fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The build ends.
    #[default]
    End,
    /// Whoever hears how the build goes on may look around first ([`Report::failed`](super::Report::failed)).
    Shell,
}

/// Where an archive goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// Ends a build from outside.
#[derive(Debug, Default)]
pub struct Cancel {
    cancelled: AtomicBool,
    /// Whether a step failed, because of which the others end.
    failed: AtomicBool,
    /// Ends what it fetches or sends.
    interrupt: Interrupt,
    running: Mutex<BTreeSet<ContainerId>>,
}

impl Cancel {
    /// Asks the build to end; the containers that run for it now, which the caller kills.
    pub fn cancel(&self) -> Vec<ContainerId> {
        self.cancelled.store(true, Ordering::SeqCst);
        self.interrupt.ask();
        self.running().iter().cloned().collect()
    }

    /// Whether the build is to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Whether nothing is to begin any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_cancelled() || self.failed.load(Ordering::SeqCst)
    }

    /// A step failed. The first one gets the containers that run for the others, to kill them.
    pub(super) fn fail(&self) -> Option<Vec<ContainerId>> {
        let is_first = !self.failed.swap(true, Ordering::SeqCst);
        self.interrupt.ask();
        is_first.then(|| self.running().iter().cloned().collect())
    }

    pub(super) fn begin(&self, id: &ContainerId) {
        self.running().insert(id.clone());
    }

    pub(super) fn end(&self, id: &ContainerId) {
        self.running().remove(id);
    }

    fn running(&self) -> std::sync::MutexGuard<'_, BTreeSet<ContainerId>> {
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
