//! A root file system in a tar as an image of one layer: `docker import`.

use std::fs::File;
use std::io::{self, Read, Write as _};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;

use super::docker::layer_type;
use crate::documents::{
    Configuration, ContainerConfig, Descriptor, History, Manifest, RootFs, media, to_json,
};
use crate::image::Image;
use crate::layer::{Expected, Hashing, decompress_rare, stage_layer, unpack_new};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Store;

/// How to import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The image's name.
    pub name: Option<Reference>,
    /// What the image's history says.
    pub message: Option<String>,
    /// How its containers run: the result of applying `--change`.
    pub config: ContainerConfig,
    /// What it runs on; otherwise the host's platform.
    pub platform: Option<Platform>,
    /// RFC 3339 time of creation; the caller has the clock.
    pub created: Option<String>,
}

/// Makes an image of a tar of a root file system, plain or compressed.
///
/// # Errors
/// Class `Invalid` for what is no tar or a hostile one; nothing is kept then.
pub fn import(store: &Store, source: impl Read, options: &ImportOptions) -> Result<Image> {
    let mut transaction = store.transaction()?;
    let (file, path) = transaction.new_file()?;
    // No media type tells of layers in xz or bzip2, so their content is kept plain.
    let source = decompress_rare(source).explain(|| "cannot read the archive".into())?;
    let hashing = Hashing::new(Tee { source, file });
    let (blob, mut rest) = (hashing.sum(), hashing.handle());
    let (name, unpacked) = unpack_new(hashing, transaction.directory(), &Expected::default())
        .map_err(|error| error.context("cannot import the archive"))?;
    io::copy(&mut rest, &mut io::sink()).explain(|| "cannot read the archive".into())?;
    if blob.bytes() == 0 {
        return Err(
            Error::new(Class::Invalid, "cannot import the archive").caused_by("it is empty")
        );
    }
    let diff_id = unpacked.diff_id.clone();
    stage_layer(
        store,
        &mut transaction,
        (diff_id.clone(), name, unpacked),
        &[],
    )?;
    let layer = Descriptor::new(layer_type(&path)?, blob.digest(), blob.bytes());
    transaction.add_file(path, layer.digest.clone());
    let config = to_json(&configuration(options, diff_id));
    let config_digest = transaction.add_bytes(&config, None)?;
    let target = transaction.add_document(&Manifest {
        schema_version: 2,
        media_type: media::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config: Descriptor::new(
            media::OCI_CONFIG,
            config_digest.clone(),
            config.len() as u64,
        ),
        layers: vec![layer],
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    })?;
    transaction.commit(options.name.as_slice(), &target)?;
    store.find(config_digest.as_str(), None)
}

fn configuration(options: &ImportOptions, diff_id: Digest) -> Configuration {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let history = History {
        created: options.created.clone(),
        comment: options.message.clone().or_else(|| Some("imported".into())),
        ..History::default()
    };
    Configuration {
        created: options.created.clone(),
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        config: options.config.clone(),
        rootfs: RootFs {
            diff_ids: vec![diff_id],
            ..RootFs::default()
        },
        history: vec![history],
        comment: options.message.clone(),
        ..Configuration::default()
    }
}

/// Keeps a copy of what is read.
struct Tee<R> {
    source: R,
    file: File,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.file.write_all(&buffer[..length])?;
        Ok(length)
    }
}
