//! Running a core module: WASI preview 1, and preview 0 for modules of 2019.

use std::mem::ManuallyDrop;

use berth_contract::Result;
use berth_wasm_runtime::configuration::Configuration;
use tokio::runtime::Runtime;
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{I32Exit, p0, p1};

use crate::confinement::{self, Signals};
use crate::ending::{Outcome, refusal};
use crate::guest::{self, Limits};

const PREVIEW_1: &str = "wasi_snapshot_preview1";
const PREVIEW_0: &str = "wasi_unstable";

/// In place of wasmtime's `proc_exit`, which turns a status above 125 into a trap.
fn exit(status: i32) -> wasmtime::Result<()> {
    Err(I32Exit(status).into())
}

/// What the host's functions work on.
struct State {
    wasi: WasiP1Ctx,
    limits: Limits,
}

/// Runs `_start` and says how it ended.
pub(crate) fn run(
    runtime: &Runtime,
    engine: &Engine,
    module: &Module,
    configuration: &Configuration,
) -> Result<Outcome> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    let imports = |name: &str| module.imports().any(|import| import.module() == name);
    if imports(PREVIEW_1) {
        p1::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)
            .map_err(refusal("WASI preview 1 cannot be set up"))?;
    }
    if imports(PREVIEW_0) {
        p0::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)
            .map_err(refusal("WASI preview 0 cannot be set up"))?;
    }
    for interface in [PREVIEW_1, PREVIEW_0] {
        linker.func_wrap(interface, "proc_exit", exit).map_err(refusal("WASI cannot be set up"))?;
    }
    let wasi = guest::interfaces(configuration)?.build_p1();
    let mut store = ManuallyDrop::new(Store::new(engine, State { wasi, limits: Limits::new(configuration) }));
    store.limiter(|state| &mut state.limits);
    confinement::confine(Signals::End)?;
    runtime.block_on(start(&linker, &mut store, module))
}

async fn start(linker: &Linker<State>, store: &mut Store<State>, module: &Module) -> Result<Outcome> {
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
