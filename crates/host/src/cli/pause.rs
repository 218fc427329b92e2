//! `berth pause`: freezes containers.

use super::shared::{Targets, each_at_once};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Pause>(
    "pause",
    Group::Run,
    "Freeze all processes of containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.examples("berth pause web\nberth unpause web");

/// The arguments of `pause`.
#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    targets: Targets,
}

impl Arguments for Pause {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let names = self.targets.chosen("pause", &engine, &["running"])?;
        let pause = |id: &_| engine.pause(id);
        each_at_once(context, &engine, &names, pause)
    }
}
