//! `berth restart`: stops containers and starts them again.

use super::ps::Selection;
use super::shared::{LIVE, Targets, each, of_states};
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
    #[arg(long, conflicts_with_all = ["all", "filter"])]
    running: bool,

    #[command(flatten)]
    targets: Targets,
}

impl Arguments for Restart {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let names = if self.running {
            of_states(&engine, &Selection::default(), LIVE)?
        } else {
            self.targets.chosen("restart", &engine, &[])?
        };
        let options = self.grace.options()?;
        let restart = |id: &_| engine.restart(id, &options);
        each(context, &engine, &names, restart)
    }
}
