//! `berth manifest inspect`: a list, or an image's manifest, as it is.

use berth_contract::{Class, Digest, Error, Result};
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
        let (document, here) = match read(&store, &self.name) {
            Err(error) if error.class() == Class::NotFound => {
                (self.remote(context, &engine, None)?, false)
            }
            document => (document?, true),
        };
        let shown = match document["manifests"].as_array() {
            Some(entries) if self.verbose => {
                let entries = entries
                    .iter()
                    .map(|entry| self.verbose((context, &engine), entry, here));
                Value::Array(entries.collect::<Result<_>>()?)
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
    fn remote(&self, context: &Context, engine: &Engine, at: Option<&Reference>) -> Result<Value> {
        let named = Reference::parse(&self.name)?;
        let mut access = access(context, &self.registry, [named.to_string()])?;
        access.insecure |= self.insecure;
        let reference = at.cloned().unwrap_or(named);
        let remote = engine.remote_document(&reference, &access)?;
        serde_json::from_slice(&remote.bytes).map_err(|error| {
            let message = format!("the manifest of {reference} is damaged");
            Error::new(Class::Invalid, message).caused_by(error)
        })
    }

    /// An entry with its manifest: out of the list's registry, or as far as it can be told where it is.
    fn verbose(
        &self,
        (context, engine): (&Context, &Engine),
        entry: &Value,
        here: bool,
    ) -> Result<Value> {
        let text = entry["digest"].as_str().unwrap_or_default();
        let store = engine.store();
        let source = match (Reference::parse(&self.name), text.parse::<Digest>()) {
            (Ok(list), Ok(digest)) if here => {
                let source = store.source_of(&list, &digest)?;
                source.map(|source| source.at(&digest))
            }
            (Ok(list), Ok(digest)) => Some(list.at(&digest)),
            _ => None,
        };
        let manifest = match (read(&store, text), source) {
            (Err(_), Some(source)) => self.remote(context, engine, Some(&source))?,
            (manifest, _) => manifest.unwrap_or(Value::Null),
        };
        let reference = format!("{}@{text}", self.name);
        Ok(json!({ "Ref": reference, "Descriptor": entry, "Manifest": manifest }))
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
