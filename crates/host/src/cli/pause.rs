//! `berth pause`: freezes containers.

use super::shared::{Targets, each, each_existing};
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
        let names = self.targets.names("pause", &engine, &["running"])?;
        let pause = |id: &_| engine.pause(id);
        if self.targets.ignores_missing() {
            each_existing(context, &engine, names, pause)
        } else {
            each(context, &engine, &names, pause)
        }
    }
}
