//! `berth rm`: removes containers.

use berth_contract::Class;
use berth_host::engine::{RemoveOptions, StopOptions};

use super::shared::{Targets, each_at_once, retain_existing};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Rm>(
    "rm",
    Group::Run,
    "Remove containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.aliases(&["remove"])
.examples("berth rm web\nberth rm -f web\nberth rm -v $(berth ps -aq)")
.refusing(&[
    ("--link", "there are no links to remove"),
    ("-l", "there are no links to remove"),
    ("--depend", "name the other containers as well"),
]);

/// The arguments of `rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Kill the containers first if they run
    #[arg(short, long)]
    force: bool,

    /// Remove their anonymous volumes as well
    #[arg(short, long)]
    volumes: bool,

    /// With --force: stop them with this grace in seconds rather than kill them
    #[arg(
        short,
        long,
        visible_alias = "time",
        value_name = "SECONDS",
        requires = "force"
    )]
    timeout: Option<i64>,

    #[command(flatten)]
    targets: Targets,
}

impl Arguments for Rm {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let mut names = self.targets.chosen("rm", &engine, &[])?;
        // As in Docker, `rm -f` of what is not there has nothing to do.
        if self.force {
            retain_existing(&engine, &mut names);
        }
        let options = RemoveOptions {
            force: self.force,
            volumes: self.volumes,
        };
        let remove = |id: &_| {
            if let Some(seconds) = self.timeout {
                let stop = StopOptions {
                    signal: None,
                    timeout: Some(seconds),
                };
                match engine.stop(id, &stop) {
                    // With `--rm` it is gone now.
                    Err(error) if error.class() == Class::NotFound => return Ok(()),
                    stopped => drop(stopped?),
                }
            }
            engine.remove(id, &options)
        };
        let outcome = each_at_once(context, &engine, &names, remove);
        // What cannot be cleared away is told by `system check`; it was not asked for here.
        drop(engine.clear_leftovers());
        outcome
    }
}
