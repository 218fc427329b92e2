//! Which runtime a container gets, and the compiled module of a wasm guest.

use std::fs;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, HostFacts, Result, Runtime, Support, oci};
use berth_linux_runtime::LinuxRuntime;
use berth_monitor::launch::RuntimeKind;
use berth_sys::error::Explain as _;
use berth_wasm_runtime::{FUNCTION_ANNOTATION, PORTS_ANNOTATION, WasmRuntime};

use super::Draft;
use crate::engine::dispatch::{self, Files, Program};
use crate::engine::source::{Module, Source};
use crate::engine::storage::Storage;
use crate::engine::{Engine, MODULE_FILE, network, spec};
use crate::records::command;

impl Draft<'_> {
    pub(super) fn runtime(&self, program: Option<&Program>) -> Result<RuntimeKind> {
        let path = program.map(|program| program.path.as_path());
        let program = program.map(|program| program.kind.clone());
        let facts = self.source.facts(program)?;
        let (linux, wasm) = runtimes(self.engine);
        let kind = dispatch::choose(
            &facts,
            path,
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
            Support::Missing(error) => {
                Err(error.context(format!("cannot run {name} containers here")))
            }
        }
    }

    /// The program among the container's files; `None` when a module is the program whatever they are.
    pub(super) fn program(&self, storage: &Storage) -> Result<Option<Program>> {
        let words = command(&self.config);
        match words.first() {
            Some(word) if self.source.module().is_none() => {
                self.guest_files(storage)
                    .program(word, &self.config.env, &self.config.working_dir)
            }
            _ => Ok(None),
        }
    }

    fn guest_files<'a>(&'a self, storage: &'a Storage) -> Files<'a> {
        Files {
            image: &self.files,
            mounts: &storage.mounts,
        }
    }

    /// The function in place of the program's own entry, if one is named.
    pub(super) fn function(&self, program: Option<&Program>) -> Option<String> {
        if let Source::File(_) = &self.source {
            return self.source.function().map(str::to_owned);
        }
        if self.source.module().is_some() {
            let words = command(&self.config);
            let (_, function) = words.first()?.split_once('#')?;
            return Some(function.to_owned());
        }
        program?.function.clone()
    }

    /// Compiles the guest's module, unless the cache has it.
    pub(super) fn module(
        &self,
        function: Option<&str>,
        (program, storage): (Option<&Program>, &Storage),
        staging: &Path,
    ) -> Result<Option<PathBuf>> {
        let cache = self
            .engine
            .wasm_cache()?
            .entered_at(function.map(str::to_owned));
        let unreadable = |path: &Path| format!("cannot read the module {}", path.display());
        // The user's own file may change or go; the container keeps what it was made from.
        let kept = staging.join(MODULE_FILE);
        let open_kept = || fs::File::open(&kept).explain(|| unreadable(&kept));
        match self.source.module() {
            Some(Module::Stored(path, digest)) => {
                let file = fs::File::open(&path).explain(|| unreadable(&path))?;
                return cache.compiled_blob(&digest, &file).map(Some);
            }
            Some(Module::Loose(path)) => {
                fs::copy(&path, &kept).explain(|| unreadable(&path))?;
                return cache.compiled(&open_kept()?).map(Some);
            }
            Some(Module::Text(path)) => {
                let text = fs::File::open(&path).explain(|| unreadable(&path))?;
                let module = fs::File::create_new(&kept)
                    .explain(|| format!("cannot make {}", kept.display()))?;
                cache.assemble(&text, &module)?;
                return cache.compiled(&open_kept()?).map(Some);
            }
            None => {}
        }
        let file = match program {
            Some(program) => self.guest_files(storage).open(&program.path)?,
            None => None,
        };
        // A program that is not there is the start's failure, as for a native guest.
        file.map(|file| cache.compiled(&file)).transpose()
    }

    /// The executor loads its own, tighter seccomp rules, opens the ports a module listens on, and is told
    /// where to enter it.
    pub(super) fn adapt_to_wasm(&self, spec: &mut oci::Spec, function: Option<String>) {
        let mut annotations = spec.annotations.clone().unwrap_or_default();
        if let Some(process) = spec.process.as_mut() {
            // Nobody made defaults for a bare module: it gets the variables it was given and no others.
            if let Source::File(_) = &self.source {
                process.env = Some(spec::overlay(Vec::new(), &self.config.env));
            }
            let name = process.args.as_mut().and_then(|words| words.first_mut());
            if let (Some(name), Some(function)) = (name, &function)
                && let Some(shorter) = name.strip_suffix(&format!("#{function}"))
            {
                *name = shorter.to_owned();
            }
        }
        if let Some(function) = function {
            annotations.insert(FUNCTION_ANNOTATION.to_owned(), function);
        }
        let own_profile = self
            .host
            .security_opt
            .iter()
            .any(|option| option.starts_with("seccomp"));
        if let Some(linux) = spec.linux.as_mut() {
            if !own_profile {
                linux.seccomp = None;
            }
            // A process may always write to its own memory through /proc/self/mem, whatever the protection of its
            // pages: there a guest could change the engine's code. No option opens it.
            let masked = linux.masked_paths.get_or_insert_default();
            masked.retain(|path| !Path::new(path).starts_with("/proc"));
            masked.push("/proc".to_owned());
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
        if !ports.is_empty() {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            annotations.insert(PORTS_ANNOTATION.to_owned(), ports.join(","));
        }
        spec.annotations = Some(annotations).filter(|all| !all.is_empty());
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
