//! `berth rmi`: removes images.

use berth_host::api::types::DeletedImage;

use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Rmi>(
    "rmi",
    Group::Images,
    "Remove images",
    "[OPTIONS] IMAGE [IMAGE...]",
)
.examples("berth rmi busybox:1.36\nberth rmi -f $(berth images -q)")
.refusing(&[
    (
        "--no-prune",
        "layers that nothing uses are always removed; leave --no-prune away",
    ),
    (
        "--platform",
        "remove the image by its id, which berth images shows for each platform",
    ),
]);

/// The flags of `rmi`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rmi {
    /// The images, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    names: Vec<String>,
    /// Remove it even if stopped containers use it or it has several names
    #[arg(short, long)]
    force: bool,
}

impl Arguments for Rmi {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let mut status = 0;
        for name in &self.names {
            match engine.remove_image(name, self.force) {
                Ok(removed) => context.screen.data(&lines(&removed))?,
                // As in Docker, -f makes an image that is not there no failure.
                Err(error) if self.force && error.class() == berth_contract::Class::NotFound => {
                    context.screen.fail(&error);
                }
                Err(error) => {
                    context.screen.fail(&error);
                    status = 1;
                }
            }
        }
        Ok(status)
    }
}

/// What was removed, as Docker prints it.
pub(crate) fn lines(removed: &[DeletedImage]) -> String {
    let line = |one: &DeletedImage| {
        if one.deleted.is_empty() {
            format!("Untagged: {}\n", one.untagged)
        } else {
            format!("Deleted: {}\n", one.deleted)
        }
    };
    removed.iter().map(line).collect()
}
