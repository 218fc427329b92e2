//! `berth manifest inspect`: a list, or an image's manifest, as it is.

use berth_contract::{Class, Error, Result};
use berth_image::Store;
use serde_json::{Value, json};

use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Inspect>(
    "inspect",
    Group::Images,
    "Print a list, or the manifest of an image that is here",
    "[OPTIONS] LIST|IMAGE",
)
.refusing(&[super::INSECURE]);

/// The flags of `manifest inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The list or image
    #[arg(value_name = "LIST|IMAGE", required = true, hide = true)]
    name: String,
    /// Print the manifests of a list as well
    #[arg(short, long)]
    verbose: bool,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let store = context.engine()?.store();
        let document = read(&store, &self.name).map_err(super::missing)?;
        let shown = match document["manifests"].as_array() {
            Some(entries) if self.verbose => {
                let entries = entries
                    .iter()
                    .map(|entry| verbose(&store, &self.name, entry));
                Value::Array(entries.collect())
            }
            _ => document,
        };
        let text = serde_json::to_string_pretty(&shown).map_err(|error| {
            Error::new(Class::Internal, "cannot write the document").caused_by(error)
        })?;
        context.screen.data(&(text + "\n"))?;
        Ok(0)
    }
}

fn read(store: &Store, name: &str) -> Result<Value> {
    let bytes = store.document_bytes(name)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(
            Class::Internal,
            format!("the manifest of {name} is damaged"),
        )
        .caused_by(error)
    })
}

/// An entry with its manifest, if that is here.
fn verbose(store: &Store, list: &str, entry: &Value) -> Value {
    let digest = entry["digest"].as_str().unwrap_or_default();
    let manifest = read(store, digest).unwrap_or(Value::Null);
    json!({ "Ref": format!("{list}@{digest}"), "Descriptor": entry, "Manifest": manifest })
}
