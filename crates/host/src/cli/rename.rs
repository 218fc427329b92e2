//! `berth rename`: gives a container another name.

use berth_contract::ContainerName;

use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Rename>(
    "rename",
    Group::Run,
    "Give a container another name",
    "CONTAINER NAME",
)
.examples("berth rename web web-old");

/// The arguments of `rename`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// The container
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,

    /// Its new name
    #[arg(value_name = "NAME", required = true, hide = true)]
    name: ContainerName,
}

impl Arguments for Rename {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        engine.rename(&engine.find(&self.container)?, &self.name)?;
        Ok(0)
    }
}
