//! Running a component: `wasi:cli/run` of WASI 0.2 or 0.3.

use std::mem::ManuallyDrop;

use berth_contract::{Class, Error, Result};
use berth_wasm_runtime::configuration::Configuration;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2, p3};

use crate::confinement::{self, Signals};
use crate::ending::{Outcome, refusal};
use crate::guest::{self, Directories, Limits};

/// What the host's functions work on.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: Limits,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// How a component is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// `wasi:cli/run@0.2`.
    Command2,
    /// `wasi:cli/run@0.3`.
    Command3,
}

/// Runs the component and says how it ended.
pub(crate) fn run(
    runtime: &Runtime,
    engine: &Engine,
    component: &Component,
    configuration: &Configuration,
) -> Result<Outcome> {
    let entry = entry(engine, component)?;
    let mut linker = Linker::new(engine);
    let imports = |version: &str| {
        component.component_type().imports(engine).any(|(name, _)| name.contains(version))
    };
    if imports("@0.2") {
        p2::add_to_linker_async(&mut linker).map_err(refusal("WASI 0.2 cannot be set up"))?;
    }
    if imports("@0.3") {
        p3::add_to_linker(&mut linker).map_err(refusal("WASI 0.3 cannot be set up"))?;
    }
    let state = State {
        wasi: guest::interfaces(configuration, &Directories::default())?.build(),
        table: ResourceTable::new(),
        limits: Limits::new(configuration),
    };
    let mut store = ManuallyDrop::new(Store::new(engine, state));
    store.limiter(|state| &mut state.limits);
    confinement::confine(Signals::End)?;
    runtime.block_on(async {
        match entry {
            Entry::Command2 => command2(&mut store, component, &linker).await,
            Entry::Command3 => command3(&mut store, component, &linker).await,
        }
    })
}

fn entry(engine: &Engine, component: &Component) -> Result<Entry> {
    let exports = |prefix: &str| {
        component.component_type().exports(engine).any(|(name, _)| name.starts_with(prefix))
    };
    if exports("wasi:cli/run@0.3") {
        Ok(Entry::Command3)
    } else if exports("wasi:cli/run@0.2") {
        Ok(Entry::Command2)
    } else {
        Err(Error::new(Class::CannotInvoke, "the wasm component is no program"))
    }
}

const NO_START: &str = "the wasm component cannot be started";

async fn command2(
    store: &mut Store<State>,
    component: &Component,
    linker: &Linker<State>,
) -> Result<Outcome> {
    let command = match p2::bindings::Command::instantiate_async(&mut *store, component, linker).await {
        Ok(command) => command,
        Err(error) => return failed_start(error),
    };
    Ok(status(command.wasi_cli_run().call_run(store).await))
}

async fn command3(
    store: &mut Store<State>,
    component: &Component,
    linker: &Linker<State>,
) -> Result<Outcome> {
    let command = match p3::bindings::Command::instantiate_async(&mut *store, component, linker).await {
        Ok(command) => command,
        Err(error) => return failed_start(error),
    };
    let result = store.run_concurrent(async move |accessor| command.wasi_cli_run().call_run(accessor).await);
    Ok(status(result.await.and_then(|inner| inner)))
}

fn failed_start(error: wasmtime::Error) -> Result<Outcome> {
    if error.is::<wasmtime::Trap>() || error.is::<wasmtime_wasi::I32Exit>() {
        return Ok(Outcome::of(&error));
    }
    Err(refusal(NO_START)(error))
}

fn status(result: wasmtime::Result<Result<(), ()>>) -> Outcome {
    match result {
        Ok(Ok(())) => Outcome::Status(0),
        Ok(Err(())) => Outcome::Status(1),
        Err(error) => Outcome::of(&error),
    }
}
