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
pub mod media;

use std::collections::BTreeMap;

use berth_contract::{Class, Digest, Error, Result};
use serde::{Deserialize, Serialize};

pub use config::{Configuration, ContainerConfig, Empty, HealthCheck, History, RootFs};

use crate::platform::Platform;

/// Largest manifest or index accepted; registries refuse larger ones too (distribution-spec).
pub const MANIFEST_LIMIT: u64 = 4 << 20;
/// Largest config accepted (CVE-2023-25153).
pub const CONFIG_LIMIT: u64 = 8 << 20;
/// More entries than any real index or manifest has.
const ENTRIES_LIMIT: usize = 2000;

/// Names a blob: what it is, its digest and its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// In an index: what the entry is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free-form notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What kind of artifact a manifest describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor of nothing but type, digest and size.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
            artifact_type: None,
        }
    }

    /// Whether it names a manifest or an index, as far as its media type tells.
    pub(crate) fn is_document(&self) -> bool {
        let kind = self.media_type.as_str();
        kind.is_empty() || media::is_manifest(kind) || media::is_index(kind)
    }

    /// Whether the entry only speaks about another entry (provenance, SBOM) and cannot be run.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "unknown")
    }
}

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
    /// Free-form notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a reference may lead to.
#[expect(
    clippy::large_enum_variant,
    reason = "documents are read one at a time"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

/// The keys that tell the kinds of documents apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a manifest or an index; `announced` is what a `Content-Type` or descriptor called it.
    ///
    /// # Errors
    /// Class `Invalid` for what is neither, is both, or is not what it was announced as; `Unsupported` for
    /// Docker's schema 1.
    pub fn parse(bytes: &[u8], announced: Option<&str>) -> Result<Self> {
        check_size(bytes, MANIFEST_LIMIT, "image manifest")?;
        let shape: Shape = from_json(bytes, "image manifest")?;
        if shape.schema_version == 1 {
            return Err(
                Error::new(Class::Unsupported, "cannot use a Docker schema 1 manifest")
                    .hint("push the image again with a tool of the last ten years"),
            );
        }
        let lists = shape.manifests.is_some();
        let images = shape.layers.is_some() || shape.config.is_some();
        if lists == images {
            let reason = if lists {
                "it lists manifests and layers at once"
            } else {
                "it lists neither"
            };
            return Err(
                Error::new(Class::Invalid, "cannot use the image manifest").caused_by(reason)
            );
        }
        let expected = |kind: &str| {
            if lists {
                media::is_index(kind)
            } else {
                media::is_manifest(kind)
            }
        };
        for kind in [shape.media_type.as_deref(), announced]
            .into_iter()
            .flatten()
        {
            if (media::is_index(kind) || media::is_manifest(kind)) && !expected(kind) {
                let reason = format!("its content is not the {kind} it is called");
                return Err(
                    Error::new(Class::Invalid, "cannot use the image manifest").caused_by(reason)
                );
            }
        }
        if let (Some(own), Some(announced)) = (&shape.media_type, announced)
            && (media::is_index(announced) || media::is_manifest(announced))
            && own != announced
        {
            let reason = format!("it calls itself {own} but was announced as {announced}");
            return Err(
                Error::new(Class::Invalid, "cannot use the image manifest").caused_by(reason)
            );
        }
        let document = if lists {
            Self::Index(from_json(bytes, "image index")?)
        } else {
            Self::Manifest(from_json(bytes, "image manifest")?)
        };
        if document.entries().len() > ENTRIES_LIMIT {
            let reason = format!("it has more than {ENTRIES_LIMIT} entries");
            return Err(
                Error::new(Class::Invalid, "cannot use the image manifest").caused_by(reason)
            );
        }
        Ok(document)
    }

    /// The media type to store it under.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Manifest(manifest) => manifest.media_type(),
            Self::Index(index) => index.media_type(),
        }
    }

    fn entries(&self) -> &[Descriptor] {
        match self {
            Self::Manifest(manifest) => &manifest.layers,
            Self::Index(index) => &index.manifests,
        }
    }
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
            annotations: BTreeMap::new(),
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

impl Configuration {
    /// Reads an image config, or the config of a wasm artifact (the common fields have the same names).
    ///
    /// # Errors
    /// Class `Invalid`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        check_size(bytes, CONFIG_LIMIT, "image config")?;
        from_json(bytes, "image config")
    }

    /// What it runs on, if it says so; configs of old wasm tools do not.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let known = !self.os.is_empty() && !self.architecture.is_empty();
        known.then(|| Platform {
            variant: self.variant.clone(),
            ..Platform::new(&self.os, &self.architecture)
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    #[test]
    fn documents_are_what_they_say_or_are_refused() {
        let config = format!(
            r#"{{"mediaType":"{}","digest":"{}","size":2}}"#,
            media::OCI_CONFIG,
            digest('a')
        );
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(
            Document::parse(manifest.as_bytes(), None),
            Ok(Document::Manifest(_))
        ));
        assert!(matches!(
            Document::parse(index.as_bytes(), None),
            Ok(Document::Index(_))
        ));
        assert!(matches!(
            Document::parse(index.as_bytes(), Some("application/json")),
            Ok(Document::Index(_))
        ));
        let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#);
        let mislabelled = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[]}}"#,
            media::OCI_INDEX
        );
        let docker = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[]}}"#,
            media::DOCKER_MANIFEST
        );
        let refused: [(&str, Option<&str>); 8] = [
            (&both, None),
            (&mislabelled, None),
            (&manifest, Some(media::OCI_INDEX)),
            (index, Some(media::OCI_MANIFEST)),
            (&docker, Some(media::OCI_MANIFEST)),
            (r#"{"schemaVersion":2}"#, None),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, None),
            ("[]", None),
        ];
        for (text, announced) in refused {
            assert!(
                Document::parse(text.as_bytes(), announced).is_err(),
                "{text}"
            );
        }
        let bad_digest = manifest.replace(&digest('a'), "sha256:../../x");
        assert!(Document::parse(bad_digest.as_bytes(), None).is_err());
    }

    #[test]
    fn oversized_documents_are_refused_unread() {
        let huge = vec![b' '; usize::try_from(MANIFEST_LIMIT).unwrap() + 1];
        assert!(
            Document::parse(&huge, None)
                .unwrap_err()
                .to_string()
                .contains("manifest")
        );
    }

    #[test]
    fn attestations_are_not_images() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[
            {{"mediaType":"{0}","digest":"{1}","size":1,"platform":{{"os":"unknown","architecture":"unknown"}}}},
            {{"mediaType":"{0}","digest":"{2}","size":1,"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
            media::OCI_MANIFEST,
            digest('a'),
            digest('b')
        );
        let Document::Index(index) = Document::parse(text.as_bytes(), None).unwrap() else {
            panic!()
        };
        assert_eq!(index.images(&Platform::host()).count(), 1);
    }

    #[test]
    fn artifacts_are_told_from_images() {
        const EMPTY: &str = "application/vnd.oci.empty.v1+json";
        let manifest = |config: &str, layers: &[&str], about: bool| {
            let described = |kind: &str| Descriptor::new(kind, digest('a').parse().unwrap(), 2);
            Manifest {
                schema_version: 2,
                media_type: media::OCI_MANIFEST.into(),
                artifact_type: about.then(|| "application/x".into()),
                config: described(config),
                layers: layers.iter().map(|kind| described(kind)).collect(),
                subject: about.then(|| described(media::OCI_MANIFEST)),
                annotations: BTreeMap::new(),
            }
        };
        let images = [
            manifest(media::OCI_CONFIG, &[], false),
            manifest(media::DOCKER_CONFIG, &[media::DOCKER_LAYER_GZIP], false),
            manifest(media::OCI_CONFIG, &[media::OCI_LAYER_ZSTD], false),
            manifest(media::WASM_CONFIG, &[media::WASM_LAYER], false),
            // What `oras push app.wasm` and `podman artifact add` make.
            manifest(EMPTY, &[media::WASM_LAYER], false),
        ];
        for image in &images {
            assert!(!image.is_artifact(), "{image:?}");
        }
        let artifacts = [
            manifest(EMPTY, &[EMPTY], false),
            manifest(EMPTY, &[], true),
            manifest(media::OCI_CONFIG, &[media::OCI_LAYER], true),
            // cosign's signatures and BuildKit's attestations.
            manifest(
                media::OCI_CONFIG,
                &["application/vnd.dev.cosign.simplesigning.v1+json"],
                false,
            ),
            manifest(media::OCI_CONFIG, &["application/vnd.in-toto+json"], false),
            manifest(
                "application/vnd.cncf.helm.config.v1+json",
                &["application/vnd.cncf.helm.chart.content.v1.tar+gzip"],
                false,
            ),
        ];
        for artifact in &artifacts {
            assert!(artifact.is_artifact(), "{artifact:?}");
        }
    }
}
