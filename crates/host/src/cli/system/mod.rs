//! `berth system …`: what concerns everything berth keeps.

mod trash;

use super::{Group, Verb, info};

pub(crate) const VERB: Verb = Verb::family("system", Group::System, "Manage berth itself", VERBS);

const VERBS: &[Verb] = &[info::VERB, trash::VERB];
