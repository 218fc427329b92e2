//! The verbs of the `berth` command and what every verb is given.
//!
//! ```text
//! main ──► dispatch: globals ── verb ── its own clap command ──► VERB.run(&Context, &ArgMatches)
//!                                  └── VERBS (this file): one line a verb, found by name or alias
//! ```
//!
//! Only the command of the verb at hand is built, because building all of them costs more than
//! starting a container. To add a verb: a file with `pub(crate) const VERB: Verb`, and one line here.

pub(crate) mod dispatch;
mod environment;
mod globals;
mod help;
mod nearest;
mod verb;

pub(crate) use environment::Environment;
pub(crate) use globals::Globals;
pub(crate) use verb::{Action, Arguments, FailureStatus, Group, Outcome, Verb};

/// Every verb, in the order in which `berth --help` lists it within its group.
pub(crate) static VERBS: &[Verb] = &[];

/// What a verb is given beside its own arguments.
#[derive(Debug)]
pub(crate) struct Context {
    /// The process environment, read once.
    pub(crate) environment: Environment,
    /// The flags that stood before the verb.
    pub(crate) globals: Globals,
}
