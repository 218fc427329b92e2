//! `berth container mount` and `unmount`: a container's files, for programs of the host.

use super::shared::{Targets, answer_each, each_at_once};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const MOUNT: Verb = Verb::new::<Mount>(
    "mount",
    Group::Run,
    "Mount containers' root file systems on the host and print where",
    "[CONTAINER...]",
)
.examples("ls $(berth container mount web)\nberth container mount");

pub(crate) const UNMOUNT: Verb = Verb::new::<Unmount>(
    "unmount",
    Group::Run,
    "Take those mounts away",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.aliases(&["umount"])
.examples("berth container unmount web");

/// The arguments of `container mount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Mount {
    /// The containers; without any, those that are mounted are listed
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,
}

impl Arguments for Mount {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        if self.containers.is_empty() {
            for (id, place) in engine.mounted()? {
                let line = format!("{} {}\n", id.short(), place.display());
                context.screen.data(&line)?;
            }
            return Ok(0);
        }
        answer_each(context, &self.containers, |name| {
            let place = engine.mount(&engine.find(name)?)?;
            Ok(Some(place.display().to_string()))
        })
    }
}

/// The arguments of `container unmount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Unmount {
    /// Kept for scripts: mounts are taken away at once anyway
    #[arg(short, long, hide = true)]
    force: bool,

    #[command(flatten)]
    targets: Targets,
}

impl Arguments for Unmount {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let names = self.targets.chosen("container unmount", &engine, &[])?;
        let unmount = |id: &_| engine.unmount(id).map(drop);
        each_at_once(context, &engine, &names, unmount)
    }
}
