//! `berth buildx imagetools inspect`: what a registry has under a name.

use std::collections::BTreeMap;

use berth_contract::{Class, Digest, Error, Result};
use berth_host::Engine;
use berth_host::format::listing::unparsable;
use berth_host::format::{Record, Template};
use berth_image::attestation::{Predicate, STATEMENT_LIMIT, predicates};
use berth_image::documents::{Document, Index};
use berth_image::{Access, BlobSource, Descriptor, Reference, RemoteDocument};
use serde_json::{Map, Value, json};

use crate::cli::failure::{escape, escape_but};
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
     berth buildx imagetools inspect --format '{{json .Image}}' alpine\n\
     berth buildx imagetools inspect --format '{{json .Provenance}}' example.com/app:1",
);

/// Fields that are statements about images.
const STATEMENTS: [(&str, Predicate); 2] = [
    ("Provenance", Predicate::Provenance),
    ("SBOM", Predicate::Materials),
];

/// Of the largest config that is read.
const CONFIG_LIMIT: u64 = berth_image::documents::CONFIG_LIMIT;

/// The flags of `buildx imagetools inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The image
    #[arg(value_name = "NAME", required = true, hide = true)]
    name: String,
    /// Print json, or what a Go template makes of Name, Manifest, Image, Provenance and SBOM
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
        let reference = Reference::parse(&self.name)?;
        let access = access(context, &self.registry, [reference.to_string()])?;
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
                let mut document = document(&engine, &reference, &remote, &access)?;
                // They are fetched only for whoever asks for them.
                for (field, kind) in STATEMENTS {
                    if text.contains(field) {
                        let told = statements(&engine, &reference, (&remote, kind), &access)?;
                        document[field] = told;
                    }
                }
                let rendered = template.render(&Record::new(document));
                let rendered = rendered.map_err(|error| unparsable(text, error))?;
                escape_but(&rendered, &['\n', '\t']) + "\n"
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
        escape(&descriptor.media_type),
        descriptor.digest
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
            reference,
            entry.digest,
            escape(&entry.media_type)
        ));
        if let Some(platform) = &entry.platform {
            let platform = escape(&platform.to_string());
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
    let lines = lines.map(|(key, value)| format!("{indent}  {}: {}\n", escape(key), escape(value)));
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
    let place = place(reference, access);
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
            one_or_all(images(index, &place, &inner)?)
        }
    };
    Ok(json!({ "Name": reference.to_string(), "Manifest": manifest, "Image": image }))
}

fn place(reference: &Reference, access: &Access) -> BlobSource {
    BlobSource::Repository {
        reference: reference.clone(),
        access: Box::new(access.clone()),
    }
}

/// Docker's rule: what there is for one platform alone needs no platform to be found.
fn one_or_all(mut by_platform: Map<String, Value>) -> Value {
    match by_platform.len() {
        0 | 1 => by_platform
            .values_mut()
            .next()
            .map_or_else(|| json!({}), Value::take),
        _ => Value::Object(by_platform),
    }
}

/// What an index says of this kind about its images, by platform.
fn statements(
    engine: &Engine,
    reference: &Reference,
    (remote, kind): (&RemoteDocument, Predicate),
    access: &Access,
) -> Result<Value> {
    let Document::Index(index) = &remote.document else {
        return Ok(json!({}));
    };
    let place = place(reference, access);
    let document = |entry: &Descriptor| {
        let at = reference.at(&entry.digest);
        engine
            .remote_document(&at, access)
            .map(|remote| remote.document)
    };
    let blob = |digest: &Digest| place.blob(digest, STATEMENT_LIMIT);
    let (mut all, mut platforms) = (Map::new(), 0);
    for entry in index
        .manifests
        .iter()
        .filter(|entry| !entry.is_attestation())
    {
        let Some(platform) = &entry.platform else {
            continue;
        };
        platforms += 1;
        let mut told = predicates(index, (&entry.digest, kind), &document, &blob)?;
        let value = match kind {
            Predicate::Provenance => told.pop().map(|last| json!({ "SLSA": last })),
            Predicate::Materials if told.is_empty() => None,
            Predicate::Materials => {
                let first = told.remove(0);
                Some(match told.is_empty() {
                    true => json!({ "SPDX": first }),
                    false => json!({ "SPDX": first, "AdditionalSPDXs": told }),
                })
            }
        };
        if let Some(value) = value {
            all.insert(platform.to_string(), value);
        }
    }
    Ok(match platforms {
        0 | 1 => one_or_all(all),
        _ => Value::Object(all),
    })
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
