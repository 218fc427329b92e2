//! Running a component: `wasi:cli/run` or a `wasi:http` handler, of WASI 0.2 or 0.3.

mod clock;
mod files;
mod files3;
mod function;
mod lookup;
mod names;
mod places;
mod request;
mod serve;

use std::mem::ManuallyDrop;

use berth_contract::{Class, Error, Result};
use berth_wasm_runtime::configuration::Configuration;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2, p3};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::confinement::{self, Signals};
use crate::ending::{Outcome, refusal};
use crate::guest::{self, Limits, Memory};
use places::Places;
use request::Hooks;
use serve::Server;

/// What the host's functions work on.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    hooks: Hooks,
    limits: Limits,
    places: Places,
}

impl State {
    fn new(configuration: &Configuration, memory: Memory, is_program: bool) -> Result<Self> {
        let mut interfaces = guest::interfaces(configuration, 0)?;
        if !is_program {
            // One request must not hold up the others.
            interfaces
                .stdin(tokio::io::empty())
                .allow_blocking_current_thread(false);
        }
        Ok(Self {
            wasi: interfaces.build(),
            table: ResourceTable::new(),
            http: WasiHttpCtx::new(),
            hooks: Hooks,
            limits: Limits::new(memory),
            places: Places::new(configuration),
        })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// How a component is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry<'a> {
    /// A function that is exported, by name.
    Function(&'a str),
    /// `wasi:cli/run@0.2`.
    Command2,
    /// `wasi:cli/run@0.3`.
    Command3,
    /// `wasi:http/incoming-handler@0.2`.
    Server2,
    /// `wasi:http/handler@0.3`.
    Server3,
}

/// Runs the component and says how it ended.
pub(crate) fn run(
    engine: &Engine,
    component: &Component,
    configuration: &Configuration,
) -> Result<Outcome> {
    let entry = match configuration.function.as_deref() {
        Some(function) => Entry::Function(function),
        None => entry(engine, component)?,
    };
    let linker = linker(engine, component).map_err(refusal("WASI cannot be set up"))?;
    match entry {
        Entry::Function(_) | Entry::Command2 | Entry::Command3 => {
            program(engine, component, configuration, &linker, entry)
        }
        Entry::Server2 | Entry::Server3 => server(engine, component, configuration, &linker, entry),
    }
}

/// The versions of WASI a component imports.
#[derive(Debug, Clone, Copy)]
struct Versions {
    second: bool,
    third: bool,
}

fn linker(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    let kind = component.component_type();
    let imports = |package: &str, version: &str| {
        kind.imports(engine)
            .any(|(name, _)| name.starts_with(package) && name.contains(version))
    };
    let versions = Versions {
        second: imports("wasi:", "@0.2"),
        third: imports("wasi:", "@0.3"),
    };
    if versions.second {
        p2::add_to_linker_async(&mut linker)?;
    }
    if versions.third {
        p3::add_to_linker(&mut linker)?;
    }
    if imports("wasi:filesystem/", "@0.2") {
        files::add(&mut linker)?;
    }
    if imports("wasi:filesystem/", "@0.3") {
        files3::add(&mut linker)?;
    }
    if imports("wasi:sockets/", "@") {
        lookup::add(&mut linker, versions)?;
    }
    if imports("wasi:http/", "@0.2") {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    }
    if imports("wasi:http/", "@0.3") {
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    Ok(linker)
}

fn program(
    engine: &Engine,
    component: &Component,
    configuration: &Configuration,
    linker: &Linker<State>,
    entry: Entry<'_>,
) -> Result<Outcome> {
    // The process ends right after the guest: taking things down one by one would only cost time.
    let runtime = ManuallyDrop::new(guest::runtime()?);
    let _entered = runtime.enter();
    let state = State::new(configuration, Memory::new(configuration), true)?;
    let mut store = ManuallyDrop::new(Store::new(engine, state));
    store.limiter(|state| &mut state.limits);
    confinement::confine(Signals::End)?;
    runtime.block_on(async {
        match entry {
            Entry::Function(name) => function::call(&mut store, component, linker, name).await,
            Entry::Command3 => command3(&mut store, component, linker).await,
            _ => command2(&mut store, component, linker).await,
        }
    })
}

fn server(
    engine: &Engine,
    component: &Component,
    configuration: &Configuration,
    linker: &Linker<State>,
    entry: Entry<'_>,
) -> Result<Outcome> {
    let prepared = linker
        .instantiate_pre(component)
        .map_err(refusal(NO_START))?;
    let prepared = match entry {
        Entry::Server3 => {
            wasmtime_wasi_http::p3::bindings::ServicePre::new(prepared).map(ProxyPre::P3)
        }
        _ => wasmtime_wasi_http::p2::bindings::ProxyPre::new(prepared).map(ProxyPre::P2),
    };
    let port = serve::port(configuration);
    let mut configuration = configuration.clone();
    if !configuration
        .environment
        .iter()
        .any(|(name, _)| name == "PORT")
    {
        configuration
            .environment
            .push(("PORT".to_owned(), port.to_string()));
    }
    let server = Server {
        engine: engine.clone(),
        component: prepared.map_err(refusal(NO_START))?,
        memory: Memory::new(&configuration),
        configuration,
    };
    // Blocked before there are threads, so that all of them inherit it.
    let signals = berth_sys::signals::Signals::take(&confinement::DRAINING).map_err(|error| {
        Error::new(Class::Internal, "the server cannot receive signals").caused_by(error)
    })?;
    confinement::confine(Signals::Drain)?;
    let runtime = ManuallyDrop::new(guest::threaded_runtime()?);
    runtime.block_on(serve::serve(server, port, signals))
}

fn entry(engine: &Engine, component: &Component) -> Result<Entry<'static>> {
    let kind = component.component_type();
    let exports = |prefix: &str| {
        kind.exports(engine)
            .any(|(name, _)| name.starts_with(prefix))
    };
    let entries = [
        ("wasi:cli/run@0.3", Entry::Command3),
        ("wasi:cli/run@0.2", Entry::Command2),
        ("wasi:http/handler@0.3", Entry::Server3),
        ("wasi:http/incoming-handler@0.2", Entry::Server2),
    ];
    entries
        .into_iter()
        .find(|(prefix, _)| exports(prefix))
        .map(|(_, entry)| entry)
        .ok_or_else(|| Error::new(Class::CannotInvoke, "the wasm component is no program"))
}

const NO_START: &str = "the wasm component cannot be started";

async fn command2(
    store: &mut Store<State>,
    component: &Component,
    linker: &Linker<State>,
) -> Result<Outcome> {
    let command =
        match p2::bindings::Command::instantiate_async(&mut *store, component, linker).await {
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
    let command =
        match p3::bindings::Command::instantiate_async(&mut *store, component, linker).await {
            Ok(command) => command,
            Err(error) => return failed_start(error),
        };
    let result =
        store.run_concurrent(async move |accessor| command.wasi_cli_run().call_run(accessor).await);
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
