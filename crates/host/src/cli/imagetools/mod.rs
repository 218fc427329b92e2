//! `berth buildx imagetools …`: images as registries have them, without fetching them here.

mod create;
mod inspect;

use super::{Group, Verb};

pub(crate) const VERB: Verb = Verb::family(
    "imagetools",
    Group::Images,
    "Look at images of registries, and make images of them there",
    &[create::VERB, inspect::VERB],
);
