//! `berth image …`: the verbs on images as a family, and those that exist only here.

mod convert;
mod forest;
mod history;
mod layers;
mod list;
mod mount;
mod names;
pub(crate) mod prune;
pub(crate) mod save;
mod scp;
mod selection;

use super::listing::exists;
use super::{
    Arguments, Context, Group, Outcome, Verb, build, import, inspect, load, pull, registry, rmi,
    tag,
};

pub(crate) use list::VERB as IMAGES;

pub(crate) const VERB: Verb = Verb::family("image", Group::Images, "Manage images", VERBS);

const VERBS: &[Verb] = &[
    list::VERB.named("ls").aliases(&["list"]),
    build::VERB,
    pull::VERB,
    registry::PUSH,
    registry::SEARCH,
    load::VERB,
    save::VERB,
    import::VERB,
    inspect::IMAGE,
    history::VERB,
    tag::VERB,
    tag::UNTAG,
    rmi::VERB.named("rm").aliases(&["remove"]),
    prune::VERB,
    layers::TREE,
    layers::DIFF,
    convert::VERB,
    mount::MOUNT,
    mount::UNMOUNT,
    scp::VERB,
    EXISTS,
];

/// `berth history`.
pub(crate) use history::VERB as HISTORY;
/// `berth save`.
pub(crate) use save::VERB as SAVE;

const EXISTS: Verb = Verb::new::<Exists>(
    "exists",
    Group::Images,
    "Tell by the exit status whether an image is here",
    "IMAGE",
);

/// The argument of `image exists`.
#[derive(Debug, clap::Args)]
pub(crate) struct Exists {
    /// The image, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    name: String,
}

impl Arguments for Exists {
    fn run(self, context: &Context) -> Outcome {
        exists(context.engine()?.store().find_named(&self.name))
    }
}
