//! Manifests, indexes and configs: bytes in, checked structures out.
//!
//! ```text
//!  index (or Docker manifest list) ──► manifest, one per platform ──► config
//!                                                            └──────► layers
//! ```
//!
//! Everything is capped in size and refused when it could be read in two ways (CVE-2021-41190). Fields
//! nobody here needs are ignored, so that documents of later versions of the specifications still read.

mod config;
mod descriptor;
mod document;
pub mod media;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use berth_contract::{Class, Digest, Error, Result};
use serde::{Deserialize, Serialize};

pub use config::{Configuration, ContainerConfig, Empty, HealthCheck, History, RootFs};
pub use descriptor::Descriptor;
pub use document::Document;

use crate::platform::Platform;

/// Largest manifest or index accepted; registries refuse larger ones too (distribution-spec).
pub const MANIFEST_LIMIT: u64 = 4 << 20;
/// Largest config accepted (CVE-2023-25153).
pub const CONFIG_LIMIT: u64 = 8 << 20;

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// OCI's or Docker's type of a manifest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// What kind of artifact this is, when its config does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// The layers, bottom first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index, or the `index.json` of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// OCI's type of an index or Docker's of a manifest list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The entries, in order of preference.
    pub manifests: Vec<Descriptor>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// The media type to store it under.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self.media_type.as_str() {
            "" => media::OCI_MANIFEST,
            known => known,
        }
    }

    /// Whether it describes something else than an image: a signature, a chart, a bill of materials.
    ///
    /// Whatever holds a wasm module is an image, however the tool that made it called it.
    #[must_use]
    pub fn is_artifact(&self) -> bool {
        let config = self.config.media_type.as_str();
        let is = |known: fn(&str) -> bool| {
            let mut types = self.layers.iter().map(|layer| layer.media_type.as_str());
            types.any(known)
        };
        if is(media::is_module) || media::is_wasm_config(config) {
            return false;
        }
        let says = self.artifact_type.is_some() && self.subject.is_some();
        match self.layers.is_empty() {
            true => says || !media::is_image_config(config),
            false => says || !(is(media::is_archive) || is(media::is_foreign)),
        }
    }
}

impl Index {
    /// The media type to store it under.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self.media_type.as_str() {
            "" => media::OCI_INDEX,
            known => known,
        }
    }

    /// An index of these entries.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: media::OCI_INDEX.to_owned(),
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Makes entries name what they have become, and what speaks about an entry go on speaking about it.
    pub(crate) fn repoint(&mut self, renewed: &BTreeMap<Digest, Descriptor>) {
        for entry in &mut self.manifests {
            if let Some(new) = renewed.get(&entry.digest) {
                entry.media_type.clone_from(&new.media_type);
                entry.digest = new.digest.clone();
                entry.size = new.size;
            }
            for value in entry.annotations.values_mut() {
                let about = value.parse::<Digest>().ok();
                if let Some(new) = about.and_then(|digest| renewed.get(&digest)) {
                    *value = new.digest.to_string();
                }
            }
        }
    }

    /// The entries that are images, with their platforms; those without one are taken to be the host's.
    pub fn images<'a>(
        &'a self,
        host: &'a Platform,
    ) -> impl Iterator<Item = (&'a Platform, &'a Descriptor)> + Clone {
        let images = self.manifests.iter().filter(|entry| {
            !entry.is_attestation()
                && (entry.media_type.is_empty() || media::is_manifest(&entry.media_type))
        });
        images.map(move |entry| (entry.platform.as_ref().unwrap_or(host), entry))
    }
}

fn check_size(bytes: &[u8], limit: u64, what: &str) -> Result<()> {
    if bytes.len() as u64 <= limit {
        return Ok(());
    }
    let reason = format!("{} bytes are more than the {limit} allowed", bytes.len());
    Err(Error::new(Class::Invalid, format!("cannot use the {what}")).caused_by(reason))
}

fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(Class::Invalid, format!("cannot use the {what}")).caused_by(error)
    })
}

/// Writes a document; these types cannot fail to become JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
