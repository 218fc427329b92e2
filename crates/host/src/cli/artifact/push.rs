//! `berth artifact push`: `push`, told about artifacts.

use berth_contract::Class;

use crate::cli::registry::{PUSH, Push};
use crate::cli::{Arguments, Context, Outcome, Verb};

pub(crate) const VERB: Verb = PUSH.taking::<PushArtifact>();

/// The flags of `push`.
#[derive(Debug, clap::Args)]
pub(crate) struct PushArtifact {
    #[command(flatten)]
    push: Push,
}

impl Arguments for PushArtifact {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        // Whatever `push` takes is taken here too; only what is not here is called what was meant.
        if let Some(name) = self.push.named()
            && let Err(absent) = engine.artifact(name)
            && let Err(error) = engine.store().find_named(name)
            && error.class() == Class::NotFound
        {
            return Err(absent);
        }
        self.push.run(context)
    }
}
