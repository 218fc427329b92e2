//! What every guest gets: arguments, files, streams, network, and a limit on its memory.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use berth_contract::{Class, Error, Result};
use berth_wasm_runtime::configuration::Configuration;
use tokio::runtime::Runtime;
use wasmtime::ResourceLimiter;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::streams::{Input, Output};

/// A runtime without threads: a simple guest is a simple process.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(
                Class::Internal,
                "the wasm executor's event loop cannot start",
            )
            .caused_by(error)
        })
}

/// A runtime with a thread for each processor: requests are worked on side by side.
pub(crate) fn threaded_runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(
                Class::Internal,
                "the wasm executor's event loop cannot start",
            )
            .caused_by(error)
        })
}

/// The interfaces of a guest that is a program: its files block it and nobody else.
///
/// Its directories are as many placeholders as asked for, `/`, and the working directory where it is
/// another one.
pub(crate) fn interfaces(
    configuration: &Configuration,
    placeholders: usize,
) -> Result<WasiCtxBuilder> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .args(&configuration.arguments)
        .envs(&configuration.environment)
        .stdin(Input::shared())
        .stdout(Output::Standard)
        .stderr(Output::Error)
        .allow_blocking_current_thread(true)
        // The network namespace decides what can be reached; names are resolved by `names`.
        .inherit_network()
        .allow_tcp(true)
        .allow_udp(true)
        .allow_ip_name_lookup(false);
    if configuration.working_directory != "/" {
        builder.initial_cwd(&configuration.working_directory);
    }
    open_directories(&mut builder, configuration, placeholders)?;
    Ok(builder)
}

fn open_directories(
    builder: &mut WasiCtxBuilder,
    configuration: &Configuration,
    placeholders: usize,
) -> Result<()> {
    let mut open = |path: &str, name: &str| {
        let unopened = |error: wasmtime::Error| {
            Error::new(
                Class::CannotInvoke,
                format!("the guest's directory {path} cannot be opened"),
            )
            .caused_by(format!("{error:#}"))
        };
        builder
            .preopened_dir(path, name, FsPerms::ReadWrite)
            .map(|_| ())
            .map_err(unopened)
    };
    let root = configuration.root.as_deref().unwrap_or("/");
    for _ in 0..placeholders {
        open(root, "")?;
    }
    open(root, "/")?;
    if configuration.working_directory != "/" {
        open(&working_directory(configuration), ".")?;
    }
    Ok(())
}

/// Where the working directory is to be found.
pub(crate) fn working_directory(configuration: &Configuration) -> String {
    let root = configuration.root.as_deref().unwrap_or_default();
    format!("{root}{}", configuration.working_directory)
}

/// What all linear memories and tables of a process may have together; instances share it.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<AtomicUsize>);

impl Memory {
    /// The limit a configuration asks for.
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let limit = configuration.memory_limit.unwrap_or(u64::MAX);
        Self(Arc::new(AtomicUsize::new(
            usize::try_from(limit).unwrap_or(usize::MAX),
        )))
    }

    fn take(&self, count: usize) -> bool {
        self.0
            .try_update(Relaxed, Relaxed, |left| left.checked_sub(count))
            .is_ok()
    }
}

/// What one store has taken of the memory; it gives it back with its end.
#[derive(Debug)]
pub(crate) struct Limits {
    memory: Memory,
    taken: usize,
}

/// What a table's element takes in the engine.
const ELEMENT: usize = size_of::<usize>();

impl Limits {
    /// Nothing taken yet.
    pub(crate) fn new(memory: Memory) -> Self {
        Self { memory, taken: 0 }
    }

    fn grow(&mut self, current: usize, desired: usize, unit: usize) -> bool {
        let Some(more) = desired.saturating_sub(current).checked_mul(unit) else {
            return false;
        };
        let is_there = self.memory.take(more);
        if is_there {
            self.taken += more;
        }
        is_there
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.memory.0.fetch_add(self.taken, Relaxed);
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Growth beyond the declared maximum fails anyway and must not use up the limit.
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(current, desired, 1))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(
            maximum.is_none_or(|maximum| desired <= maximum)
                && self.grow(current, desired, ELEMENT),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_share_one_limit() {
        let configuration = Configuration {
            memory_limit: Some(100),
            ..Configuration::default()
        };
        let mut limits = Limits::new(Memory::new(&configuration));
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(!limits.memory_growing(0, 60, None).unwrap());
        assert!(!limits.memory_growing(0, 10, Some(5)).unwrap());
        assert!(limits.memory_growing(60, 100, None).unwrap());
        assert!(!limits.table_growing(0, 1, None).unwrap());
        let memory = limits.memory.clone();
        drop(limits);
        assert!(memory.take(100));
    }
}
