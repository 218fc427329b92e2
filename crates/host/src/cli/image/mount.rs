//! `berth image mount` and `unmount`: an image's files, for programs of the host.

use berth_contract::{Class, Error};

use crate::cli::shared::answer_each;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const MOUNT: Verb = Verb::new::<Mount>(
    "mount",
    Group::Images,
    "Mount images read-only on the host and print where",
    "[OPTIONS] [IMAGE...]",
)
.examples("ls $(berth image mount busybox)\nberth image mount");

pub(crate) const UNMOUNT: Verb = Verb::new::<Unmount>(
    "unmount",
    Group::Images,
    "Take those mounts away",
    "[OPTIONS] [IMAGE...]",
)
.aliases(&["umount"]);

/// The arguments of `image mount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Mount {
    /// Every image
    #[arg(short, long)]
    all: bool,
    /// The images; without any, those that are mounted are listed
    #[arg(value_name = "IMAGE", hide = true)]
    images: Vec<String>,
}

impl Arguments for Mount {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let mut names = self.images;
        if self.all {
            let listed = engine.store().list()?.images;
            names.extend(listed.iter().map(|image| image.id().to_string()));
            // One that is here under several manifests is mounted once.
            names.sort();
            names.dedup();
        } else if names.is_empty() {
            for (id, place) in engine.mounted_images() {
                let line = format!("{} {}\n", id.short(), place.display());
                context.screen.data(&line)?;
            }
            return Ok(0);
        }
        answer_each(context, &names, |name| {
            let place = engine.mount_image(name)?;
            Ok(Some(place.display().to_string()))
        })
    }
}

/// The arguments of `image unmount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Unmount {
    /// Every image that is mounted
    #[arg(short, long)]
    all: bool,
    /// Kept for scripts: mounts are taken away at once anyway
    #[arg(short, long, hide = true)]
    force: bool,
    /// The images
    #[arg(value_name = "IMAGE", hide = true)]
    images: Vec<String>,
}

impl Arguments for Unmount {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let mut names = self.images;
        if self.all {
            let mounted = engine.mounted_images().into_iter();
            names.extend(mounted.map(|(id, _)| id.to_string()));
        } else if names.is_empty() {
            return Err(
                Error::new(Class::Invalid, "berth image unmount needs IMAGE")
                    .hint("name images, or use --all"),
            );
        }
        answer_each(context, &names, |name| {
            match engine.unmount_image(name)? {
                true => Ok(Some(name.to_owned())),
                false => Err(
                    Error::new(Class::Conflict, format!("image {name} is not mounted"))
                        .hint("berth image mount lists those that are"),
                ),
            }
        })
    }
}
