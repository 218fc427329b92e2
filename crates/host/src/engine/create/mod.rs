//! Making a container: everything that can be known before it starts is decided and written here.
//!
//! ```text
//!  find the image ─► merge defaults ─► plan mounts ─► who ─► which runtime ─► spec
//!        │ held: not collected meanwhile                                       │
//!        ▼                                                                     ▼
//!  containers/.new-<id>/  ◄── record, summary, config.json, launch.json, hosts, hostname, resolv.conf
//!        │ reserve the name, then rename: visible means complete
//!        ▼
//!  containers/<id>/
//! ```

pub(super) mod etc;
mod guest;
mod launch;
mod program;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use berth_contract::oci::{Capability, Spec};
use berth_contract::{Class, ContainerId, ContainerName, Error, Result};
use berth_image::{Merged, Store};
use berth_monitor::launch::{LAUNCH_FILE, RuntimeKind, SPEC_FILE};
use berth_sys::error::Explain as _;
use berth_sys::fault;

use super::logging;
use super::options::{CreateOptions, Created};
use super::ownership;
use super::source::Source;
use super::spec::{self, Namespaces, Origin, capabilities_of};
use super::storage::{Storage, Workshop};
use super::user::{Accounts, Identity, identity};
use super::{Engine, merge};
use crate::api::types::{ContainerConfig, CreateRequest, HostConfig};
use crate::records::{Record, Staging, find, mark_as_built, random_name, reserve, write_file};
use crate::volume;

/// What `/dev/shm` is that others may join, in the container's directory: kept as volumes are.
const SHARED_MEMORY: &str = "shm";

/// `/etc/passwd` and `/etc/group` of an image may be this large.
const ACCOUNTS_LIMIT: u64 = 4 << 20;

/// A container on its way, once its image and configuration are known.
struct Draft<'a> {
    engine: &'a Engine,
    store: &'a Store,
    id: ContainerId,
    created: u64,
    source: Source,
    files: Merged,
    config: ContainerConfig,
    host: HostConfig,
    request: &'a CreateRequest,
    namespaces: Namespaces,
    /// Where its directory will be.
    home: PathBuf,
    warnings: Vec<String>,
}

impl Engine {
    /// Makes a container, and pulls its image when the policy says so.
    ///
    /// # Errors
    /// What was asked cannot be done; nothing is left behind then.
    pub fn create(
        &self,
        request: &CreateRequest,
        name: Option<&ContainerName>,
        options: &CreateOptions<'_>,
    ) -> Result<Created> {
        self.require_root("cannot make a container")?;
        let bytes = berth_sys::random::bytes().explain(|| "cannot choose an id".to_owned())?;
        let id = ContainerId::from_random(bytes);
        let store = Store::open(self.paths().data());
        // Held from before the image is looked up until the record that counts as its root is visible.
        let hold = store.hold()?;
        let source = Source::find(&store, request, options)?;
        let empty = self.paths().data().join("layers/empty");
        let mut defaults = source.defaults();
        if request.host_config.unset_env_all {
            // A bare name takes away what it would be without the image.
            defaults.env = ["PATH", "TERM"].map(str::to_owned).into();
        }
        let mut draft = Draft {
            engine: self,
            store: &store,
            files: source.files(&empty)?,
            config: merge::merge(request.config.clone(), &defaults)?,
            host: self.resolve_modes(&request.host_config)?,
            namespaces: Namespaces::parse(&HostConfig::default())?,
            home: self.paths().container(&id),
            created: berth_sys::clock::realtime(),
            warnings: Vec::new(),
            id,
            source,
            request,
        };
        draft.namespaces = Namespaces::parse(&draft.host)?;
        Self::check_users(&draft.host, &draft.namespaces)?;
        draft.host.log_config = logging::settle(&draft.host.log_config)?;
        let created = draft.make(name);
        drop(hold);
        created
    }

    /// The first process of a container that shares the processes of another is seen by those while the host's
    /// files are its own still: nobody there may look into it who could not open them anyway (CVE-2016-9962).
    fn check_tracers(&self, other: &ContainerId) -> Result<()> {
        let host = self.record(other)?.host_config;
        let held = capabilities_of(&host.cap_add, &host.cap_drop, host.privileged)?;
        if host.privileged || !held.contains(&Capability::SysPtrace) {
            return Ok(());
        }
        Err(Error::new(
            Class::Unsupported,
            format!("cannot share the processes of container {}", other.short()),
        )
        .caused_by("it has CAP_SYS_PTRACE and could look into the new one before that has a root of its own")
        .hint("give CAP_SYS_PTRACE to the new container instead, as a debugger needs it"))
    }

    /// Replaces the names in `container:NAME` modes by ids, so that a rename does not matter.
    fn resolve_modes(&self, host: &HostConfig) -> Result<HostConfig> {
        let mut host = host.clone();
        for mode in [
            &mut host.network_mode,
            &mut host.pid_mode,
            &mut host.ipc_mode,
            &mut host.userns_mode,
        ] {
            if let Some(name) = mode.strip_prefix("container:") {
                *mode = format!("container:{}", find(self.paths(), name)?);
            }
        }
        if let Origin::Container(other) = Namespaces::parse(&host)?.pid {
            self.check_tracers(&other)?;
        }
        if let Origin::Container(other) = Namespaces::parse(&host)?.user {
            let other = Namespaces::parse(&self.record(&other)?.host_config)?;
            if other.user == Origin::Host {
                // A namespace cannot be joined from inside.
                "host".clone_into(&mut host.userns_mode);
            }
        }
        if !matches!(host.isolation.as_str(), "" | "default") {
            return Err(Error::new(
                Class::Unsupported,
                format!("cannot use --isolation {}", host.isolation),
            )
            .caused_by("it is for Windows"));
        }
        if !host.storage_opt.is_empty() {
            return Err(Error::new(Class::Unsupported, "cannot use --storage-opt")
                .caused_by("the size of a container's own layer cannot be limited yet")
                .hint("mount a tmpfs with a size, or leave --storage-opt out"));
        }
        Ok(host)
    }
}

impl Draft<'_> {
    fn make(mut self, name: Option<&ContainerName>) -> Result<Created> {
        self.config.hostname = self.hostname()?;
        // First of all: whoever clears up after a kill finds the volumes by it.
        let staging = Staging::begin(self.engine.paths(), &self.id)?;
        if let Source::Stack(stack) = &self.source {
            mark_as_built(staging.path(), &stack.builder)?;
        }
        let mut storage = self.workshop().plan(&self.config, &self.host)?;
        fault::point("host-create-planned");
        match self.write(staging, &mut storage, name) {
            Ok(name) => Ok(Created {
                id: self.id,
                name,
                warnings: self.warnings,
            }),
            Err(error) => {
                self.workshop().undo(&storage);
                Err(error)
            }
        }
    }

    fn workshop(&self) -> Workshop<'_> {
        Workshop {
            id: &self.id,
            paths: self.engine.paths(),
            store: self.store,
            image: &self.files,
            has_root_of_its_own: self.source.module().is_none(),
            now: self.created,
        }
    }

    fn write(
        &mut self,
        staging: Staging,
        storage: &mut Storage,
        name: Option<&ContainerName>,
    ) -> Result<ContainerName> {
        let identity = self.identity()?;
        let program = self.program(storage)?;
        let program = program.as_ref();
        let runtime = self.runtime(program)?;
        make_log_directory(staging.path())?;
        let etc = self.etc_files();
        let gateway_names = self.write_etc(staging.path())?;
        let rootfs = self.rootfs(staging.path())?;
        fault::point("host-create-filled");
        let function = self.function(program);
        let module = match runtime {
            RuntimeKind::Wasm => {
                self.module(function.as_deref(), (program, storage), staging.path())?
            }
            RuntimeKind::Linux => None,
        };
        fault::point("host-create-compiled");
        // Locked until the container can be seen, for its ids to be nobody else's.
        let chosen = self
            .engine
            .choose_maps(&mut self.host, &self.namespaces.user, &identity)?;
        let maps = chosen.maps.as_ref();
        if let Some(maps) = maps {
            etc::give(staging.path(), maps.root())?;
        }
        ownership::settle(&mut storage.mounts, maps, &identity)?;
        let mut spec = self.spec(&identity, storage, &etc, &rootfs)?;
        if runtime == RuntimeKind::Wasm {
            self.adapt_to_wasm(&mut spec, function);
        }
        write_spec(&staging.path().join(SPEC_FILE), &spec)?;
        if self.host.ipc_mode == "shareable" {
            volume::shared_memory(&self.id, self.created, spec::shared_memory_size(&self.host))?
                .prepare(&staging.path().join(SHARED_MEMORY))?;
        }
        let name = self.reserve(name)?;
        let written = self
            .launch(runtime, (rootfs, module), &name, storage)
            .map(|mut launch| {
                launch.names.gateway_names = gateway_names;
                launch
            })
            .and_then(|launch| write_plain(&staging.path().join(LAUNCH_FILE), &launch))
            .and_then(|()| {
                self.record(runtime, name.clone(), storage)
                    .write(staging.path())
            })
            .and_then(|()| {
                fault::point("host-create-recorded");
                staging.complete()
            });
        if let Err(error) = written {
            crate::records::free(self.engine.paths(), &name, &self.id)?;
            return Err(error);
        }
        Ok(name)
    }

    fn reserve(&self, name: Option<&ContainerName>) -> Result<ContainerName> {
        let paths = self.engine.paths();
        if let Some(name) = name {
            reserve(paths, name, &self.id)?;
            return Ok(name.clone());
        }
        let mut attempt = 0;
        loop {
            let name: ContainerName = random_name(&self.id, attempt).parse()?;
            match reserve(paths, &name, &self.id) {
                Err(error) if error.class() == Class::Conflict && attempt < 2 => attempt += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(name),
            }
        }
    }

    fn identity(&self) -> Result<Identity> {
        read_identity(&self.files, &self.config.user, &self.host.group_add)
    }

    fn record(&self, runtime: RuntimeKind, name: ContainerName, storage: &Storage) -> Record {
        Record {
            id: self.id.clone(),
            name,
            created: self.created,
            image_id: self.source.id(),
            runtime,
            config: self.config.clone(),
            host_config: self.host.clone(),
            networking_config: self.request.networking_config.clone(),
            rootfs: self.request.rootfs.clone(),
            mounts: storage
                .mounts
                .iter()
                .filter_map(|mount| mount.point.clone())
                .collect(),
            anonymous_volumes: storage.anonymous.clone(),
            layers: storage.layers.clone(),
        }
    }
}

/// Who a process is, by the image's own accounts; numbers alone need no files.
pub(super) fn read_identity(files: &Merged, user: &str, groups: &[String]) -> Result<Identity> {
    let text = |path: &str| -> Result<String> {
        let bytes = files
            .read(Path::new(path), ACCOUNTS_LIMIT)?
            .unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let accounts = Accounts {
        passwd: text("/etc/passwd")?,
        group: text("/etc/group")?,
    };
    identity(user, groups, &accounts)
}

/// A document nobody reads before the directory is visible.
fn write_plain<T: serde::Serialize>(path: &Path, document: &T) -> Result<()> {
    let bytes = serde_json::to_vec(document).map_err(|error| {
        Error::new(Class::Internal, format!("cannot write {}", path.display())).caused_by(error)
    })?;
    write_file(path, &bytes, 0o600)
}

/// A runtime-spec that the reference types cannot read is one that no other tool could run either.
fn write_spec(path: &Path, spec: &Spec) -> Result<()> {
    let fail = |error: serde_json::Error| {
        Error::new(Class::Internal, format!("cannot write {}", path.display())).caused_by(error)
    };
    let bytes = serde_json::to_vec(spec).map_err(fail)?;
    serde_json::from_slice::<oci_spec::runtime::Spec>(&bytes).map_err(fail)?;
    write_file(path, &bytes, 0o600)
}

/// The log's directory is made with the container, so that `logs -f` has something to watch.
fn make_log_directory(container: &Path) -> Result<()> {
    let path = container.join("log");
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .explain(|| format!("cannot make {}", path.display()))
}
