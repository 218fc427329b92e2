//! `berth rmi`: removes images.

use berth_contract::{Class, Result};
use berth_host::Engine;
use berth_host::api::types::DeletedImage;

use super::load::platforms;
use super::shared::named_or_all;
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Rmi>(
    "rmi",
    Group::Images,
    "Remove images",
    "[OPTIONS] IMAGE [IMAGE...]",
)
.examples(
    "berth rmi busybox:1.36\n\
     berth rmi -f $(berth images -q)\n\
     berth rmi --platform wasi/wasm app",
);

/// The flags of `rmi`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's and Podman's flags")]
pub(crate) struct Rmi {
    /// The images, by name or id
    #[arg(value_name = "IMAGE", hide = true)]
    names: Vec<String>,
    /// Remove every image
    #[arg(short, long)]
    all: bool,
    /// Remove it even if stopped containers use it or it has several names
    #[arg(short, long)]
    force: bool,
    /// Do not mind images that do not exist
    #[arg(short, long)]
    ignore: bool,
    /// Keep parents without a name; berth never removes an image that was not named
    #[arg(long)]
    no_prune: bool,
    /// Remove only what the image has for this platform (can be repeated)
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<String>,
}

impl Arguments for Rmi {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let platforms = platforms(&self.platform)?;
        let names = named_or_all(("rmi", "IMAGE"), self.names, self.all, || {
            all_names(&engine)
        })?;
        let (mut status, mut any) = (0, false);
        for name in &names {
            match engine.remove_image(name, &platforms, self.force) {
                Ok(removed) => {
                    any = true;
                    context.screen.data(&lines(&removed))?;
                }
                Err(error) if self.ignore && error.class() == Class::NotFound => {}
                // As in Docker, -f makes an image that is not there no failure.
                Err(error) if self.force && error.class() == Class::NotFound => {
                    context.screen.fail(&error);
                }
                Err(error) => {
                    context.screen.fail(&error);
                    status = 1;
                }
            }
        }
        if any {
            engine.tidy_images()?;
        }
        Ok(status)
    }
}

/// Every name there is, and the ids of images without one.
fn all_names(engine: &Engine) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for image in engine.images()?.images {
        match image.repo_tags.is_empty() {
            true => names.push(image.id),
            // An image for several platforms is listed several times.
            false => names.extend(
                image
                    .repo_tags
                    .into_iter()
                    .filter(|name| !names.contains(name))
                    .collect::<Vec<_>>(),
            ),
        }
    }
    Ok(names)
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
