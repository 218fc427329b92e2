//! `berth unpause`: thaws containers.

use super::shared::{Targets, each_at_once};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Unpause>(
    "unpause",
    Group::Run,
    "Thaw containers that are paused",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.examples("berth unpause web");

/// The arguments of `pause`.
#[derive(Debug, clap::Args)]
pub(crate) struct Unpause {
    #[command(flatten)]
    targets: Targets,
}

impl Arguments for Unpause {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let names = self.targets.chosen("unpause", &engine, &["paused"])?;
        let unpause = |id: &_| engine.unpause(id);
        each_at_once(context, &engine, &names, unpause)
    }
}
