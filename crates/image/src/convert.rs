//! The same image described differently: OCI's documents or Docker's, layers compressed otherwise.
//!
//! The config stays, and so does the image's id; layers are the same files, so nothing is unpacked anew.

use std::fs::File;
use std::io::{self, Write};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;

use crate::archive::{Chosen, choose};
use crate::documents::{Descriptor, Index, Manifest, media};
use crate::image::Image;
use crate::layer::{Hashing, decompress};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Store, Transaction};

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, which everything reads.
    Gzip,
    /// zstd, which is smaller and faster to unpack.
    Zstd,
}

/// Whose documents describe an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentStyle {
    /// OCI image-spec.
    Oci,
    /// Docker's schema 2.
    Docker,
}

/// What to change; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Conversion {
    /// Whose documents.
    pub style: Option<DocumentStyle>,
    /// How layers are compressed.
    pub compression: Option<Compression>,
    /// How hard to compress; otherwise the compressor's own default.
    pub level: Option<i32>,
    /// Of images for several platforms, take only these.
    pub platforms: Vec<Platform>,
}

/// Converts an image and gives the result a name; says what the name leads to.
///
/// # Errors
/// The image is not here, is damaged, or cannot be described so.
pub fn convert(
    store: &Store,
    source: &str,
    name: &Reference,
    conversion: &Conversion,
) -> Result<Digest> {
    let mut transaction = store.transaction()?;
    // One entry, whatever other tags its repository has.
    let image = store.find(source, None)?;
    let target = format!("sha256:{}", image.target().hex());
    let chosen = choose(store, &[target], &conversion.platforms)?;
    let Some(one) = chosen.into_iter().next() else {
        return Err(crate::store::no_such_image(source));
    };
    let converted = convert_target(store, &mut transaction, one, conversion)?;
    let digest = converted.target.digest.clone();
    transaction.commit(std::slice::from_ref(name), &converted.target)?;
    Ok(digest)
}

/// The same targets with layers that are not compressed, staged.
pub(crate) fn without_compression(
    store: &Store,
    staging: &mut Transaction,
    chosen: Vec<Chosen>,
) -> Result<Vec<Chosen>> {
    let plain = Conversion {
        compression: Some(Compression::None),
        ..Conversion::default()
    };
    chosen
        .into_iter()
        .map(|one| convert_target(store, staging, one, &plain))
        .collect()
}

/// Attestations speak about digests that are no more, so they stay behind.
fn convert_target(
    store: &Store,
    staging: &mut Transaction,
    chosen: Chosen,
    conversion: &Conversion,
) -> Result<Chosen> {
    let is_index = media::is_index(&chosen.target.media_type);
    let style = conversion.style.unwrap_or(
        match chosen
            .images
            .first()
            .map(|image| image.manifest().media_type())
        {
            Some(media::DOCKER_MANIFEST) => DocumentStyle::Docker,
            _ => DocumentStyle::Oci,
        },
    );
    let (mut images, mut entries, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for image in chosen.images {
        let manifest = convert_manifest(store, staging, &image, style, conversion)?;
        let mut entry = staging.add_document(&manifest)?;
        let digest = entry.digest.clone();
        blobs.push(manifest.config.clone());
        blobs.extend(manifest.layers.iter().cloned());
        blobs.push(entry.clone());
        entry.platform = Some(image.platform().clone());
        entries.push(entry);
        images.push(image.described_by(digest, manifest));
    }
    let target = if is_index {
        let mut index = Index::new(entries);
        if style == DocumentStyle::Docker {
            media::DOCKER_LIST.clone_into(&mut index.media_type);
        }
        let target = staging.add_document(&index)?;
        blobs.push(target.clone());
        target
    } else {
        let mut entries = entries.into_iter();
        let Some(mut target) = entries.next() else {
            return Err(Error::new(Class::NotFound, "there is no image to convert"));
        };
        target.platform = None;
        target
    };
    Ok(Chosen {
        names: chosen.names,
        target,
        images,
        blobs,
    })
}

fn convert_manifest(
    store: &Store,
    staging: &mut Transaction,
    image: &Image,
    style: DocumentStyle,
    conversion: &Conversion,
) -> Result<Manifest> {
    let mut manifest = image.manifest().clone();
    let wasm = media::is_wasm_config(&manifest.config.media_type) || image.module().is_some();
    if wasm && style == DocumentStyle::Docker {
        return Err(Error::new(
            Class::Invalid,
            "cannot describe a wasm artifact with Docker's documents",
        )
        .hint("use --format oci"));
    }
    let diff_ids: Vec<(Digest, Digest)> = image
        .archives()
        .into_iter()
        .map(|(layer, diff_id)| (layer.digest.clone(), diff_id))
        .collect();
    for layer in &mut manifest.layers {
        let Some((_, diff_id)) = diff_ids.iter().find(|(digest, _)| *digest == layer.digest) else {
            continue;
        };
        let own = compression_of(store, &layer.digest)?;
        let wanted = conversion.compression.unwrap_or(own);
        if wanted != own {
            let (digest, size) = recompress(store, staging, layer, diff_id, (wanted, conversion))?;
            (layer.digest, layer.size) = (digest, size);
        }
        layer_type(style, wanted)?.clone_into(&mut layer.media_type);
    }
    match style {
        _ if wasm => {}
        DocumentStyle::Oci => {
            media::OCI_CONFIG.clone_into(&mut manifest.config.media_type);
            media::OCI_MANIFEST.clone_into(&mut manifest.media_type);
        }
        DocumentStyle::Docker => {
            media::DOCKER_CONFIG.clone_into(&mut manifest.config.media_type);
            media::DOCKER_MANIFEST.clone_into(&mut manifest.media_type);
            // Schema 2 has neither.
            manifest.artifact_type = None;
            manifest.annotations.clear();
        }
    }
    Ok(manifest)
}

fn layer_type(style: DocumentStyle, compression: Compression) -> Result<&'static str> {
    Ok(match (style, compression) {
        (DocumentStyle::Oci, Compression::None) => media::OCI_LAYER,
        (DocumentStyle::Oci, Compression::Gzip) => media::OCI_LAYER_GZIP,
        (DocumentStyle::Oci, Compression::Zstd) => media::OCI_LAYER_ZSTD,
        (DocumentStyle::Docker, Compression::None) => media::DOCKER_LAYER,
        (DocumentStyle::Docker, Compression::Gzip) => media::DOCKER_LAYER_GZIP,
        (DocumentStyle::Docker, Compression::Zstd) => {
            return Err(Error::new(
                Class::Invalid,
                "Docker's documents know no layers compressed with zstd",
            )
            .hint("use --format oci, or --compression gzip"));
        }
    })
}

/// The type that documents of this style have for a layer of this type.
///
/// # Errors
/// They have none.
pub(crate) fn layer_type_in(style: DocumentStyle, known: &str) -> Result<&str> {
    Ok(match (style, known) {
        (DocumentStyle::Oci, media::DOCKER_LAYER) => media::OCI_LAYER,
        (DocumentStyle::Oci, media::DOCKER_LAYER_GZIP) => media::OCI_LAYER_GZIP,
        (DocumentStyle::Docker, media::OCI_LAYER) => media::DOCKER_LAYER,
        (DocumentStyle::Docker, media::OCI_LAYER_GZIP) => media::DOCKER_LAYER_GZIP,
        (DocumentStyle::Docker, media::OCI_LAYER_ZSTD) => {
            return layer_type(style, Compression::Zstd);
        }
        (_, other) => other,
    })
}

/// How a blob is compressed, by its first bytes.
fn compression_of(store: &Store, digest: &Digest) -> Result<Compression> {
    Ok(
        match crate::archive::layer_type(&store.blob_path(digest))? {
            media::OCI_LAYER_GZIP => Compression::Gzip,
            media::OCI_LAYER_ZSTD => Compression::Zstd,
            _ => Compression::None,
        },
    )
}

/// Stages a layer compressed otherwise; its digest and size.
fn recompress(
    store: &Store,
    staging: &mut Transaction,
    layer: &Descriptor,
    diff_id: &Digest,
    (compression, conversion): (Compression, &Conversion),
) -> Result<(Digest, u64)> {
    let cannot = || format!("cannot convert layer {}", layer.digest);
    let packed = File::open(store.blob_path(&layer.digest)).explain(cannot)?;
    let mut plain = Hashing::like(Some(diff_id), decompress(packed).explain(cannot)?);
    let sum = plain.sum();
    let (file, path) = staging.new_file()?;
    let mut written = Counting::new(file);
    compress(&mut plain, &mut written, compression, conversion.level).explain(cannot)?;
    if sum.digest() != *diff_id {
        return Err(Error::new(
            Class::Internal,
            format!("layer {} is damaged", layer.digest),
        )
        .hint("berth system check --repair"));
    }
    let (digest, size) = written.finish().explain(cannot)?;
    staging.add_file(path, digest.clone());
    Ok((digest, size))
}

/// Copies a stream, compressing it.
///
/// # Errors
/// Reading or writing fails, or the level is none of the compressor's.
pub(crate) fn compress(
    source: &mut impl io::Read,
    target: &mut impl Write,
    compression: Compression,
    level: Option<i32>,
) -> io::Result<()> {
    match compression {
        Compression::None => io::copy(source, target).map(drop),
        Compression::Gzip => {
            let level = level.and_then(|level| u32::try_from(level).ok());
            let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
            // The header has neither name nor time, so equal layers stay equal.
            let mut encoder = flate2::write::GzEncoder::new(target, level);
            io::copy(source, &mut encoder)?;
            encoder.finish().map(drop)
        }
        Compression::Zstd => {
            let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
            let mut encoder = zstd::Encoder::new(target, level)?;
            encoder.include_checksum(true)?;
            io::copy(source, &mut encoder)?;
            encoder.finish().map(drop)
        }
    }
}

/// A file that knows the digest and number of the bytes written to it.
struct Counting {
    file: io::BufWriter<File>,
    hasher: sha2::Sha256,
    size: u64,
}

impl Counting {
    fn new(file: File) -> Self {
        Self {
            file: io::BufWriter::with_capacity(256 << 10, file),
            hasher: sha2::Digest::new(),
            size: 0,
        }
    }

    fn finish(mut self) -> io::Result<(Digest, u64)> {
        self.file.flush()?;
        let digest = sha2::Digest::finalize(self.hasher);
        Ok((Digest::sha256(digest.into()), self.size))
    }
}

impl Write for Counting {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write_all(buffer)?;
        sha2::Digest::update(&mut self.hasher, buffer);
        self.size += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
