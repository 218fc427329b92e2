//! `berth kill`: sends a signal to containers.

use berth_contract::Signal;

use super::shared::{LIVE, Targets, each_at_once};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Kill>(
    "kill",
    Group::Run,
    "Send a signal to containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.examples("berth kill web\nberth kill -s HUP web");

/// The arguments of `kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,

    #[command(flatten)]
    targets: Targets,
}

impl Arguments for Kill {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let names = self.targets.chosen("kill", &engine, LIVE)?;
        // Not clap's to refuse: a bad signal is a failure of the verb, status 1, as in Docker.
        let signal: Signal = self.signal.parse()?;
        let kill = |id: &_| engine.kill(id, signal);
        each_at_once(context, &engine, &names, kill)
    }
}
