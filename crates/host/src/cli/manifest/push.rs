//! `berth manifest push`: sends a list with its images to a registry.

use berth_image::Reference;

use crate::cli::registry::Push;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<PushList>(
    "push",
    Group::Images,
    "Send a list with its images to a registry",
    "[OPTIONS] LIST [DESTINATION]",
)
.examples("berth manifest push registry.example.com/team/app:1");

/// The flags of `manifest push`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's and Podman's flags")]
pub(crate) struct PushList {
    #[command(flatten)]
    push: Push,
    /// Remove the list here when it is there
    #[arg(short, long)]
    purge: bool,
    /// Accepted for Podman's sake: the images of a list always go with it
    #[arg(long)]
    all: bool,
    /// Accept plain HTTP and unknown certificates
    #[arg(long)]
    insecure: bool,
}

impl Arguments for PushList {
    fn run(self, context: &Context) -> Outcome {
        let name = Reference::parse(self.push.image())?;
        let store = context.engine()?.writable_store()?;
        store.list_named(&name)?;
        let push = match self.insecure {
            true => self.push.unverified(),
            false => self.push,
        };
        let status = push.run(context)?;
        if self.purge {
            store.remove_list(&name)?;
        }
        Ok(status)
    }
}
