//! Running a core module: WASI preview 1, and preview 0 for modules of 2019; its `_start`, or another function.
//!
//! wasmtime's implementation does nearly everything. What a container needs beyond it is put in front of
//! it, function by function: exact exit statuses here, a working directory in `paths`, listening sockets
//! in `sockets`.

mod aside;
mod directories;
mod functions;
mod links;
mod listings;
mod memory;
mod paths;
mod poll;
mod sockets;

use std::mem::ManuallyDrop;

use berth_contract::{Class, Error, Result};
use berth_wasm_runtime::configuration::Configuration;
use wasmtime::{Engine, Instance, Linker, Module, Store, Val, ValType};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{I32Exit, p0};

use crate::confinement::{self, Signals};
use crate::ending::{self, Outcome, refusal};
use crate::guest::{self, Limits, Memory};

use directories::Places;
use functions::Imports;
use listings::Listings;
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
    listings: Listings,
    sockets: Sockets,
}

/// Runs the program and says how it ended.
pub(crate) fn run(
    engine: &Engine,
    module: &Module,
    configuration: &Configuration,
) -> Result<Outcome> {
    // The process ends right after the guest: taking things down one by one would only cost time.
    let runtime = ManuallyDrop::new(guest::runtime()?);
    // What is made below belongs to the runtime's event loop.
    let _entered = runtime.enter();
    let imports = Imports::of(module);
    let sockets = if imports.has("sock_accept") {
        Sockets::listen(&configuration.ports)?
    } else {
        Sockets::default()
    };
    let linker = linker(engine, module, &imports).map_err(refusal("WASI cannot be set up"))?;
    let wasi = guest::interfaces(configuration, sockets.count())?.build_p1();
    let root = FIRST_LISTENER + i32::try_from(sockets.count()).unwrap_or_default();
    let places = Places::new(root, configuration);
    let state = State {
        wasi,
        limits: Limits::new(Memory::new(configuration)),
        places,
        listings: Listings::default(),
        sockets,
    };
    let mut store = ManuallyDrop::new(Store::new(engine, state));
    store.limiter(|state| &mut state.limits);
    confinement::confine(Signals::End)?;
    let function = configuration.function.as_deref();
    runtime.block_on(start(&linker, &mut store, module, function))
}

fn linker(engine: &Engine, module: &Module, imports: &Imports) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    functions::add(&mut linker, imports)?;
    paths::add(&mut linker, imports)?;
    listings::add(&mut linker, imports)?;
    if imports.has("sock_accept") {
        sockets::add(&mut linker)?;
    }
    if module.imports().any(|import| import.module() == PREVIEW_0) {
        p0::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)?;
    }
    for interface in [PREVIEW_1, PREVIEW_0] {
        linker.func_wrap(interface, "proc_exit", exit)?;
    }
    Ok(linker)
}

async fn start(
    linker: &Linker<State>,
    store: &mut Store<State>,
    module: &Module,
    function: Option<&str>,
) -> Result<Outcome> {
    let instance = match linker.instantiate_async(&mut *store, module).await {
        Ok(instance) => instance,
        // A module's start function is guest code, too.
        Err(error) if error.is::<wasmtime::Trap>() || error.is::<I32Exit>() => {
            return Ok(Outcome::of(&error));
        }
        Err(error) => return Err(refusal("the wasm module cannot be started")(error)),
    };
    if let Some(function) = function {
        return call(store, module, &instance, function).await;
    }
    if instance.get_func(&mut *store, "_start").is_none() {
        return Err(Error::new(
            Class::CannotInvoke,
            "the wasm module has no _start function: it is a library, not a program",
        ));
    }
    let entry = instance
        .get_typed_func::<(), ()>(&mut *store, "_start")
        .map_err(refusal("the wasm module's _start is no program"))?;
    Ok(match entry.call_async(store, ()).await {
        Ok(()) => Outcome::Status(0),
        Err(error) => Outcome::of(&error),
    })
}

/// Calls a function that takes nothing; a number it returns is the exit status.
async fn call(
    store: &mut Store<State>,
    module: &Module,
    instance: &Instance,
    name: &str,
) -> Result<Outcome> {
    let refused = |sentence: String| Error::new(Class::CannotInvoke, sentence);
    let function = instance.get_func(&mut *store, name).ok_or_else(|| {
        let exports = module
            .exports()
            .filter(|export| export.ty().func().is_some());
        let names: Vec<&str> = exports.map(|export| export.name()).collect();
        ending::absent(&format!("the wasm module has no function {name}"), &names)
    })?;
    let kind = function.ty(&mut *store);
    if kind.params().len() > 0 {
        return Err(
            refused(format!("the wasm function {name} takes parameters"))
                .caused_by("a container's entry has none"),
        );
    }
    let results: Vec<ValType> = kind.results().collect();
    let mut values = match results.as_slice() {
        [] => vec![],
        [ValType::I32] => vec![Val::I32(0)],
        _ => {
            return Err(refused(format!(
                "the wasm function {name} returns what is no exit status"
            ))
            .caused_by("a container's entry returns nothing, or an i32"));
        }
    };
    // What a library has to do before any other function of it is called.
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize")
        && let Err(error) = initialize.call_async(&mut *store, ()).await
    {
        return Ok(Outcome::of(&error));
    }
    Ok(match function.call_async(store, &[], &mut values).await {
        Ok(()) => Outcome::Status(
            values
                .first()
                .and_then(Val::i32)
                .map_or(0, ending::truncated),
        ),
        Err(error) => Outcome::of(&error),
    })
}
