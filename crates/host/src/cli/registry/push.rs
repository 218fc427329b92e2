//! `berth push`: sends images to registries.

use super::sending::{Part, Sending};
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Push>(
    "push",
    Group::Images,
    "Send images, artifacts, or a wasm file, to a registry",
    "[OPTIONS] NAME[:TAG]|IMAGE|FILE.wasm [DESTINATION]",
)
.examples(
    "berth push registry.example.com/team/app:1\n\
     berth push app registry.example.com/team/app:1\n\
     berth push ./app.wasm registry.example.com/team/app:1\n\
     berth push --format wasm app registry.example.com/team/app:1",
)
.refusing(&[
    (
        "--disable-content-trust",
        "digests are always verified; leave it away",
    ),
    ("--sign-by", "sign it with cosign after the push"),
    ("--sign-by-sigstore", "sign it with cosign after the push"),
    (
        "--encryption-key",
        "layers cannot be encrypted; leave it away",
    ),
    (
        "--encrypt-layer",
        "layers cannot be encrypted; leave it away",
    ),
]);

/// The flags of `push`.
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    #[command(flatten)]
    sending: Sending,
    /// Push every name of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Of images for several platforms, push this one alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// wasm: push the program of a wasm image alone, as an artifact
    #[arg(long, value_name = "wasm", value_parser = manifest_format)]
    format: Option<()>,
}

impl Arguments for Push {
    fn run(self, context: &Context) -> Outcome {
        let part = Part {
            all_tags: self.all_tags,
            platform: self.platform,
            program: self.format.is_some(),
        };
        self.sending.run(context, &part)
    }
}

fn manifest_format(text: &str) -> Result<(), String> {
    match text {
        "wasm" => Ok(()),
        _ => Err("an image keeps its manifest's type; leave it away, or say wasm".into()),
    }
}
