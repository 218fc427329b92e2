//! Which runtime a container gets, and the compiled module of a wasm guest.

use std::fs;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, HostFacts, Result, Runtime, Support, oci};
use berth_linux_runtime::LinuxRuntime;
use berth_monitor::launch::RuntimeKind;
use berth_sys::error::Explain as _;
use berth_wasm_runtime::WasmRuntime;

use super::Draft;
use crate::engine::dispatch::{self, Files};
use crate::engine::storage::Storage;
use crate::engine::{Engine, MODULE_FILE, network};
use crate::records::command;

impl Draft<'_> {
    pub(super) fn runtime(&self, storage: &Storage) -> Result<RuntimeKind> {
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
    pub(super) fn module(
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
                    let kept = staging.join(MODULE_FILE);
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

    /// The executor loads its own, tighter seccomp rules and opens the ports a module listens on.
    pub(super) fn adapt_to_wasm(&self, spec: &mut oci::Spec) {
        let own_profile = self
            .host
            .security_opt
            .iter()
            .any(|option| option.starts_with("seccomp"));
        if let Some(linux) = spec.linux.as_mut().filter(|_| !own_profile) {
            linux.seccomp = None;
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
        let mut annotations = spec.annotations.clone().unwrap_or_default();
        annotations.insert(
            berth_wasm_runtime::PORTS_ANNOTATION.to_owned(),
            ports.join(","),
        );
        spec.annotations = Some(annotations);
    }
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
