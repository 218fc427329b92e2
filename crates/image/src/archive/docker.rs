//! The docker-archive: `manifest.json`, configs, and layers that are not compressed.
//!
//! Older Dockers wrote `<id>/layer.tar` with symbolic links between equal layers, newer ones write blobs by
//! digest; `manifest.json` names the files either way.

use berth_contract::{Class, Digest, Error, Result};
use serde::Deserialize;

use super::files::Files;
use super::invalid;
use super::load::{Loader, Target};
use crate::documents::{CONFIG_LIMIT, Configuration, Descriptor, MANIFEST_LIMIT, Manifest, media};
use crate::reference::Reference;

/// One image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    pub(super) config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Item {
    pub(super) fn names(&self) -> Result<Vec<Reference>> {
        self.repo_tags
            .iter()
            .flatten()
            .map(|name| Reference::parse(name))
            .collect()
    }
}

impl Loader<'_> {
    pub(super) fn docker_items(&self) -> Result<Vec<Item>> {
        let bytes = self.files.read("manifest.json", MANIFEST_LIMIT)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| invalid(format!("its manifest.json does not read: {error}")))
    }

    /// Stages what `manifest.json` lists.
    pub(super) fn docker(&mut self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for (position, item) in self.docker_items()?.into_iter().enumerate() {
            let names = item.repo_tags.iter().flatten();
            let mut names = names.map(Some).chain(std::iter::once(None));
            let selected =
                |selector: &super::Selector| names.any(|name| selector.chooses(position, name));
            if !self.options.select.as_ref().is_none_or(selected) {
                continue;
            }
            let (_, id, size) = self.files.file(&item.config)?;
            check_name(&item.config, &id)?;
            let bytes = self.files.read(&item.config, CONFIG_LIMIT)?;
            let config = Configuration::parse(&bytes)?;
            if config
                .platform()
                .is_some_and(|own| !self.options.takes(&own))
            {
                continue;
            }
            let manifest = manifest(
                &self.files,
                &item,
                Descriptor::new(media::OCI_CONFIG, id.clone(), size),
            )?;
            let paths = item.layers.clone();
            let layers = manifest.layers.clone();
            self.stage(&manifest, &config, |files, layer| {
                let position = layers
                    .iter()
                    .position(|known| known.digest == layer.digest)
                    .unwrap_or(0);
                files.file(&paths[position])
            })?;
            self.transaction.add_bytes(&bytes, Some(&id))?;
            let descriptor = self.transaction.add_document(&manifest)?;
            let mut names = item.names()?;
            if let Some(selector @ super::Selector::Name(_)) = &self.options.select {
                // Whoever names one name does not ask for the others.
                names.retain(|name| selector.chooses(position, Some(&name.to_string())));
            }
            targets.push(Target {
                names,
                descriptor,
                id,
            });
        }
        Ok(targets)
    }
}

/// The manifest the archive has no file for.
fn manifest(files: &Files, item: &Item, config: Descriptor) -> Result<Manifest> {
    let mut layers = Vec::with_capacity(item.layers.len());
    for path in &item.layers {
        let (spooled, digest, size) = files.file(path)?;
        check_name(path, &digest)?;
        let media_type = layer_type(&spooled)?;
        layers.push(Descriptor::new(media_type, digest, size));
    }
    Ok(Manifest {
        schema_version: 2,
        media_type: media::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    })
}

/// What a layer's first bytes say of its compression.
pub(crate) fn layer_type(path: &std::path::Path) -> Result<&'static str> {
    use berth_sys::error::Explain as _;
    use std::io::Read as _;
    let mut head = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut head))
        .explain(|| format!("cannot read {}", path.display()))?;
    Ok(match head[..] {
        [0x1f, 0x8b, ..] => media::OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media::OCI_LAYER_ZSTD,
        _ => media::OCI_LAYER,
    })
}

/// A file called by a digest must have it: `blobs/sha256/<hex>` and `<hex>.json`. A `<hex>.tar` is called by
/// its diff id, which unpacking verifies.
fn check_name(path: &str, digest: &Digest) -> Result<()> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let hex = if path.starts_with("blobs/sha256/") {
        Some(name)
    } else {
        name.strip_suffix(".json")
    };
    match hex {
        Some(hex) if hex.len() == 64 && hex != digest.hex() => Err(Error::new(
            Class::Invalid,
            format!("file {path} of the archive is damaged"),
        )
        .caused_by(format!("its content has the digest {digest}"))),
        _ => Ok(()),
    }
}
