//! `berth system reset`: removes everything berth keeps.

use crate::cli::shared::confirm;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Reset>(
    "reset",
    Group::System,
    "Remove all containers, images, volumes and networks",
    "[OPTIONS]",
);

/// The flags of `system reset`.
#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    /// Do not ask first
    #[arg(short, long)]
    force: bool,
}

impl Arguments for Reset {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let question = format!(
            "This will remove all containers, running ones too, all images, volumes and networks, and \
             everything else in {}.",
            engine.paths().data().display()
        );
        if !self.force && !confirm(context, &question)? {
            return Ok(1);
        }
        engine.reset()?;
        engine.empty_trash_later();
        Ok(0)
    }
}
