//! Small images made in memory: the built-in hello, and images for tests.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use berth_contract::Result;
use berth_sys::error::Explain as _;

use crate::documents::{
    Configuration, ContainerConfig, Descriptor, Index, Manifest, RootFs, media, to_json,
};
use crate::layer::{Expected, stage_layer, unpack_new};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Store, Transaction};

/// A file of an image, owned by root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEntry {
    /// A regular file.
    File {
        /// Where, relative to the root.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// What it holds.
        content: Vec<u8>,
    },
    /// A directory.
    Directory {
        /// Where, relative to the root.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where, relative to the root.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
}

/// One image to be.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    /// What it runs on.
    pub platform: Platform,
    /// How its containers run.
    pub config: ContainerConfig,
    /// The files of its one layer; without any, it has no layer.
    pub files: Vec<FileEntry>,
    /// Its wasm module, which makes it a wasm artifact and not an image of files.
    pub module: Option<Vec<u8>>,
    /// Its manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339 time of creation.
    pub created: Option<String>,
}

impl ImageBuilder {
    /// An empty image.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            config: ContainerConfig::default(),
            files: Vec::new(),
            module: None,
            annotations: BTreeMap::new(),
            created: None,
        }
    }

    /// Its layer as a tar, the same bytes for the same files.
    fn archive(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for file in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            match file {
                FileEntry::File {
                    path,
                    mode,
                    content,
                } => {
                    header.set_mode(*mode);
                    header.set_size(content.len() as u64);
                    archive.append_data(&mut header, path, content.as_slice())?;
                }
                FileEntry::Directory { path, mode } => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    header.set_size(0);
                    archive.append_data(&mut header, path, io::empty())?;
                }
                FileEntry::Symlink { path, target } => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    archive.append_link(&mut header, path, target)?;
                }
            }
        }
        archive.into_inner()
    }

    fn stage(&self, store: &Store, transaction: &mut Transaction) -> Result<Descriptor> {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        if !self.files.is_empty() {
            let archive = self.archive().explain(|| "cannot make a layer".into())?;
            let digest = transaction.add_bytes(&archive, None)?;
            let chain = digest.clone();
            if !store.layer_path(&chain).exists() && transaction.staged_layer(&chain).is_none() {
                let (name, unpacked) = unpack_new(
                    archive.as_slice(),
                    transaction.directory(),
                    &Expected::default(),
                )?;
                stage_layer(store, transaction, (chain, name, unpacked), &[])?;
            }
            layers.push(Descriptor::new(
                media::OCI_LAYER,
                digest.clone(),
                archive.len() as u64,
            ));
            diff_ids.push(digest);
        }
        if let Some(module) = &self.module {
            let digest = transaction.add_bytes(module, None)?;
            layers.push(Descriptor::new(
                media::WASM_LAYER,
                digest,
                module.len() as u64,
            ));
        }
        let config = to_json(&Configuration {
            created: self.created.clone(),
            architecture: self.platform.architecture.clone(),
            os: self.platform.os.clone(),
            variant: self.platform.variant.clone(),
            config: self.config.clone(),
            rootfs: RootFs {
                diff_ids,
                ..RootFs::default()
            },
            ..Configuration::default()
        });
        let config_type = if self.module.is_some() {
            media::WASM_CONFIG
        } else {
            media::OCI_CONFIG
        };
        let digest = transaction.add_bytes(&config, None)?;
        let mut descriptor = transaction.add_document(&Manifest {
            schema_version: 2,
            media_type: media::OCI_MANIFEST.to_owned(),
            artifact_type: None,
            config: Descriptor::new(config_type, digest, config.len() as u64),
            layers,
            subject: None,
            annotations: self.annotations.clone(),
        })?;
        descriptor.platform = Some(self.platform.clone());
        Ok(descriptor)
    }
}

/// Puts images into the store under one name; several become one index.
///
/// # Errors
/// The store cannot be written.
pub fn install(store: &Store, name: &Reference, images: &[ImageBuilder]) -> Result<()> {
    let mut transaction = store.transaction()?;
    let entries = images
        .iter()
        .map(|image| image.stage(store, &mut transaction));
    let mut entries = entries.collect::<Result<Vec<_>>>()?;
    let target = if entries.len() == 1 {
        let mut only = entries.remove(0);
        only.platform = None;
        only
    } else {
        transaction.add_document(&Index::new(entries))?
    };
    transaction.commit(std::slice::from_ref(name), &target)
}
