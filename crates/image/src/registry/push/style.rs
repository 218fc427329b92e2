//! The documents of a push as OCI or as Docker writes them; blobs stay, and so do the ids of images.

use std::collections::{BTreeMap, BTreeSet};

use berth_contract::{Class, Digest, Error, Result};

use super::documents::Documents;
use crate::convert::DocumentStyle;
use crate::documents::{Descriptor, Document, Index, Manifest, media, to_json};
use crate::store::sha256;

impl Documents {
    /// Describes every image so; artifacts stay what they are, which Docker's lists cannot hold.
    pub(super) fn describe(&mut self, style: DocumentStyle) -> Result<()> {
        if let Some(digest) = self.missing.first() {
            return Err(
                Error::new(Class::NotFound, "cannot describe the image otherwise")
                    .caused_by(format!("{digest}, which its index lists, is not here")),
            );
        }
        let mut known: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        let mut left_out = BTreeSet::new();
        for (descriptor, bytes) in &mut self.manifests {
            let described = match Document::parse(bytes, Some(&descriptor.media_type))? {
                Document::Manifest(own) => manifest(own, style)?.map(|new| to_json(&new)),
                Document::Index(own) => {
                    index(own, style, &known, &mut left_out)?.map(|new| to_json(&new))
                }
            };
            let old = descriptor.digest.clone();
            if let Some(text) = described {
                let kind = Document::parse(&text, None)?.media_type().to_owned();
                *descriptor = Descriptor::new(&kind, sha256(&text), text.len() as u64);
                *bytes = text.into();
            }
            known.insert(old, descriptor.clone());
        }
        self.manifests
            .retain(|(descriptor, _)| !left_out.contains(&descriptor.digest));
        Ok(())
    }
}

/// A manifest in this style; `None` for one that has it, and for artifacts.
fn manifest(mut own: Manifest, style: DocumentStyle) -> Result<Option<Manifest>> {
    let wasm = media::is_wasm_config(&own.config.media_type)
        || own
            .layers
            .iter()
            .any(|layer| media::is_module(&layer.media_type));
    if own.is_artifact() || wasm && style == DocumentStyle::Oci {
        return Ok(None);
    }
    let cannot = |reason: &str| {
        Error::new(
            Class::Invalid,
            "cannot describe the image with Docker's documents",
        )
        .caused_by(reason.to_owned())
    };
    if wasm {
        return Err(cannot("it is a wasm artifact").hint("leave --format away"));
    }
    let before = own.clone();
    for layer in &mut own.layers {
        let kind = layer.media_type.as_str();
        let kind = match style {
            DocumentStyle::Oci => media::as_oci(kind),
            DocumentStyle::Docker if kind == media::OCI_LAYER_ZSTD => {
                return Err(cannot("they know no layers compressed with zstd")
                    .hint("add --compression-format gzip --force-compression"));
            }
            DocumentStyle::Docker => media::as_docker(kind),
        };
        if let Some(kind) = kind {
            kind.clone_into(&mut layer.media_type);
        }
        if style == DocumentStyle::Docker {
            layer.annotations.clear();
        }
    }
    let (config, kind) = match style {
        DocumentStyle::Oci => (media::OCI_CONFIG, media::OCI_MANIFEST),
        DocumentStyle::Docker => (media::DOCKER_CONFIG, media::DOCKER_MANIFEST),
    };
    config.clone_into(&mut own.config.media_type);
    kind.clone_into(&mut own.media_type);
    if style == DocumentStyle::Docker {
        // Schema 2 has none of them.
        own.artifact_type = None;
        own.subject = None;
        own.annotations.clear();
    }
    Ok((own != before).then_some(own))
}

/// A list in this style, of what its entries have become; `None` for one that stays as it is.
fn index(
    mut own: Index,
    style: DocumentStyle,
    known: &BTreeMap<Digest, Descriptor>,
    left_out: &mut BTreeSet<Digest>,
) -> Result<Option<Index>> {
    let before = own.clone();
    own.repoint(known);
    let kind = match style {
        DocumentStyle::Oci => media::OCI_INDEX,
        DocumentStyle::Docker => media::DOCKER_LIST,
    };
    kind.clone_into(&mut own.media_type);
    if style == DocumentStyle::Docker {
        own.annotations.clear();
        own.subject = None;
        // What only speaks about images has no place there.
        let (about, images): (Vec<_>, Vec<_>) = own
            .manifests
            .into_iter()
            .partition(Descriptor::is_attestation);
        left_out.extend(about.into_iter().map(|entry| entry.digest));
        own.manifests = images;
        let dockers = |entry: &Descriptor| {
            matches!(
                entry.media_type.as_str(),
                media::DOCKER_MANIFEST | media::DOCKER_LIST
            )
        };
        if !own.manifests.iter().all(dockers) {
            let message = "cannot describe the list with Docker's documents";
            return Err(Error::new(Class::Invalid, message)
                .caused_by("not all that it lists are images")
                .hint("leave --format away"));
        }
        for entry in &mut own.manifests {
            entry.annotations.clear();
            entry.artifact_type = None;
        }
    }
    Ok((own != before).then_some(own))
}
