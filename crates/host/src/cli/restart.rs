//! `berth restart`: stops containers and starts them again.

use super::shared::{Targets, each, each_existing};
use super::stop::Grace;
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Restart>(
    "restart",
    Group::Run,
    "Stop containers and start them again",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.examples("berth restart web\nberth restart -t 0 web");

/// The arguments of `restart`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    grace: Grace,

    /// Take every container that runs
    #[arg(long, conflicts_with = "all")]
    running: bool,

    #[command(flatten)]
    targets: Targets,
}

impl Arguments for Restart {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let names = if self.running {
            super::shared::of_states(&engine, &["running", "paused", "restarting"])?
        } else {
            self.targets.names("restart", &engine, &[])?
        };
        let options = self.grace.options();
        let restart = |id: &_| engine.restart(id, &options);
        if self.targets.ignores_missing() {
            each_existing(context, &engine, names, restart)
        } else {
            each(context, &engine, &names, restart)
        }
    }
}
