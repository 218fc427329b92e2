//! `berth manifest inspect`: a list, or an image's manifest, as it is.

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_image::{Reference, Store};
use serde_json::{Value, json};

use crate::cli::registry::{RegistryFlags, access};
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Inspect>(
    "inspect",
    Group::Images,
    "Print a list, or the manifest of an image, here or in its registry",
    "[OPTIONS] LIST|IMAGE",
);

/// The flags of `manifest inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The list or image
    #[arg(value_name = "LIST|IMAGE", required = true, hide = true)]
    name: String,
    /// Print the manifests of a list as well
    #[arg(short, long)]
    verbose: bool,
    /// Accept plain HTTP and unknown certificates
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let store = engine.store();
        let document = match read(&store, &self.name) {
            Err(error) if error.class() == Class::NotFound => {
                self.remote(context, &engine).map_err(super::missing)?
            }
            document => document?,
        };
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

impl Inspect {
    /// The document as the registry has it; nothing of it is kept here.
    fn remote(&self, context: &Context, engine: &Engine) -> Result<Value> {
        let mut access = access(context, &self.registry)?;
        access.insecure |= self.insecure;
        let reference = Reference::parse(&self.name)?;
        let remote = engine.remote_document(&reference, &access)?;
        serde_json::from_slice(&remote.bytes).map_err(|error| {
            let message = format!("the manifest of {} is damaged", self.name);
            Error::new(Class::Invalid, message).caused_by(error)
        })
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
