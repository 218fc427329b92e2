//! `berth network …`: the bridge that containers share.

use super::shared::confirm;
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::family(
    "network",
    Group::VolumesAndNetworks,
    "Manage networks",
    VERBS,
);

const VERBS: &[Verb] = &[Verb::new::<Prune>(
    "prune",
    Group::VolumesAndNetworks,
    "Take the default network off the host while no running container is on it",
    "[OPTIONS]",
)
.examples("berth network prune -f")
.refusing(&[(
    "--filter",
    "there is one network, and it has neither age nor labels",
)])];

/// The arguments of `network prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Do not ask first
    #[arg(short, long)]
    force: bool,
}

impl Arguments for Prune {
    fn run(self, context: &Context) -> Outcome {
        let question = "The bridge and the packet filter table of the default network will be removed, \
                        unless a running container is on it.";
        if !self.force && !confirm(context, question)? {
            return Ok(1);
        }
        let removed = context.engine()?.prune_networks()?;
        if !removed.is_empty() {
            let text = format!("Deleted Networks:\n{}\n", removed.join("\n"));
            context.screen.data(&text)?;
        }
        Ok(0)
    }
}
