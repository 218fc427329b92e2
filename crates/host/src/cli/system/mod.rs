//! `berth system …`: what concerns everything berth keeps.

mod check;
mod df;
mod prune;
mod reset;
mod trash;

use super::{Group, Verb, info};

pub(crate) const VERB: Verb = Verb::family("system", Group::System, "Manage berth itself", VERBS);

const VERBS: &[Verb] = &[
    df::VERB,
    info::VERB,
    prune::VERB,
    check::VERB,
    reset::VERB,
    trash::VERB,
];
