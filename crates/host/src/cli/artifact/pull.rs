//! `berth artifact pull`: fetches artifacts from registries.

use berth_image::PullOptions;

use crate::cli::progress::{PullProgress, Style};
use crate::cli::pull::first;
use crate::cli::registry::{RegistryFlags, access};
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Pull>(
    "pull",
    Group::Images,
    "Fetch an artifact from its registry",
    "[OPTIONS] NAME[:TAG|@DIGEST]",
)
.examples("berth artifact pull registry.example.com/team/model:1");

/// The flags of `artifact pull`.
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// The artifact
    #[arg(value_name = "NAME[:TAG|@DIGEST]", required = true, hide = true)]
    name: String,
    /// Of artifacts for several platforms, take this one
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Print the digest alone
    #[arg(short, long)]
    quiet: bool,
    /// How to show the progress
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    progress: Style,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Arguments for Pull {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let options = PullOptions {
            platform: self.platform.as_deref().map(str::parse).transpose()?,
            access: access(context, &self.registry, [&self.name])?,
            ..PullOptions::default()
        };
        let style = if self.quiet {
            Style::None
        } else {
            self.progress
        };
        let candidates = options.access.candidates(&self.name)?;
        let progress = PullProgress::new(context.screen, style);
        let pulled = first(&candidates, |reference| {
            engine.pull_artifact(reference, &options, &progress)
        });
        let (reference, digest) = pulled.inspect_err(|_| progress.clear())?;
        progress.finish(&format!("Pulled {}", reference.familiar()));
        context.screen.data(&format!("{}\n", digest.hex()))?;
        Ok(0)
    }
}
