//! `berth buildx imagetools inspect`: what a registry has under a name.

use std::collections::BTreeMap;

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_host::format::listing::unparsable;
use berth_host::format::{Record, Template};
use berth_image::documents::{Document, Index};
use berth_image::{Access, BlobSource, Descriptor, Reference, RemoteDocument};
use serde_json::{Map, Value, json};

use crate::cli::registry::{RegistryFlags, access};
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Inspect>(
    "inspect",
    Group::Images,
    "Print what a registry has under a name",
    "[OPTIONS] NAME",
)
.examples(
    "berth buildx imagetools inspect alpine\n\
     berth buildx imagetools inspect --raw alpine:3.22\n\
     berth buildx imagetools inspect --format '{{json .Image}}' alpine",
);

/// Of the largest config that is read.
const CONFIG_LIMIT: u64 = berth_image::documents::CONFIG_LIMIT;

/// The flags of `buildx imagetools inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The image
    #[arg(value_name = "NAME", required = true, hide = true)]
    name: String,
    /// Print json, or what a Go template makes of Name, Manifest and Image
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Print the document as the registry has it
    #[arg(long, conflicts_with = "format")]
    raw: bool,
    /// For scripts: there is one builder
    #[arg(long, hide = true, value_name = "default", value_parser = crate::cli::build::builder)]
    builder: Option<()>,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let access = access(context, &self.registry)?;
        let reference = Reference::parse(&self.name)?;
        let engine = context.engine()?;
        let template = match self.format.as_str() {
            "" | "json" | "{{.Manifest}}" => None,
            text => Some(Template::parse(text).map_err(|error| unparsable(text, error))?),
        };
        let remote = engine.remote_document(&reference, &access)?;
        if self.raw {
            context.screen.bytes(&remote.bytes)?;
            return Ok(0);
        }
        let text = match (template, self.format.as_str()) {
            (None, "json") => pretty(&document(&engine, &reference, &remote, &access)?)? + "\n",
            (None, _) => overview(&reference, &remote),
            (Some(template), text) => {
                let document = document(&engine, &reference, &remote, &access)?;
                let rendered = template.render(&Record::new(document));
                rendered.map_err(|error| unparsable(text, error))? + "\n"
            }
        };
        context.screen.data(&text)?;
        Ok(0)
    }
}

fn pretty(document: &Value) -> Result<String> {
    serde_json::to_string_pretty(document)
        .map_err(|error| Error::new(Class::Internal, "cannot write the document").caused_by(error))
}

/// Docker's lines.
fn overview(reference: &Reference, remote: &RemoteDocument) -> String {
    let descriptor = &remote.descriptor;
    let mut text = format!(
        "Name:      {reference}\nMediaType: {}\nDigest:    {}\n",
        descriptor.media_type, descriptor.digest
    );
    let Document::Index(index) = &remote.document else {
        return text;
    };
    text.push_str(&notes("", &index.annotations));
    text.push_str("           \nManifests: \n");
    for (position, entry) in index.manifests.iter().enumerate() {
        if position > 0 {
            text.push_str("             \n");
        }
        text.push_str(&format!(
            "  Name:      {}@{}\n  MediaType: {}\n",
            reference, entry.digest, entry.media_type
        ));
        if let Some(platform) = &entry.platform {
            text.push_str(&format!("  Platform:  {platform}\n"));
        }
        text.push_str(&notes("  ", &entry.annotations));
    }
    text
}

fn notes(indent: &str, annotations: &BTreeMap<String, String>) -> String {
    if annotations.is_empty() {
        return String::new();
    }
    let lines = annotations.iter();
    let lines = lines.map(|(key, value)| format!("{indent}  {key}: {value}\n"));
    format!("{indent}Annotations: \n{}", lines.collect::<String>())
}

/// `Name`, `Manifest` and `Image`, as templates name them.
fn document(
    engine: &Engine,
    reference: &Reference,
    remote: &RemoteDocument,
    access: &Access,
) -> Result<Value> {
    let descriptor = &remote.descriptor;
    let mut manifest = json!({
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    });
    let place = BlobSource::Repository {
        reference: reference.clone(),
        access: Box::new(access.clone()),
    };
    let image = match &remote.document {
        Document::Manifest(single) => config(&place, &single.config)?,
        Document::Index(index) => {
            manifest["schemaVersion"] = 2.into();
            manifest["manifests"] = json!(index.manifests);
            if !index.annotations.is_empty() {
                manifest["annotations"] = json!(index.annotations);
            }
            let inner = |entry: &Descriptor| {
                let at = reference.at(&entry.digest);
                engine.remote_document(&at, access)
            };
            Value::Object(images(index, &place, &inner)?)
        }
    };
    Ok(json!({ "Name": reference.to_string(), "Manifest": manifest, "Image": image }))
}

/// The configs of an index, by platform.
fn images(
    index: &Index,
    place: &BlobSource,
    inner: &dyn Fn(&Descriptor) -> Result<RemoteDocument>,
) -> Result<Map<String, Value>> {
    let mut images = Map::new();
    for entry in index
        .manifests
        .iter()
        .filter(|entry| !entry.is_attestation())
    {
        if let Document::Manifest(manifest) = inner(entry)?.document
            && let Some(platform) = &entry.platform
        {
            images.insert(platform.to_string(), config(place, &manifest.config)?);
        }
    }
    Ok(images)
}

fn config(place: &BlobSource, config: &Descriptor) -> Result<Value> {
    let bytes = place.blob(&config.digest, CONFIG_LIMIT)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the config {} is no JSON", config.digest.short());
        Error::new(Class::Invalid, message).caused_by(error)
    })
}
