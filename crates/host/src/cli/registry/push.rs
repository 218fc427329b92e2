//! `berth push`: sends images to registries.

use berth_image::DocumentStyle;

use super::sending::{Part, Sending, document_style, wasm_file};
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
     berth push --format v2s2 app registry.example.com/team/app:1\n\
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
    /// oci or v2s2: describe it with OCI's or Docker's documents; wasm: push the program of a wasm image
    /// alone, as an artifact
    #[arg(short, long, value_name = "FORMAT", value_parser = manifest_format)]
    format: Option<Format>,
}

impl Push {
    /// The name of what is pushed, unless it is a file or a repository.
    pub(crate) fn named(&self) -> Option<&str> {
        let image = self.sending.image();
        (!self.all_tags && wasm_file(image).is_none()).then_some(image)
    }
}

impl Arguments for Push {
    fn run(self, context: &Context) -> Outcome {
        let part = Part {
            all_tags: self.all_tags,
            platform: self.platform,
            program: self.format == Some(Format::Program),
            style: match self.format {
                Some(Format::Documents(style)) => Some(style),
                Some(Format::Program) | None => None,
            },
        };
        self.sending.run(context, &part)
    }
}

/// What `--format` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Documents(DocumentStyle),
    Program,
}

fn manifest_format(text: &str) -> Result<Format, String> {
    match (text, document_style(text)) {
        ("wasm", _) => Ok(Format::Program),
        (_, Some(style)) => Ok(Format::Documents(style)),
        _ => Err("use oci, v2s2 or wasm".into()),
    }
}
