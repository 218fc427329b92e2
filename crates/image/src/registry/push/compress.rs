//! Layers compressed anew for a push; the image's id and diff ids stay, its manifest's digest does not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;

use super::documents::Documents;
use crate::convert::{Compression, compress};
use crate::documents::{Descriptor, Document, Manifest, media, to_json};
use crate::layer::{Hashing, decompress};
use crate::store::{Store, sha256};

/// How the layers of a push are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recompression {
    /// Into what.
    pub compression: Compression,
    /// How hard; the format's own default without.
    pub level: Option<i32>,
    /// Layers that are compressed otherwise, too.
    pub force: bool,
}

impl Recompression {
    /// Refuses a level that the format does not have.
    ///
    /// # Errors
    /// Class `Invalid`.
    pub fn check(&self) -> Result<()> {
        let levels = match self.compression {
            Compression::None => 0..=0,
            Compression::Gzip => 1..=9,
            Compression::Zstd => 1..=20,
        };
        match self.level {
            Some(level) if !levels.contains(&level) => {
                let (first, last) = (levels.start(), levels.end());
                let message = format!("invalid compression level {level}");
                Err(Error::new(Class::Invalid, message)
                    .hint(format!("use one from {first} to {last}")))
            }
            _ => Ok(()),
        }
    }
}

impl Documents {
    /// Compresses the layers and rewrites every document above them.
    pub(super) fn compress(&mut self, store: &Store, compression: &Recompression) -> Result<()> {
        let has = |kind: fn(&str) -> bool| {
            let mut types = self.blobs.iter().map(|(blob, _)| blob.media_type.as_str());
            types.any(kind)
        };
        if has(media::is_module) && !has(media::is_archive) {
            return Err(no_archive());
        }
        let transaction = store.transaction()?;
        let mut layers: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for (blob, path) in &mut self.blobs {
            if !media::is_archive(&blob.media_type) {
                continue;
            }
            let file = File::open(&*path).explain(|| format!("cannot read {}", path.display()))?;
            if !compression
                .applies_to(&file)
                .explain(|| "cannot read a layer".into())?
            {
                continue;
            }
            let old = blob.digest.clone();
            let (mut to, new) = transaction.new_file()?;
            *blob = compression.apply(file, (&mut to, &new), blob)?;
            *path = new;
            layers.insert(old, blob.clone());
        }
        if layers.is_empty() {
            return Ok(());
        }
        let mut documents: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for (descriptor, bytes) in &mut self.manifests {
            let rewritten = match Document::parse(bytes, Some(&descriptor.media_type))? {
                Document::Manifest(manifest) => rewrite(bytes, manifest, &layers)?,
                Document::Index(_) => reindex(bytes, &documents)?,
            };
            let (kind, text) = rewritten;
            let new = Descriptor::new(&kind, sha256(&text), text.len() as u64);
            documents.insert(std::mem::replace(descriptor, new.clone()).digest, new);
            *bytes = text.into();
        }
        self.scratch = Some(transaction);
        Ok(())
    }
}

/// Why what is no archive is not compressed.
pub(super) fn no_archive() -> Error {
    Error::new(Class::Invalid, "cannot compress a wasm program")
        .caused_by("who pulls it runs it as it is")
        .hint("leave --compression-format away")
}

impl Recompression {
    pub(crate) fn applies_to(&self, file: &File) -> io::Result<bool> {
        let mut head = [0; 4];
        let length = std::os::unix::fs::FileExt::read_at(file, &mut head, 0)?;
        Ok(match &head[..length] {
            [0x1f, 0x8b, ..] => self.force && self.compression != Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => self.force && self.compression != Compression::Zstd,
            _ => self.compression != Compression::None,
        })
    }

    /// Writes a layer anew into a file; its new descriptor.
    pub(crate) fn apply(
        &self,
        source: File,
        (to, path): (&mut File, &Path),
        old: &Descriptor,
    ) -> Result<Descriptor> {
        let cannot = || format!("cannot compress layer {}", old.digest);
        let mut plain = decompress(source).explain(cannot)?;
        compress(&mut plain, to, self.compression, self.level).explain(cannot)?;
        let file = File::open(path).explain(cannot)?;
        let mut hashing = Hashing::new(file);
        let sum = hashing.sum();
        io::copy(&mut hashing.by_ref(), &mut io::sink()).explain(cannot)?;
        Ok(Descriptor {
            media_type: self.media_type().to_owned(),
            digest: sum.digest(),
            size: sum.bytes(),
            ..old.clone()
        })
    }

    fn media_type(&self) -> &'static str {
        match self.compression {
            Compression::None => media::OCI_LAYER,
            Compression::Gzip => media::OCI_LAYER_GZIP,
            Compression::Zstd => media::OCI_LAYER_ZSTD,
        }
    }
}

/// A manifest with other layers. Docker's own type has no zstd, so it becomes OCI's.
fn rewrite(
    bytes: &[u8],
    mut manifest: Manifest,
    layers: &BTreeMap<Digest, Descriptor>,
) -> Result<(String, Vec<u8>)> {
    if !manifest
        .layers
        .iter()
        .any(|layer| layers.contains_key(&layer.digest))
    {
        let kind = Document::Manifest(manifest).media_type().to_owned();
        return Ok((kind, bytes.to_vec()));
    }
    manifest.media_type = media::OCI_MANIFEST.to_owned();
    if manifest.config.media_type == media::DOCKER_CONFIG {
        manifest.config.media_type = media::OCI_CONFIG.to_owned();
    }
    for layer in &mut manifest.layers {
        if let Some(new) = layers.get(&layer.digest) {
            *layer = new.clone();
        } else if let Some(kind) = media::as_oci(&layer.media_type) {
            layer.media_type = kind.to_owned();
        }
    }
    Ok((media::OCI_MANIFEST.to_owned(), to_json(&manifest)))
}

/// An index whose entries have other digests; everything else it says stays.
fn reindex(bytes: &[u8], documents: &BTreeMap<Digest, Descriptor>) -> Result<(String, Vec<u8>)> {
    let Document::Index(mut index) = Document::parse(bytes, None)? else {
        return Err(Error::new(Class::Internal, "an index is no index"));
    };
    index.media_type = media::OCI_INDEX.to_owned();
    index.repoint(documents);
    Ok((media::OCI_INDEX.to_owned(), to_json(&index)))
}
