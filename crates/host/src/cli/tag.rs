//! `berth tag` and `berth untag`: names of images.

use berth_image::Reference;

use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Tag>(
    "tag",
    Group::Images,
    "Give an image further names",
    "IMAGE NAME[:TAG]...",
)
.examples("berth tag busybox registry.example.com/tools/busybox:1");

pub(crate) const UNTAG: Verb = Verb::new::<Untag>(
    "untag",
    Group::Images,
    "Take names of an image away, or all, and keep the image",
    "IMAGE [NAME[:TAG]...]",
)
.examples("berth untag app:1\nberth untag app:1 registry.example.com/app:1");

/// The arguments of `tag`.
#[derive(Debug, clap::Args)]
pub(crate) struct Tag {
    /// The image, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    image: String,
    /// Its further names
    #[arg(value_name = "NAME[:TAG]", required = true, hide = true)]
    names: Vec<String>,
}

impl Arguments for Tag {
    fn run(self, context: &Context) -> Outcome {
        let names = self.names.iter().map(|name| Reference::parse(name));
        // A name that is none is found before any is given.
        let names: Vec<Reference> = names.collect::<Result<_, _>>()?;
        let engine = context.engine()?;
        for name in &names {
            engine.tag(&self.image, name)?;
        }
        Ok(0)
    }
}

/// The arguments of `untag`.
#[derive(Debug, clap::Args)]
pub(crate) struct Untag {
    /// The image, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    image: String,
    /// The names; without any, all that it has
    #[arg(value_name = "NAME[:TAG]", hide = true)]
    names: Vec<String>,
}

impl Arguments for Untag {
    fn run(self, context: &Context) -> Outcome {
        let names = self.names.iter().map(|name| Reference::parse(name));
        let names: Vec<Reference> = names.collect::<Result<_, _>>()?;
        context.engine()?.untag(&self.image, &names)?;
        Ok(0)
    }
}
