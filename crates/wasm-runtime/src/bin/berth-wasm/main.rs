//! `berth-wasm`: runs one compiled module as the program of a container.
//!
//! ```text
//! native runtime: namespaces, root, cgroup, identity ──execve──► read configuration (fd 3)
//!   ► load the compiled module (fd 4) ► open preopens and listeners ► confine ► guest code
//! ```
//!
//! It is executed inside the guest's root, statically linked, and holds no compiler. By the time guest
//! code runs, the process can reach the container's files, its own sockets and nothing else.

mod component;
mod confinement;
mod ending;
mod guest;
mod load;
mod places;
mod preview1;
mod streams;

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use berth_contract::{Class, Error, Result};
use berth_sys::{spawn, termination};
use berth_wasm_runtime::configuration::{
    CONFIGURATION_FILE, Configuration, MODULE_FILE, REPORT_FILE,
};
use berth_wasm_runtime::engine;
use wasmtime::Engine;

use crate::ending::Outcome;
use crate::load::Code;

fn main() {
    let report = spawn::inherited(REPORT_FILE).ok();
    let outcome = run().unwrap_or_else(Outcome::Refused);
    termination::now(outcome.announce(report));
}

fn run() -> Result<Outcome> {
    let configuration = configuration()?;
    let module = inherited(MODULE_FILE, "the compiled module")?;
    let engine = Engine::new(&engine::settings())
        .map_err(ending::refusal("the wasm engine cannot start"))?;
    match load::code(&engine, module)? {
        Code::Module(module) => preview1::run(&engine, &module, &configuration),
        Code::Component(component) => component::run(&engine, &component, &configuration),
    }
}

fn inherited(number: i32, what: &str) -> Result<OwnedFd> {
    spawn::inherited(number).map_err(|error| {
        Error::new(
            Class::Internal,
            format!("berth-wasm was started without {what} as file {number}"),
        )
        .caused_by(error)
        .hint("it is started by berth alone: berth run IMAGE")
    })
}

fn configuration() -> Result<Configuration> {
    let file = inherited(CONFIGURATION_FILE, "its configuration")?;
    let mut text = Vec::with_capacity(4096);
    File::from(file)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    let mut configuration: Configuration = serde_json::from_slice(&text).map_err(unreadable)?;
    complete(&mut configuration);
    Ok(configuration)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Class::Internal, "berth-wasm cannot read its configuration").caused_by(error)
}

/// A C library of preview 1 knows no other way to learn of a working directory.
fn complete(configuration: &mut Configuration) {
    let directory = &configuration.working_directory;
    let variables = &mut configuration.environment;
    if directory != "/" && !variables.iter().any(|(name, _)| name == "PWD") {
        variables.push(("PWD".to_owned(), directory.clone()));
    }
}
