//! `berth artifact …`: files in registries that need be no image, as Podman has it.

mod add;
mod extract;
mod list;
mod pull;
mod push;

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use serde_json::{Value, json};

use super::document::Format;
use super::shared::named_or_all;
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb =
    Verb::family("artifact", Group::Images, "Manage OCI artifacts", VERBS);

const VERBS: &[Verb] = &[
    add::VERB,
    extract::VERB,
    INSPECT,
    list::VERB,
    pull::VERB,
    push::VERB,
    RM,
];

const INSPECT: Verb = Verb::new::<Inspect>(
    "inspect",
    Group::Images,
    "Print everything about an artifact",
    "[OPTIONS] ARTIFACT",
)
.examples("berth artifact inspect registry.example.com/team/model:1");

const RM: Verb = Verb::new::<Rm>(
    "rm",
    Group::Images,
    "Remove artifacts",
    "[OPTIONS] ARTIFACT [ARTIFACT...]",
)
.aliases(&["remove"])
.examples("berth artifact rm registry.example.com/team/model:1\nberth artifact rm --all");

/// The flags of `artifact inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The artifact, by name or digest
    #[arg(value_name = "ARTIFACT", required = true, hide = true)]
    name: String,
    #[command(flatten)]
    format: Format,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let document = document(&engine, &self.name)?;
        let pretty = serde_json::to_string_pretty(&document).map_err(|error| {
            Error::new(Class::Internal, "cannot write the document").caused_by(error)
        })?;
        self.format.print(context, document, || pretty + "\n")
    }
}

/// An artifact's manifest as it was received, which may say more than berth reads of it.
fn document(engine: &Engine, name: &str) -> Result<Value> {
    let artifact = engine.artifact(name)?;
    let bytes = engine.store().small_blob(&artifact.digest)?;
    let manifest: Value = serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the manifest of {name} is damaged");
        Error::new(Class::Internal, message).caused_by(error)
    })?;
    let first = artifact.names.first();
    Ok(json!({
        "Manifest": manifest,
        "Name": first.map_or_else(String::new, ToString::to_string),
        "Digest": artifact.digest,
    }))
}

/// The flags of `artifact rm`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Podman's flags")]
pub(crate) struct Rm {
    /// The artifacts, by name or digest
    #[arg(value_name = "ARTIFACT", hide = true)]
    names: Vec<String>,
    /// Remove every artifact
    #[arg(short, long)]
    all: bool,
    /// Remove a wasm artifact even if stopped containers use it
    #[arg(short, long)]
    force: bool,
    /// Do not mind artifacts that do not exist
    #[arg(short, long)]
    ignore: bool,
}

impl Arguments for Rm {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let names = named_or_all(("artifact rm", "ARTIFACT"), self.names, self.all, || {
            let artifacts = engine.artifacts()?.artifacts.into_iter();
            Ok(artifacts.map(|one| one.digest.to_string()).collect())
        })?;
        let (mut status, mut any) = (0, false);
        for name in &names {
            match engine.remove_artifact(name, self.force) {
                Ok(digest) => {
                    any = true;
                    context.screen.data(&format!("{}\n", digest.hex()))?;
                }
                Err(error) if self.ignore && error.class() == Class::NotFound => {}
                Err(error) => {
                    context.screen.fail(&error);
                    status = 1;
                }
            }
        }
        if any {
            engine.tidy_images()?;
        }
        Ok(status)
    }
}
