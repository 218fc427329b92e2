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

/// Adds what only the started process knows: the native runtime looks up the user's home directory.
fn complete(configuration: &mut Configuration) {
    let has = |name: &str, configuration: &Configuration| {
        configuration
            .environment
            .iter()
            .any(|(known, _)| known == name)
    };
    let home = std::env::vars().find(|(name, _)| name == "HOME");
    if let Some(home) = home
        && !has("HOME", configuration)
    {
        configuration.environment.push(home);
    }
    if !has("PWD", configuration) {
        let directory = configuration.working_directory.clone();
        configuration
            .environment
            .push(("PWD".to_owned(), directory));
    }
}
