//! The verbs of the `berth` command and what every verb is given.
//!
//! ```text
//! main ──► dispatch: globals ── verb ── its own clap command ──► VERB.run(&Context, &ArgMatches)
//!                                  └── VERBS (this file): one line a verb, found by name or alias
//! ```
//!
//! Only the command of the verb at hand is built, because building all of them costs more than
//! starting a container. To add a verb: a file with `pub(crate) const VERB: Verb`, and one line here.

use std::ffi::OsStr;

use berth_contract::{Class, Error, Result};
use berth_host::{Config, Engine, Overrides};

mod artifact;
mod attach;
mod build;
mod builder;
mod command;
mod completion;
mod container;
mod create;
pub(crate) mod dispatch;
mod document;
mod environment;
mod exec;
mod failure;
mod globals;
mod help;
mod image;
mod imagetools;
mod import;
mod info;
mod inspect;
mod kill;
mod listing;
mod load;
mod logs;
mod manifest;
mod mount;
mod nearest;
mod network;
mod parse;
mod pause;
mod platform;
mod port;
mod progress;
mod ps;
mod pull;
mod registry;
mod rename;
mod request;
mod restart;
mod rm;
mod rmi;
mod run;
mod screen;
mod shared;
mod start;
mod stop;
mod system;
mod tag;
mod terminal;
mod top;
mod unpause;
mod verb;
mod version;
mod volume;
mod wait;

pub(crate) use environment::Environment;
pub(crate) use globals::{Globals, LogLevel};
pub(crate) use screen::Screen;
pub(crate) use verb::{Arguments, Group, Outcome, Verb};

/// Every verb, in the order in which `berth --help` lists it within its group.
pub(crate) static VERBS: &[Verb] = &[
    run::VERB,
    ps::VERB,
    exec::VERB,
    logs::VERB,
    attach::VERB,
    stop::VERB,
    start::VERB,
    restart::VERB,
    create::VERB,
    kill::VERB,
    pause::VERB,
    unpause::VERB,
    wait::VERB,
    rm::VERB,
    rename::VERB,
    inspect::VERB,
    top::VERB,
    port::VERB,
    container::VERB,
    image::IMAGES,
    build::VERB,
    builder::VERB,
    builder::BUILDX,
    pull::VERB,
    registry::PUSH,
    registry::SEARCH,
    registry::LOGIN,
    registry::LOGOUT,
    load::VERB,
    image::SAVE,
    import::VERB,
    tag::VERB,
    tag::UNTAG,
    rmi::VERB,
    image::HISTORY,
    image::VERB,
    manifest::VERB,
    artifact::VERB,
    volume::VERB,
    network::VERB,
    registry::SERVE,
    info::VERB,
    system::VERB,
    version::VERB,
    completion::VERB,
    completion::MAN,
];

/// What a verb is given beside its own arguments.
#[derive(Debug)]
pub(crate) struct Context {
    /// The process environment, read once.
    pub(crate) environment: Environment,
    /// The flags that stood before the verb.
    pub(crate) globals: Globals,
    /// Where data and talk go.
    pub(crate) screen: Screen,
}

impl Context {
    /// The engine over the directories that the flags, the user and the environment name.
    ///
    /// # Errors
    /// A directory cannot be used, or berth's own programs cannot be found.
    pub(crate) fn engine(&self) -> Result<Engine> {
        let executable = std::env::current_exe().map_err(|error| {
            Error::new(Class::Internal, "cannot find berth's own programs")
                .caused_by(format!("/proc/self/exe: {error}"))
                .hint("mount -t proc proc /proc")
        })?;
        let overrides = Overrides {
            data: self.globals.root.clone(),
            run: self.globals.runroot.clone(),
        };
        let environment = |name: &str| self.environment.variable(name).map(OsStr::to_owned);
        let user = berth_sys::user::effective_id();
        let config = Config::resolve(overrides, user, &environment, &executable)?;
        #[cfg(feature = "fault-points")]
        if let Ok(name) = std::fs::read_to_string(config.run.join("fault-point")) {
            berth_sys::fault::arm(name.trim());
        }
        Engine::open(config)
    }

    /// Says something that went differently from what was asked, unless `--log-level error` forbids it.
    pub(crate) fn warn(&self, text: &str) {
        if self.globals.log_level >= LogLevel::Warn {
            self.screen.warn(text);
        }
    }

    /// Says why nothing was done and ends with 1, where Docker does so whatever the verb.
    ///
    /// # Errors
    /// Never.
    #[expect(clippy::unnecessary_wraps, reason = "it ends a verb")]
    pub(crate) fn refuse(&self, refusal: &Error) -> Outcome {
        self.screen.fail(refusal);
        Ok(1)
    }

    /// Says what is done, with `--debug`.
    pub(crate) fn debug(&self, text: impl FnOnce() -> String) {
        if self.globals.log_level == LogLevel::Debug {
            self.screen.say(&format!("debug: {}", text()));
        }
    }
}
