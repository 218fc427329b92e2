//! `berth import`: an image out of a tar of a root file system.

mod change;

use std::path::Path;

use berth_image::{ImportOptions, Reference};

use super::load::source;
use super::platform::PlatformFlags;
use super::pull::pull_options;
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Import>(
    "import",
    Group::Images,
    "Make an image of a tar of a root file system",
    "[OPTIONS] FILE|URL|- [NAME[:TAG]]",
)
.examples(
    "berth import root.tar.zst debian:bare\n\
     tar -C root -c . | berth import -c 'CMD [\"/bin/sh\"]' - mine",
);

/// The flags of `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The archive, its URL, or - for standard input; gzip, zstd, xz and bzip2 are recognised
    #[arg(value_name = "FILE|URL|-", required = true, hide = true)]
    file: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]", hide = true)]
    name: Option<String>,
    /// Apply an instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR
    /// (can be repeated)
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// What the image's history says
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    platform: PlatformFlags,
}

impl Arguments for Import {
    fn run(self, context: &Context) -> Outcome {
        let mut options = ImportOptions {
            name: self.name.as_deref().map(Reference::parse).transpose()?,
            message: self.message,
            platform: self.platform.platform()?,
            ..ImportOptions::default()
        };
        for instruction in &self.change {
            change::apply(&mut options.config, instruction)?;
        }
        let engine = context.engine()?;
        let image = if self.file.starts_with("http://") || self.file.starts_with("https://") {
            let archive = berth_image::download(&self.file, &pull_options(context)?)?;
            engine.import(archive, options)?
        } else {
            let archive = source(Some(Path::new(&self.file)), "berth import FILE")?;
            engine.import(archive, options)?
        };
        context.screen.data(&format!("{}\n", image.id()))?;
        Ok(0)
    }
}
