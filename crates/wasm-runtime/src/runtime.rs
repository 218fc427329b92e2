//! The runtime of wasm guests: it rewrites what the native runtime is asked to run.
//!
//! ```text
//! asked:   args, env, cwd, user, mounts, cgroup, namespaces      module (compiled)
//! becomes: berth-wasm as program · no environment · no capabilities · no_new_privs
//!          fd 3 configuration   fd 4 module   fd 5 report
//! ```

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use berth_contract::{
    Class, Error, Guest, HostFacts, ImageFacts, Inherited, Program, Result, Runtime, Slot, Support,
    Verdict, oci,
};
use berth_sys::error::Explain as _;
use berth_sys::{fd, memory_file, mount};

use crate::accepts;
use crate::cache::Cache;
use crate::configuration::{self, CONFIGURATION_FILE, Configuration, MODULE_FILE, REPORT_FILE};
use crate::guest::WasmGuest;

/// The annotation of a spec that lists its exposed TCP ports in order, separated by commas.
pub const PORTS_ANNOTATION: &str = "berth.wasm.ports";

/// The annotation of a spec that names the function to call in place of the program's own entry.
pub const FUNCTION_ANNOTATION: &str = "berth.wasm.function";

/// Where a directory lies that is mounted at `/`: a process cannot have its root hidden under a mount, and
/// the executor needs nothing that the guest sees there. The kernel's directories stay where they are.
pub(crate) const MOUNTED_ROOT: &str = "/.guest-root";

/// Files of the container that the executor itself reads.
const OWN_FILES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// Lets a process without capabilities bind ports below 1024, in its own network namespace.
const UNPRIVILEGED_PORTS: &str = "net.ipv4.ip_unprivileged_port_start";

/// Runs wasm guests in what a native runtime makes for them.
#[derive(Debug)]
pub struct WasmRuntime {
    native: Box<dyn Runtime>,
    programs: Programs,
}

/// The programs a guest needs, and where compiled modules are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    executor: PathBuf,
    compiler: PathBuf,
    cache: PathBuf,
}

impl WasmRuntime {
    /// Wraps a native runtime; `executor` and `compiler` are the programs `berth-wasm` and `berth-wasmc`,
    /// `cache` the directory of compiled modules.
    #[must_use]
    pub fn new(
        native: Box<dyn Runtime>,
        executor: PathBuf,
        compiler: PathBuf,
        cache: PathBuf,
    ) -> Self {
        Self {
            native,
            programs: Programs {
                executor,
                compiler,
                cache,
            },
        }
    }
}

impl Runtime for WasmRuntime {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn probe(&self, host: &HostFacts) -> Support {
        for program in [&self.programs.executor, &self.programs.compiler] {
            if !program.exists() {
                let missing = Error::new(
                    Class::Unsupported,
                    format!("{} is not installed", program.display()),
                );
                return Support::Missing(
                    missing.hint("install all four programs together: cargo xtask install"),
                );
            }
        }
        self.native.probe(host)
    }

    fn accepts(&self, image: &ImageFacts) -> Verdict {
        accepts::verdict(image)
    }

    fn create(&self, spec: &oci::Spec, mut slot: Slot) -> Result<Box<dyn Guest>> {
        let process = spec
            .process
            .as_ref()
            .ok_or_else(|| Error::new(Class::Invalid, "the runtime-spec has no process"))?;
        let module = slot.module.take().ok_or_else(|| {
            let command = process.args.as_ref().and_then(|words| words.first());
            let command = command.map_or("the container's program", String::as_str);
            Error::new(Class::CommandNotFound, format!("cannot run {command}"))
                .caused_by("no such file")
        })?;
        let own_module =
            fd::duplicate(&module).explain(|| "cannot keep the compiled module".to_owned())?;
        let settings = Settings::of(spec);
        let launch = self.programs.launch(process, &settings, module)?;
        let rewritten = rewrite(spec, &launch.process);
        slot.program = launch.program;
        slot.inherited.extend(launch.inherited);
        let inner = self.native.create(&rewritten, slot)?;
        let guest = WasmGuest::first(
            inner,
            launch.report,
            self.programs.clone(),
            settings,
            (process, own_module),
        );
        Ok(Box::new(guest))
    }
}

/// What every instance in one container shares.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    memory_limit: Option<u64>,
    ports: Vec<u16>,
    function: Option<String>,
    pub(crate) root: Option<&'static str>,
}

impl Settings {
    fn of(spec: &oci::Spec) -> Self {
        let limit = spec
            .linux
            .as_ref()
            .and_then(|linux| linux.resources.as_ref())
            .and_then(|resources| resources.memory.as_ref())
            .and_then(|memory| memory.limit)
            .and_then(|limit| u64::try_from(limit).ok())
            .filter(|limit| *limit > 0);
        let annotations = spec.annotations.as_ref();
        let annotation = |name: &str| annotations.and_then(|annotations| annotations.get(name));
        let ports = annotation(PORTS_ANNOTATION)
            .map(|list| {
                list.split(',')
                    .filter_map(|port| port.trim().parse().ok())
                    .collect()
            })
            .unwrap_or_default();
        Self {
            memory_limit: limit.map(configuration::memory_limit),
            ports,
            function: annotation(FUNCTION_ANNOTATION).cloned(),
            root: mounted_root(spec).map(|_| MOUNTED_ROOT),
        }
    }

    /// A second instance finds the ports taken by the first.
    pub(crate) fn without_ports(&self) -> Self {
        Self {
            ports: Vec::new(),
            ..self.clone()
        }
    }

    /// Where the first instance is entered.
    pub(crate) fn function(&self) -> Option<String> {
        self.function.clone()
    }

    /// The same for an instance that is entered elsewhere.
    pub(crate) fn entered_at(&self, function: Option<String>) -> Self {
        Self {
            function,
            ..self.clone()
        }
    }
}

/// One start of the executor.
pub(crate) struct Launch {
    pub(crate) process: oci::Process,
    pub(crate) program: Program,
    pub(crate) inherited: Vec<Inherited>,
    pub(crate) report: OwnedFd,
}

impl Programs {
    pub(crate) fn cache(&self) -> Result<Cache> {
        Cache::open(&self.cache, &self.compiler)
    }

    /// Prepares the executor for this process and compiled module.
    pub(crate) fn launch(
        &self,
        process: &oci::Process,
        settings: &Settings,
        module: OwnedFd,
    ) -> Result<Launch> {
        let configuration = Configuration {
            arguments: process.args.clone().unwrap_or_default(),
            environment: configuration::environment(process.env.as_deref().unwrap_or_default()),
            working_directory: process.cwd.to_string_lossy().into_owned(),
            function: settings.function.clone(),
            root: settings.root.map(str::to_owned),
            memory_limit: settings.memory_limit,
            ports: settings.ports.clone(),
            ..Configuration::default()
        };
        let text = serde_json::to_vec(&configuration).map_err(|error| {
            Error::new(Class::Internal, "cannot describe the wasm guest").caused_by(error)
        })?;
        let text = memory_file::sealed("configuration", &text)
            .explain(|| "cannot pass the wasm guest's configuration on".to_owned())?;
        let (report, reports) = fd::pipe().explain(|| "cannot make a pipe".to_owned())?;
        fd::set_nonblocking(&report, true).explain(|| "cannot prepare a pipe".to_owned())?;
        let inherited = [
            (text, CONFIGURATION_FILE),
            (module, MODULE_FILE),
            (reports, REPORT_FILE),
        ];
        Ok(Launch {
            process: confined(process, settings),
            program: Program::File(executor(&self.executor)?),
            inherited: inherited
                .into_iter()
                .map(|(file, number)| Inherited { file, number })
                .collect(),
            report,
        })
    }
}

/// Opened through a read-only mount of its own, so that nobody inside can write it (CVE-2019-5736);
/// without the right to mount, the file's own permissions have to do.
fn executor(path: &Path) -> Result<OwnedFd> {
    mount::read_only_clone(path)
        .or_else(|_| File::open(path).map(OwnedFd::from))
        .explain(|| format!("cannot open {}", path.display()))
}

/// The process as the native runtime sees it. Its arguments stay, for process listings; its environment
/// must not reach the executor, whose own C library would listen to it.
fn confined(process: &oci::Process, settings: &Settings) -> oci::Process {
    let mut process = process.clone();
    if settings.root.is_some() {
        // The guest's directory is below its own root.
        process.cwd = "/".into();
    }
    process.env = Some(Vec::new());
    process.no_new_privileges = Some(true);
    process.capabilities = Some(oci::LinuxCapabilities {
        bounding: Some(oci::Capabilities::default()),
        effective: Some(oci::Capabilities::default()),
        inheritable: Some(oci::Capabilities::default()),
        permitted: Some(oci::Capabilities::default()),
        ambient: Some(oci::Capabilities::default()),
    });
    process
}

/// The place in the list of what is mounted at `/`.
fn mounted_root(spec: &oci::Spec) -> Option<usize> {
    let mounts = spec.mounts.as_deref().unwrap_or_default();
    mounts
        .iter()
        .position(|mount| mount.destination == Path::new("/"))
}

/// Moves what is mounted at `/`, and what was mounted into it after that.
fn move_root(spec: &mut oci::Spec) {
    let Some(first) = mounted_root(spec) else {
        return;
    };
    for mount in spec.mounts.iter_mut().flatten().skip(first) {
        let place = mount.destination.clone();
        if !OWN_FILES.iter().any(|own| Path::new(own) == place) {
            let below = place.strip_prefix("/").unwrap_or(&place);
            mount.destination = Path::new(MOUNTED_ROOT).join(below);
        }
    }
}

fn rewrite(spec: &oci::Spec, process: &oci::Process) -> oci::Spec {
    let mut spec = spec.clone();
    spec.process = Some(process.clone());
    move_root(&mut spec);
    if let Some(linux) = &mut spec.linux {
        let has_own_network = linux.namespaces.iter().flatten().any(|namespace| {
            namespace.kind == oci::LinuxNamespaceType::Network && namespace.path.is_none()
        });
        if has_own_network {
            let mut sysctl = linux.sysctl.clone().unwrap_or_default();
            sysctl
                .entry(UNPRIVILEGED_PORTS.into())
                .or_insert_with(|| "0".into());
            linux.sysctl = Some(sysctl);
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wasm_process_has_no_privileges_and_no_environment() {
        let network = oci::LinuxNamespace {
            kind: oci::LinuxNamespaceType::Network,
            path: None,
        };
        let spec = oci::Spec {
            process: Some(oci::Process {
                env: Some(vec!["SECRET=1".into()]),
                ..oci::Process::default()
            }),
            linux: Some(oci::Linux {
                namespaces: Some(vec![network]),
                ..oci::Linux::default()
            }),
            ..oci::Spec::default()
        };
        let process = confined(spec.process.as_ref().unwrap(), &Settings::of(&spec));
        assert_eq!(process.env.as_deref(), Some(&[][..]));
        assert_eq!(process.no_new_privileges, Some(true));
        let capabilities = process.capabilities.as_ref().unwrap();
        for set in [
            &capabilities.bounding,
            &capabilities.effective,
            &capabilities.permitted,
        ] {
            assert!(set.as_ref().is_some_and(oci::Capabilities::is_empty));
        }
        let sysctl = rewrite(&spec, &process)
            .linux
            .as_ref()
            .unwrap()
            .sysctl
            .clone()
            .unwrap();
        assert_eq!(sysctl[UNPRIVILEGED_PORTS], "0");
    }

    #[test]
    fn a_mounted_root_lies_beside_the_process_own() {
        let mount = |place: &str| oci::Mount {
            destination: place.into(),
            ..oci::Mount::default()
        };
        let mut spec = oci::Spec::default();
        let places = ["/proc", "/", "/data", "/etc/hosts"];
        spec.mounts = Some(places.map(mount).to_vec());
        assert_eq!(Settings::of(&spec).root, Some(MOUNTED_ROOT));
        let moved = rewrite(&spec, &oci::Process::default());
        let moved: Vec<_> = moved
            .mounts
            .iter()
            .flatten()
            .map(|mount| &mount.destination)
            .collect();
        let expected = ["/proc", "/.guest-root", "/.guest-root/data", "/etc/hosts"];
        assert_eq!(moved, expected.map(Path::new));
        spec.mounts = Some(vec![mount("/data")]);
        assert_eq!(Settings::of(&spec).root, None);
    }

    #[test]
    fn settings_come_from_limits_and_annotations() {
        let mut spec = oci::Spec::default();
        let annotations = [
            (PORTS_ANNOTATION.to_owned(), "80, 443,x".to_owned()),
            (FUNCTION_ANNOTATION.to_owned(), "work".to_owned()),
        ];
        spec.annotations = Some(annotations.into_iter().collect());
        let settings = Settings::of(&spec);
        assert_eq!(settings.ports, [80, 443]);
        assert_eq!(settings.memory_limit, None);
        assert_eq!(settings.function.as_deref(), Some("work"));
        assert!(settings.without_ports().ports.is_empty());
    }
}
