//! Bytes that are a manifest or an index, and never both.

use berth_contract::{Class, Error, Result};
use serde::Deserialize;

use super::{Descriptor, Index, MANIFEST_LIMIT, Manifest, check_size, from_json, media};

/// More entries than any real index or manifest has.
const ENTRIES_LIMIT: usize = 2000;

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
