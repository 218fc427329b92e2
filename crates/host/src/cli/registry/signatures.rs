//! The flags about signatures of images.

use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_image::PublicKey;

/// Which signatures an image must have.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SignatureFlags {
    /// Take the image only if it is signed: by cosign with --cosign-key, or none to ask for no signature
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        help_heading = "Registry options"
    )]
    verify: Option<Verify>,
    /// The public key that it must be signed with, as cosign.pub (can be repeated: any of them does)
    #[arg(long, value_name = "FILE", help_heading = "Registry options")]
    cosign_key: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Verify {
    None,
    Cosign,
}

impl SignatureFlags {
    /// The keys that count; none if no signature is asked for.
    ///
    /// # Errors
    /// The flags contradict each other, or a key cannot be used.
    pub(crate) fn keys(&self) -> Result<Vec<PublicKey>> {
        match (self.verify, self.cosign_key.as_slice()) {
            (Some(Verify::Cosign), []) => Err(Error::new(
                Class::Invalid,
                "cannot verify a signature without a key",
            )
            .hint("add --cosign-key cosign.pub")),
            (Some(Verify::Cosign), keys) => keys.iter().map(|path| PublicKey::read(path)).collect(),
            (None | Some(Verify::None), []) => Ok(Vec::new()),
            (None | Some(Verify::None), _) => Err(Error::new(
                Class::Invalid,
                "--cosign-key means nothing where no signature is verified",
            )
            .hint("add --verify cosign")),
        }
    }
}
