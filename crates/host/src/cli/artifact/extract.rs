//! `berth artifact extract`: copies an artifact's files out.

use std::path::PathBuf;

use berth_image::ArtifactFile;

use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Extract>(
    "extract",
    Group::Images,
    "Copy the files of an artifact into a directory, or one to a file",
    "[OPTIONS] ARTIFACT PATH",
)
.examples(
    "berth artifact extract registry.example.com/team/model:1 .\n\
     berth artifact extract --title model.gguf registry.example.com/team/model:1 /tmp/m",
);

/// The flags of `artifact extract`.
#[derive(Debug, clap::Args)]
pub(crate) struct Extract {
    /// The artifact, by name or digest
    #[arg(value_name = "ARTIFACT", required = true, hide = true)]
    name: String,
    /// A directory that is there, or a file
    #[arg(value_name = "PATH", required = true, hide = true)]
    path: PathBuf,
    /// Only the file with this digest
    #[arg(long, value_name = "DIGEST", conflicts_with = "title")]
    digest: Option<String>,
    /// Only the file of this name
    #[arg(long, value_name = "NAME")]
    title: Option<String>,
}

impl Arguments for Extract {
    fn run(self, context: &Context) -> Outcome {
        let which = match (&self.digest, &self.title) {
            (Some(digest), _) => ArtifactFile::Digest(digest),
            (None, Some(title)) => ArtifactFile::Title(title),
            (None, None) => ArtifactFile::All,
        };
        let engine = context.engine()?;
        engine.extract_artifact(&self.name, which, &self.path)?;
        Ok(0)
    }
}
