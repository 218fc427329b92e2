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

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use berth_contract::{
    Class, ContainerId, ContainerName, Error, HostFacts, Result, Rootfs, Runtime, Support,
};
use berth_image::{Merged, Store};
use berth_linux_runtime::LinuxRuntime;
use berth_monitor::launch::{LAUNCH_FILE, Launch, NameFiles, RuntimeKind, SPEC_FILE};
use berth_network::{Mode, resolv};
use berth_sys::error::Explain as _;
use berth_wasm_runtime::WasmRuntime;

use super::dispatch::{self, Files};
use super::network;
use super::options::{CreateOptions, Created};
use super::policy;
use super::source::Source;
use super::spec::{self, EtcFiles, Inputs, Modules, Namespaces, Origin};
use super::storage::{Storage, Workshop};
use super::user::{Accounts, Identity, identity};
use super::{Engine, merge};
use crate::api::types::{ContainerConfig, CreateRequest, HostConfig};
use crate::records::{Record, Staging, command, find, random_name, reserve, write_file};

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
        let source = Source::find(&store, request, options)?;
        // Held from here until the record that counts as its root is visible.
        let hold = store.hold()?;
        let empty = self.paths().data().join("layers/empty");
        let mut draft = Draft {
            engine: self,
            store: &store,
            files: source.files(&empty)?,
            config: merge::merge(request.config.clone(), &source.defaults())?,
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
        draft.host.log_config = policy::log_config(&draft.host.log_config)?;
        let created = draft.make(name);
        drop(hold);
        created
    }

    /// Replaces the names in `container:NAME` modes by ids, so that a rename does not matter.
    fn resolve_modes(&self, host: &HostConfig) -> Result<HostConfig> {
        let mut host = host.clone();
        for mode in [
            &mut host.network_mode,
            &mut host.pid_mode,
            &mut host.ipc_mode,
        ] {
            if let Some(name) = mode.strip_prefix("container:") {
                *mode = format!("container:{}", find(self.paths(), name)?);
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
        let workshop = Workshop {
            paths: self.engine.paths(),
            store: self.store,
            image: &self.files,
            now: self.created,
        };
        let storage = workshop.plan(&self.config, &self.host)?;
        match self.write(&storage, name) {
            Ok(name) => Ok(Created {
                id: self.id,
                name,
                warnings: self.warnings,
            }),
            Err(error) => {
                Workshop {
                    paths: self.engine.paths(),
                    store: self.store,
                    image: &self.files,
                    now: self.created,
                }
                .undo(&storage);
                Err(error)
            }
        }
    }

    fn write(&mut self, storage: &Storage, name: Option<&ContainerName>) -> Result<ContainerName> {
        let identity = self.identity()?;
        let runtime = self.runtime(storage)?;
        let staging = Staging::begin(self.engine.paths(), &self.id)?;
        make_log_directory(staging.path())?;
        let etc = self.etc_files();
        let gateway_names = self.write_etc(staging.path(), &etc)?;
        let rootfs = self.rootfs(staging.path())?;
        let mut spec = self.spec(&identity, storage, &etc, &rootfs)?;
        if runtime == RuntimeKind::Wasm {
            self.adapt_to_wasm(&mut spec);
        }
        let module = self.module(runtime, storage, staging.path())?;
        write_plain(&staging.path().join(SPEC_FILE), &spec)?;
        let shared = staging.path().join("shm");
        if self.host.ipc_mode == "shareable" {
            fs::create_dir(&shared)
                .and_then(|()| fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)))
                .explain(|| format!("cannot make {}", shared.display()))?;
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
            .and_then(|()| staging.complete());
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

    fn hostname(&self) -> Result<String> {
        network::check_hostname(&self.config.hostname)?;
        network::check_joined(&self.config, &self.host)?;
        if !self.config.hostname.is_empty() {
            return Ok(self.config.hostname.clone());
        }
        if let Origin::Container(other) = &self.namespaces.network {
            return Ok(self.engine.record(other)?.config.hostname);
        }
        let hosts = self.namespaces.uts == Origin::Host || self.namespaces.network == Origin::Host;
        if hosts {
            let name = fs::read_to_string("/proc/sys/kernel/hostname")
                .explain(|| "cannot read the host's name".to_owned())?;
            return Ok(name.trim().to_owned());
        }
        Ok(self.id.short().to_owned())
    }

    fn identity(&self) -> Result<Identity> {
        read_identity(&self.files, &self.config.user, &self.host.group_add)
    }

    fn runtime(&self, storage: &Storage) -> Result<RuntimeKind> {
        let files = Files {
            image: &self.files,
            mounts: &storage.mounts,
        };
        let words = command(&self.config);
        let program = match words.first() {
            Some(word) if self.source.module().is_none() => {
                files.program(word, &self.config.env, &self.config.working_dir)?
            }
            _ => None,
        };
        let (program, path) = program.map(|program| (program.kind, program.path)).unzip();
        let facts = self.source.facts(program)?;
        let (linux, wasm) = runtimes(self.engine);
        let kind = dispatch::choose(
            &facts,
            path.as_deref(),
            &[(RuntimeKind::Wasm, &wasm), (RuntimeKind::Linux, &linux)],
        )?;
        let name = crate::records::runtime_name(kind);
        if !matches!(
            self.host.runtime.as_str(),
            "" | "runc" | "io.containerd.runc.v2"
        ) && self.host.runtime != name
        {
            return Err(Error::new(
                Class::Invalid,
                format!("cannot run this image with --runtime {}", self.host.runtime),
            )
            .caused_by(format!("it is for the runtime {name}"))
            .hint("leave --runtime out: the image decides"));
        }
        let chosen: &dyn Runtime = if kind == RuntimeKind::Wasm {
            &wasm
        } else {
            &linux
        };
        match chosen.probe(&host_facts()?) {
            Support::Ready => Ok(kind),
            Support::Missing { reason, hint } => Err(Error::new(
                Class::Unsupported,
                format!("cannot run {name} containers here"),
            )
            .caused_by(reason)
            .hint(hint)),
        }
    }

    /// Compiles the guest's module, unless the cache has it.
    fn module(
        &self,
        runtime: RuntimeKind,
        storage: &Storage,
        staging: &Path,
    ) -> Result<Option<PathBuf>> {
        if runtime != RuntimeKind::Wasm {
            return Ok(None);
        }
        let cache = self.engine.wasm_cache()?;
        if let Some((path, digest)) = self.source.module() {
            let explain = || format!("cannot read the module {}", path.display());
            return match digest {
                Some(digest) => {
                    let file = fs::File::open(&path).explain(explain)?;
                    cache.compiled_blob(&digest, &file).map(Some)
                }
                None => {
                    // The user's own file may change or go; the container keeps what it was made from.
                    let kept = staging.join(super::MODULE_FILE);
                    fs::copy(&path, &kept).explain(explain)?;
                    let file = fs::File::open(&kept).explain(explain)?;
                    cache.compiled(&file).map(Some)
                }
            };
        }
        let files = Files {
            image: &self.files,
            mounts: &storage.mounts,
        };
        let words = command(&self.config);
        let program = match words.first() {
            Some(word) => files.program(word, &self.config.env, &self.config.working_dir)?,
            None => None,
        };
        let file = match &program {
            Some(program) => files.open(&program.path)?,
            None => None,
        };
        // A program that is not there is the start's failure, as for a native guest.
        file.map(|file| cache.compiled(&file)).transpose()
    }

    fn rootfs(&self, staging: &Path) -> Result<Rootfs> {
        let empty = self.engine.paths().data().join("layers/empty");
        if let Source::Directory(path) = &self.source {
            return Ok(Rootfs::Directory(path.clone()));
        }
        let volatile = self.host.auto_remove;
        let layers = self.source.layers(&empty);
        match berth_image::prepare_overlay(layers, staging, volatile)? {
            Rootfs::Overlay {
                lowers, volatile, ..
            } => Ok(Rootfs::Overlay {
                lowers,
                upper: self.home.join("upper"),
                work: self.home.join("work"),
                volatile,
            }),
            other @ Rootfs::Directory(_) => Ok(other),
        }
    }

    fn spec(
        &mut self,
        identity: &Identity,
        storage: &Storage,
        etc: &EtcFiles,
        rootfs: &Rootfs,
    ) -> Result<berth_contract::oci::Spec> {
        let root = match rootfs {
            Rootfs::Directory(path) => path.clone(),
            Rootfs::Overlay { .. } => PathBuf::from("rootfs"),
        };
        let shared = self.shared_memory()?;
        let built = spec::build(&Inputs {
            id: &self.id,
            config: &self.config,
            host: &self.host,
            hostname: &self.config.hostname,
            identity,
            namespaces: &self.namespaces,
            mounts: &storage.mounts,
            files: etc,
            shared_memory: shared.as_deref(),
            root: &root,
            capacity: &super::capacity::capacity(&self.host),
            modules: Modules::probe,
        })?;
        self.warnings.extend(built.warnings);
        Ok(built.spec)
    }

    /// `/dev/shm` of a container whose IPC namespace others may join is a directory they can mount too.
    fn shared_memory(&self) -> Result<Option<PathBuf>> {
        if self.host.ipc_mode == "shareable" {
            return Ok(Some(self.home.join("shm")));
        }
        let Origin::Container(other) = &self.namespaces.ipc else {
            return Ok(None);
        };
        let shared = self.engine.paths().container(other).join("shm");
        if shared.is_dir() {
            return Ok(Some(shared));
        }
        Err(Error::new(
            Class::Invalid,
            "cannot join the IPC namespace of that container",
        )
        .caused_by("it was not made to be shared")
        .hint("start it with --ipc shareable"))
    }

    /// The executor loads its own, tighter seccomp rules and opens the ports a module listens on.
    fn adapt_to_wasm(&self, spec: &mut berth_contract::oci::Spec) {
        let own_profile = self
            .host
            .security_opt
            .iter()
            .any(|option| option.starts_with("seccomp"));
        if let Some(linux) = spec.linux_mut().as_mut().filter(|_| !own_profile) {
            linux.set_seccomp(None);
        }
        let mut ports: Vec<u16> = Vec::new();
        let declared = self
            .config
            .exposed_ports
            .keys()
            .chain(self.host.port_bindings.keys());
        for (number, protocol) in declared.filter_map(|text| network::port(text).ok()) {
            if protocol == berth_network::Protocol::Tcp && !ports.contains(&number) {
                ports.push(number);
            }
        }
        if ports.is_empty() {
            return;
        }
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let mut annotations = spec.annotations().clone().unwrap_or_default();
        annotations.insert(
            berth_wasm_runtime::PORTS_ANNOTATION.to_owned(),
            ports.join(","),
        );
        spec.set_annotations(Some(annotations));
    }

    /// A container that joins another's network sees that one's files.
    fn etc_files(&self) -> EtcFiles {
        let own = |name: &str| self.home.join(name);
        let shared = match &self.namespaces.network {
            Origin::Container(id) => self.engine.paths().container(id),
            Origin::Own | Origin::Host => self.home.clone(),
        };
        EtcFiles {
            hosts: shared.join("hosts"),
            hostname: own("hostname"),
            resolv_conf: shared.join("resolv.conf"),
        }
    }

    /// Writes the files and returns the names that stand for the host.
    fn write_etc(&self, staging: &Path, etc: &EtcFiles) -> Result<Vec<String>> {
        let hostname = format!("{}\n", self.config.hostname);
        write_file(&staging.join("hostname"), hostname.as_bytes(), 0o644)?;
        if !etc.hosts.starts_with(&self.home) {
            return Ok(Vec::new());
        }
        let own = self.namespaces.network == Origin::Own;
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let base = if own { None } else { Some(read("/etc/hosts")) };
        let (hosts, gateway) = network::hosts(base.as_deref(), &self.host.extra_hosts)?;
        write_file(&staging.join("hosts"), hosts.as_bytes(), 0o644)?;
        let mut servers = Vec::new();
        for server in &self.host.dns {
            servers.push(server.parse().map_err(|_unparsable| {
                Error::new(Class::Invalid, format!("invalid name server {server:?}"))
                    .hint("--dns takes an address")
            })?);
        }
        let overrides = resolv::Overrides {
            servers,
            search: self.host.dns_search.clone(),
            options: self.host.dns_options.clone(),
        };
        let loopback = if own {
            resolv::Loopback::Own
        } else {
            resolv::Loopback::Hosts
        };
        let text = resolv::contents(&read("/etc/resolv.conf"), &overrides, loopback);
        write_file(&staging.join("resolv.conf"), text.as_bytes(), 0o644)?;
        Ok(gateway)
    }

    fn launch(
        &mut self,
        runtime: RuntimeKind,
        (rootfs, module): (Rootfs, Option<PathBuf>),
        name: &ContainerName,
        storage: &Storage,
    ) -> Result<Launch> {
        let (request, warnings) = network::request(
            &self.id,
            &self.config,
            &self.host,
            &self.request.networking_config,
        )?;
        self.warnings.extend(warnings);
        let paths = self.engine.paths();
        let networks = matches!(request.mode, Mode::Networks(_));
        let log = self.home.join("log").join(format!("{}-json.log", self.id));
        let tag = |text: &str| {
            text.replace("{{.ID}}", self.id.short())
                .replace("{{.FullID}}", self.id.as_str())
                .replace("{{.Name}}", name.as_str())
                .replace("{{.ImageName}}", &self.config.image)
        };
        let remove_with = if self.host.auto_remove {
            storage
                .anonymous
                .iter()
                .map(|volume| paths.volume(volume))
                .collect()
        } else {
            Vec::new()
        };
        let mut names = vec![self.config.hostname.clone()];
        if !self.config.domainname.is_empty() {
            names.insert(
                0,
                format!("{}.{}", self.config.hostname, self.config.domainname),
            );
        }
        Ok(Launch {
            id: self.id.clone(),
            runtime,
            rootfs,
            module,
            init: self.host.init == Some(true),
            terminal: self.config.tty,
            open_stdin: self.config.open_stdin,
            stdin_once: self.config.stdin_once,
            stop_signal: policy::stop_signal(&self.config)?,
            stop_timeout: policy::stop_timeout(&self.config),
            restart: policy::restart(&self.host)?,
            auto_remove: self.host.auto_remove,
            remove_with,
            log: policy::log(&self.host.log_config, &self.config, &tag, &log)?,
            network: request,
            names: NameFiles {
                hosts: networks.then(|| self.home.join("hosts")),
                names,
                gateway_names: Vec::new(),
            },
            directories: paths.directories(),
        })
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

/// The two runtimes, for asking what they accept and need.
fn runtimes(engine: &Engine) -> (LinuxRuntime, WasmRuntime) {
    let paths = engine.paths();
    let wasm = WasmRuntime::new(
        Box::new(LinuxRuntime::new()),
        paths.program("berth-wasm"),
        paths.program("berth-wasmc"),
        paths.wasm(),
    );
    (LinuxRuntime::new(), wasm)
}

fn host_facts() -> Result<HostFacts> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")
        .explain(|| "cannot read the kernel's version".to_owned())?;
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok());
    Ok(HostFacts {
        architecture: berth_image::Platform::host().architecture,
        kernel: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
    })
}

/// A document nobody reads before the directory is visible.
fn write_plain<T: serde::Serialize>(path: &Path, document: &T) -> Result<()> {
    let bytes = serde_json::to_vec(document).map_err(|error| {
        Error::new(Class::Internal, format!("cannot write {}", path.display())).caused_by(error)
    })?;
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
