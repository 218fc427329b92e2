//! Running a core module: WASI preview 1, and preview 0 for modules of 2019.
//!
//! wasmtime's implementation does nearly everything. What a container needs beyond it is put in front of
//! it, function by function: exact exit statuses here, a working directory in `paths`, listening sockets
//! in `sockets`.

mod memory;
mod paths;
mod poll;
mod sockets;

use std::mem::ManuallyDrop;

use berth_contract::Result;
use berth_wasm_runtime::configuration::Configuration;
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{I32Exit, p0, p1};

use crate::confinement::{self, Signals};
use crate::ending::{Outcome, refusal};
use crate::guest::{self, Limits, Memory};

use paths::Places;
use sockets::{FIRST_LISTENER, Sockets};

const PREVIEW_1: &str = "wasi_snapshot_preview1";
const PREVIEW_0: &str = "wasi_unstable";

/// In place of wasmtime's `proc_exit`, which turns a status above 125 into a trap.
fn exit(status: i32) -> wasmtime::Result<()> {
    Err(I32Exit(status).into())
}

/// What the host's functions work on.
pub(crate) struct State {
    wasi: WasiP1Ctx,
    limits: Limits,
    places: Places,
    sockets: Sockets,
}

/// Runs `_start` and says how it ended.
pub(crate) fn run(
    engine: &Engine,
    module: &Module,
    configuration: &Configuration,
) -> Result<Outcome> {
    // The process ends right after the guest: taking things down one by one would only cost time.
    let runtime = ManuallyDrop::new(guest::runtime()?);
    // What is made below belongs to the runtime's event loop.
    let _entered = runtime.enter();
    let sockets = if imports(module, PREVIEW_1, |name| name == "sock_accept") {
        Sockets::listen(&configuration.ports)?
    } else {
        Sockets::default()
    };
    let linker = linker(engine, module).map_err(refusal("WASI cannot be set up"))?;
    let wasi = guest::interfaces(configuration, sockets.count())?.build_p1();
    let root = FIRST_LISTENER + i32::try_from(sockets.count()).unwrap_or_default();
    let places = Places::new(root, &configuration.working_directory);
    let state = State {
        wasi,
        limits: Limits::new(Memory::new(configuration)),
        places,
        sockets,
    };
    let mut store = ManuallyDrop::new(Store::new(engine, state));
    store.limiter(|state| &mut state.limits);
    confinement::confine(Signals::End)?;
    runtime.block_on(start(&linker, &mut store, module))
}

fn imports(module: &Module, interface: &str, is_meant: impl Fn(&str) -> bool) -> bool {
    module
        .imports()
        .any(|import| import.module() == interface && is_meant(import.name()))
}

fn linker(engine: &Engine, module: &Module) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    if imports(module, PREVIEW_1, |_| true) {
        p1::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)?;
    }
    if imports(module, PREVIEW_0, |_| true) {
        p0::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)?;
    }
    for interface in [PREVIEW_1, PREVIEW_0] {
        linker.func_wrap(interface, "proc_exit", exit)?;
    }
    if imports(module, PREVIEW_1, |name| name.starts_with("path_")) {
        paths::add(&mut linker)?;
    }
    if imports(module, PREVIEW_1, |name| name == "sock_accept") {
        sockets::add(&mut linker)?;
    }
    Ok(linker)
}

async fn start(
    linker: &Linker<State>,
    store: &mut Store<State>,
    module: &Module,
) -> Result<Outcome> {
    let instance = match linker.instantiate_async(&mut *store, module).await {
        Ok(instance) => instance,
        // A module's start function is guest code, too.
        Err(error) if error.is::<wasmtime::Trap>() || error.is::<I32Exit>() => {
            return Ok(Outcome::of(&error));
        }
        Err(error) => return Err(refusal("the wasm module cannot be started")(error)),
    };
    let entry = instance
        .get_typed_func::<(), ()>(&mut *store, "_start")
        .map_err(refusal("the wasm module's _start is no program"))?;
    Ok(match entry.call_async(store, ()).await {
        Ok(()) => Outcome::Status(0),
        Err(error) => Outcome::of(&error),
    })
}
