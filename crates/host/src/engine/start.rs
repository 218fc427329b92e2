//! Starting a container: clear what a lost monitor left, refresh what only a start can know, spawn.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use berth_contract::oci::Spec;
use berth_contract::{Class, ContainerId, Error, Result, Rootfs, State};
use berth_image::Merged;
use berth_monitor::client;
use berth_monitor::launch::{LAUNCH_FILE, Launch, RuntimeKind, SPEC_FILE};
use berth_monitor::protocol::Request;
use berth_monitor::status::{Observation, Status};
use berth_monitor::volume::Held;
use berth_sys::error::Explain as _;
use berth_sys::fault;

use super::create::etc;
use super::dispatch::Files;
use super::logging::{self, Subject};
use super::options::{StartOptions, Started, Streams};
use super::spec::Namespaces;
use super::{Engine, MODULE_FILE, no_such};
use crate::records::{Record, command, read_document, write_document};
use crate::volume::{VOLUME_FILE, Volume};

impl Engine {
    /// Starts a container and returns once its guest runs. One that runs already is left as it is; one
    /// whose last run is just ending is started anew.
    ///
    /// # Errors
    /// Class `CommandNotFound` (127) and `CannotInvoke` (126) for the program itself, `Conflict` for a
    /// paused container, others for the preparation.
    pub fn start(&self, id: &ContainerId, options: &StartOptions) -> Result<Started> {
        let operation = self.operate(id)?;
        fault::point("host-start-locked");
        let seen = self.observe(id)?;
        let operation = self.unless_it_goes(id, &seen, operation)?;
        let started = self.start_alone(id, options, seen);
        drop(operation);
        started
    }

    /// The container's operation lock is held.
    pub(super) fn start_alone(
        &self,
        id: &ContainerId,
        options: &StartOptions,
        mut seen: Observation,
    ) -> Result<Started> {
        loop {
            if !seen.alive {
                if seen.left_behind {
                    self.collect(id)?;
                }
                return self.start_stopped(id, options);
            }
            if let Some(running) = self.already_running(id, options, &seen.status)? {
                return Ok(running);
            }
            // Its monitor has not let go yet: a matter of microseconds.
            std::thread::yield_now();
            seen = self.observe(id)?;
        }
    }

    fn start_stopped(&self, id: &ContainerId, options: &StartOptions) -> Result<Started> {
        let launch = self.refresh(id)?;
        fault::point("host-start-refreshed");
        match fs::DirBuilder::new().mode(0o700).create(self.paths().run()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(self.paths().run())
                    .explain(|| format!("cannot make {}", self.paths().run().display()))?;
            }
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error)
                    .explain(|| format!("cannot make {}", self.paths().run().display()));
            }
            _ => {}
        }
        // On the connection before the monitor runs, so that neither output nor the reason of a failed
        // start can be missed, and a terminal has its size from the beginning.
        let attach = options.attach.map(attach_request);
        let resize = options
            .size
            .map(|size| Request::Resize { size, exec: None });
        let first: Vec<Request> = attach.into_iter().chain(resize).collect();
        // One file system over the same layers is enough: two would not know of each other.
        let was_mounted = self.unmount(id)?;
        fault::point("host-start-unmounted");
        let volumes = self.mount_volumes(&launch.mounted)?;
        fault::point("host-start-mounted");
        let started = client::spawn_with(&self.directories, id, &first).and_then(
            |(mut connection, _monitor)| {
                fault::point("host-start-spawned");
                let pid = connection.started()?;
                Ok(Started { pid, connection })
            },
        );
        fault::point("host-start-told");
        // The monitor holds them now, unless the guest has ended already.
        for volume in volumes {
            volume.release()?;
        }
        fault::point("host-start-released");
        if was_mounted && started.is_ok() {
            self.mount_root(id)?;
            fault::point("host-start-shown");
        }
        started
    }

    /// Mounts the file systems of the container's volumes.
    fn mount_volumes(&self, directories: &[PathBuf]) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for directory in directories {
            let volume: Volume = read_document(&directory.join(VOLUME_FILE))?.ok_or_else(|| {
                let name = directory.file_name().unwrap_or_default();
                Error::new(
                    Class::NotFound,
                    format!("the volume {} is gone", name.display()),
                )
            })?;
            held.extend(volume.mount_in(directory)?);
        }
        Ok(held)
    }

    /// A container that runs; `None` when it does not any more.
    fn already_running(
        &self,
        id: &ContainerId,
        options: &StartOptions,
        status: &Status,
    ) -> Result<Option<Started>> {
        if status.state == State::Paused {
            return Err(Error::new(
                Class::Conflict,
                format!("container {} is paused", id.short()),
            )
            .hint(format!("berth unpause {}", id.short())));
        }
        let mut connection = match client::connect(&self.directories, id) {
            Err(error) if error.class() == Class::Conflict => return Ok(None),
            connected => connected?,
        };
        if let Some(streams) = options.attach {
            match connection.ask(&attach_request(streams)) {
                Err(error) if error.class() == Class::Unavailable => return Ok(None),
                attached => attached.map(drop)?,
            }
        }
        let pid = status.pid;
        Ok(Some(Started { pid, connection }))
    }

    /// Attaches to a running container.
    ///
    /// # Errors
    /// It does not run, or is paused.
    pub fn attach(&self, id: &ContainerId, streams: Streams) -> Result<client::Connection> {
        let seen = self.observe(id)?;
        if !seen.alive {
            return Err(self.not_running(id));
        }
        if seen.status.state == State::Paused {
            return Err(Error::new(
                Class::Conflict,
                format!("cannot attach to container {}", id.short()),
            )
            .caused_by("it is paused")
            .hint(format!("berth unpause {}", id.short())));
        }
        let mut connection = self.reach(id)?.ok_or_else(|| self.not_running(id))?;
        match connection.ask(&attach_request(streams)) {
            // It ended while it was asked.
            Err(error) if error.class() == Class::Unavailable => Err(self.not_running(id)),
            attached => attached.map(|_| connection),
        }
    }

    /// Writes again what may have changed since the last start.
    fn refresh(&self, id: &ContainerId) -> Result<Launch> {
        let container = self.paths().container(id);
        let record = self.record(id)?;
        let path = container.join(LAUNCH_FILE);
        let mut launch: Launch = read_document(&path)?.ok_or_else(|| no_such(id))?;
        let before = launch.clone();
        // berth may have been installed elsewhere, or the data directory moved, since.
        launch.directories = self.paths().directories();
        if let Rootfs::Overlay {
            work,
            volatile: true,
            ..
        } = &launch.rootfs
        {
            allow_reuse(work)?;
        }
        if launch.runtime == RuntimeKind::Wasm
            && launch.module.as_ref().is_none_or(|module| !module.exists())
        {
            launch.module = self.compile_again(&record, &launch)?;
        }
        let log = &record.host_config.log_config;
        if logging::changes(log) {
            launch.log = logging::plan(Subject::of(&record), log, &self.paths().log(id))?;
        }
        if launch != before {
            write_document(&path, &launch)?;
        }
        let network = Namespaces::parse(&record.host_config)?.network;
        etc::refresh(&container, &network, &record.host_config)?;
        Ok(launch)
    }

    /// The compiled module is gone (pruned, or berth was updated): it is made from its source again.
    /// Without a source there is none; the monitor refuses to start then, and writes that down.
    fn compile_again(&self, record: &Record, launch: &Launch) -> Result<Option<PathBuf>> {
        let id = &record.id;
        let spec: Spec =
            read_document(&self.paths().container(id).join(SPEC_FILE))?.unwrap_or_default();
        let mut annotations = spec.annotations.unwrap_or_default();
        let function = annotations.remove(berth_wasm_runtime::FUNCTION_ANNOTATION);
        let cache = self.wasm_cache()?.entered_at(function);
        let kept = self.paths().container(id).join(MODULE_FILE);
        let explain = || format!("cannot read the module of container {}", id.short());
        if kept.exists() {
            return cache
                .compiled(&fs::File::open(&kept).explain(explain)?)
                .map(Some);
        }
        if let Ok(image) = self.store().find(&record.image_id, None)
            && let (Some(path), Some(digest)) = (image.module(), image.module_digest())
        {
            return cache
                .compiled_blob(digest, &fs::File::open(&path).explain(explain)?)
                .map(Some);
        }
        let image = Merged::open(&lowers(launch))?;
        let files = Files {
            image: &image,
            mounts: &[],
        };
        let words = command(&record.config);
        let word = words.first().map_or("", String::as_str);
        let program = files.program(word, &record.config.env, &record.config.working_dir)?;
        let file = match &program {
            Some(program) => files.open(&program.path)?,
            None => None,
        };
        file.map(|file| cache.compiled(&file)).transpose()
    }
}

pub(super) fn attach_request(streams: Streams) -> Request {
    Request::Attach {
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
    }
}

/// The layers of a container, topmost first, without its own.
pub(super) fn lowers(launch: &Launch) -> Vec<PathBuf> {
    match &launch.rootfs {
        Rootfs::Overlay { lowers, .. } => lowers.clone(),
        Rootfs::Directory(path) => vec![path.clone()],
    }
}

/// A volatile overlay leaves a mark that makes the next mount of the same directories fail.
fn allow_reuse(work: &Path) -> Result<()> {
    let mark = work.join("work/incompat/volatile");
    match fs::remove_dir_all(&mark) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).explain(|| format!("cannot remove {}", mark.display()))
        }
        _ => Ok(()),
    }
}
