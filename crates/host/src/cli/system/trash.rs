//! `berth system empty-trash`: what berth starts in the background after a removal.

use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb =
    Verb::new::<EmptyTrash>("empty-trash", Group::Hidden, "Delete what was removed", "");

/// `system empty-trash` has no arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct EmptyTrash {}

impl Arguments for EmptyTrash {
    fn run(self, context: &Context) -> Outcome {
        context.engine()?.empty_trash()?;
        Ok(0)
    }
}
