//! `berth manifest push`: sends a list with its images to a registry.

use berth_image::{DocumentStyle, Reference};

use crate::cli::registry::{Part, Sending, document_style};
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
    sending: Sending,
    /// Remove the list here when it is there
    #[arg(short, long, visible_alias = "rm")]
    purge: bool,
    /// Accepted for Podman's sake: the images of a list always go with it
    #[arg(long)]
    all: bool,
    /// oci or v2s2: describe it and its images with OCI's or Docker's documents
    #[arg(short, long, value_name = "FORMAT", value_parser = list_format)]
    format: Option<DocumentStyle>,
    /// Accept plain HTTP and unknown certificates
    #[arg(long)]
    insecure: bool,
}

impl Arguments for PushList {
    fn run(mut self, context: &Context) -> Outcome {
        let name = Reference::parse(self.sending.image())?;
        let store = context.engine()?.writable_store()?;
        store.list_named(&name)?;
        if self.insecure {
            self.sending.trust_anybody();
        }
        let part = Part {
            style: self.format,
            ..Part::default()
        };
        let status = self.sending.run(context, &part)?;
        if self.purge {
            store.remove_list(&name)?;
        }
        Ok(status)
    }
}

fn list_format(text: &str) -> Result<DocumentStyle, String> {
    document_style(text).ok_or_else(|| "use oci or v2s2".into())
}
