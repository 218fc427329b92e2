//! The engine: containers and images on one host, without a daemon.
//!
//! Every operation is here once. A container that runs is spoken to through its monitor's socket; of
//! one that does not, the files tell everything.

mod archives;
mod artifacts;
mod base;
mod capacity;
mod check;
mod collect;
mod control;
mod create;
mod disk;
mod dispatch;
mod exec;
mod id_maps;
mod images;
mod in_use;
mod inspect;
mod leftover;
mod list;
mod logging;
mod logs;
mod merge;
mod mount;
mod mounted;
mod mounted_images;
mod network;
mod networks;
mod options;
mod ownership;
mod policy;
mod prune_images;
mod registry;
mod remove;
mod source;
mod spec;
mod start;
mod storage;
mod system;
mod top;
mod trash;
mod user;
mod volumes;
mod wait;

pub use disk::{DiskUsage, Measured, Share};
pub use images::ImageListing;
pub use logs::Logs;
pub use options::{
    CreateOptions, Created, ExecRequest, ExecSession, ExecStreams, LayerStack, Listing, LogLine,
    LogOptions, Preference, RemoveOptions, StartOptions, Started, StopOptions, Stream, Streams,
    WaitFor,
};
pub use prune_images::{PruneWish, PrunedImages};
pub(crate) use spec::{CDI_DIRECTORIES, NamedDevice, named_devices};
pub use volumes::VolumeEntry;

use std::fs::File;
use std::io;

use berth_contract::{Class, ContainerId, Error, Result};
use berth_monitor::launch::{Directories, LAUNCH_FILE, Launch, LogFile};
use berth_monitor::status::{self, Observation};
use berth_sys::error::Explain as _;
use berth_sys::lock::Lock;
use berth_wasm_runtime::Cache;

use self::in_use::LiveContainers;
use crate::api::types::ContainerTop;
use crate::config::Config;
use crate::paths::Paths;
use crate::records::{OPERATION_LOCK, Record, find, read_document};

/// The module of a container that was made from a wasm file, in its directory.
const MODULE_FILE: &str = "module.wasm";

/// The engine over one data directory and one run directory.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    paths: Paths,
    directories: Directories,
}

impl Engine {
    /// Opens the engine; makes nothing yet, so that `ps` on a fresh machine stays cheap.
    ///
    /// # Errors
    /// None now; what an ordinary user cannot do is refused when it is asked for.
    pub fn open(config: Config) -> Result<Self> {
        let paths = Paths::new(&config);
        let directories = paths.directories();
        let engine = Self {
            config,
            paths,
            directories,
        };
        if berth_sys::user::effective_id() == 0 {
            // What cannot be cleared up now is nobody's failure here; whoever adds to the store is told.
            drop(engine.store().recover(&LiveContainers::new(engine.paths())));
        }
        Ok(engine)
    }

    /// The configuration it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where its files are.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The container with this name, id, or unique beginning of an id.
    ///
    /// # Errors
    /// None or several match.
    pub fn find(&self, text: &str) -> Result<ContainerId> {
        find(&self.paths, text)
    }

    /// The log's lines, oldest first.
    ///
    /// # Errors
    /// The container keeps no log, or it cannot be read.
    pub fn logs(&self, id: &ContainerId, options: &LogOptions) -> Result<Logs> {
        let launch = self.launch(id)?;
        let Some(LogFile {
            path, max_files, ..
        }) = launch.log.file
        else {
            let log = self.record(id)?.host_config.log_config;
            return Err(
                Error::new(Class::Unsupported, "the container keeps no log").caused_by(
                    match log.kind.as_str() {
                        "none" => "it was made with --log-driver none",
                        _ => "it was made with --log-opt cache-disabled=true",
                    },
                ),
            );
        };
        let (directories, watched) = (self.directories.clone(), id.clone());
        let is_live = move || status::read(&directories, &watched).is_ok_and(|seen| seen.alive);
        let run = self.paths.running(id);
        Logs::open(
            logs::Source {
                path,
                max_files,
                run,
                is_live: Box::new(is_live),
            },
            *options,
        )
    }

    /// The processes of a running container, in the columns that the `ps` options ask for.
    ///
    /// # Errors
    /// It does not run, or the options are unknown.
    pub fn top(&self, id: &ContainerId, options: &[String]) -> Result<ContainerTop> {
        if !self.observe(id)?.alive {
            return Err(self.not_running(id));
        }
        let cgroup = match self.cgroup(id) {
            // It is so young that it has none yet, or has just ended.
            Err(error) if error.class() == Class::NotFound => return Err(self.not_running(id)),
            found => found?,
        };
        let pids = cgroup.map_or_else(|| Ok(Vec::new()), |cgroup| cgroup.pids())?;
        let zone = crate::zone::local(None);
        top::processes(&pids, options, berth_sys::clock::realtime(), &zone)
    }

    fn observe(&self, id: &ContainerId) -> Result<Observation> {
        status::read(&self.directories, id)
    }

    fn record(&self, id: &ContainerId) -> Result<Record> {
        let record =
            Record::read(&self.paths.container(id)).map_err(|error| match error.class() {
                Class::Internal => error
                    .context(format!("container {} is damaged", id.short()))
                    .hint(format!("berth rm -f {}", id.short())),
                _ => error,
            })?;
        record.ok_or_else(|| no_such(id))
    }

    fn launch(&self, id: &ContainerId) -> Result<Launch> {
        read_document(&self.paths.container(id).join(LAUNCH_FILE))?.ok_or_else(|| no_such(id))
    }

    fn wasm_cache(&self) -> Result<Cache> {
        Cache::open(&self.paths.wasm(), &self.paths.program("berth-wasmc"))
    }

    /// Keeps others from starting, restarting, renaming and removing a container meanwhile. Who comes second
    /// waits, as Docker does: without limit, for the holder may be waiting for a guest that stops slowly.
    fn operate(&self, id: &ContainerId) -> Result<Lock> {
        let wait = |directory: &File| Lock::wait(directory, OPERATION_LOCK).map(Some);
        self.lock(id, wait)?.ok_or_else(|| no_such(id))
    }

    /// As [`Engine::operate`], but does not wait: `None` when somebody else is at it.
    fn operate_unless_busy(&self, id: &ContainerId) -> Result<Option<Lock>> {
        self.lock(id, |directory| Lock::take(directory, OPERATION_LOCK))
    }

    fn lock(
        &self,
        id: &ContainerId,
        take: impl FnOnce(&File) -> io::Result<Option<Lock>>,
    ) -> Result<Option<Lock>> {
        let home = self.paths.container(id);
        let taken = File::open(&home).and_then(|directory| take(&directory));
        match taken {
            // Whoever was waited for may have removed it.
            Ok(_) if !home.exists() => Err(no_such(id)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_such(id)),
            taken => taken.explain(|| format!("cannot lock container {}", id.short())),
        }
    }

    /// Refuses what needs the rights of root, before anything is downloaded or written.
    fn require_root(&self, sentence: &str) -> Result<()> {
        if berth_sys::user::is_root() {
            return Ok(());
        }
        Err(Error::new(Class::Denied, sentence)
            .caused_by("berth works for root only so far, not for ordinary users")
            .hint("run the same command with sudo"))
    }

    /// A container by the name its user knows.
    fn called(&self, id: &ContainerId) -> String {
        self.record(id)
            .map_or_else(|_| id.short().to_owned(), |record| record.name.to_string())
    }

    fn not_running(&self, id: &ContainerId) -> Error {
        let name = self.called(id);
        Error::new(Class::Conflict, format!("container {name} is not running"))
            .hint(format!("berth start {name}"))
    }
}

fn no_such(id: &ContainerId) -> Error {
    Error::new(
        Class::NotFound,
        format!("no such container: {}", id.short()),
    )
    .hint("berth ps -a")
}
