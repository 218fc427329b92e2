//! `berth unpause`: thaws containers.

use super::shared::{Targets, each, each_existing};
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
        let names = self.targets.names("unpause", &engine, &["paused"])?;
        let unpause = |id: &_| engine.unpause(id);
        if self.targets.ignores_missing() {
            each_existing(context, &engine, names, unpause)
        } else {
            each(context, &engine, &names, unpause)
        }
    }
}
