//! Making images of layers that are made here, one after the other: what a builder works at.
//!
//! ```text
//!  scratch directory ─► files ─► archive, hashed ─► blobs/sha256/<diff id>
//!          └──────────────── renamed ─────────────► layers/<chain>     usable by the next step at once
//!  config, manifest, index ─► blobs ─► one syncfs ─► index.json
//! ```
//!
//! A layer that nothing leads to in the end is garbage, as after a pull that was broken off. Until the sync a
//! mark says that a power cut may have taken the content (`store/unsynced.rs`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Links, unique_name};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::convert::{DocumentStyle, layer_type_in};
use crate::documents::{Configuration, Descriptor, Document, Index, Manifest, media, to_json};
use crate::layer::{Expected, WriteOptions, inherit, unpack, write};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::{Interrupt, Recompression};
use crate::store::{Hold, Store, Unsynced, chain_ids, sha256};

/// A layer of an image that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its blob.
    pub descriptor: Descriptor,
    /// The digest of its archive.
    pub diff_id: Digest,
}

/// Content on its way into images; nothing of it is collected while this lives.
#[derive(Debug)]
pub struct Assembly {
    store: Store,
    _hold: Hold,
    ingest: Directory,
    scratch: std::ffi::OsString,
    unsynced: Unsynced,
    interrupt: Interrupt,
}

impl Store {
    /// Begins to make images.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn assembly(&self) -> Result<Assembly> {
        let hold = self.hold()?;
        self.refuse_lost()?;
        let ingest = self.directory("ingest")?;
        let scratch = unique_name("new-");
        ingest
            .create_directory(&scratch, 0o700)
            .explain(|| "cannot make a staging directory".into())?;
        Ok(Assembly {
            store: self.clone(),
            _hold: hold,
            ingest,
            scratch,
            unsynced: Unsynced::default(),
            interrupt: Interrupt::default(),
        })
    }

    /// The extracted layers of a stack, topmost first; `None` when one of them is not here.
    #[must_use]
    pub fn extracted(&self, layers: &[Layer]) -> Option<Vec<PathBuf>> {
        let mut paths = self.stack(layers);
        paths.reverse();
        if paths.is_empty() {
            paths.push(self.empty_layer());
        }
        paths.iter().all(|path| path.exists()).then_some(paths)
    }

    fn stack(&self, layers: &[Layer]) -> Vec<PathBuf> {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let chains = chain_ids(&diff_ids);
        chains.iter().map(|chain| self.layer_path(chain)).collect()
    }

    /// The blob of a manifest, config or index.
    ///
    /// # Errors
    /// It is damaged, or is not here.
    pub fn small_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.read_blob(digest, crate::documents::CONFIG_LIMIT)?
            .ok_or_else(|| Error::new(Class::NotFound, format!("blob {digest} is not here")))
    }

    /// Opens a blob, whatever its size.
    ///
    /// # Errors
    /// It is not here.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).explain(|| format!("cannot open blob {}", digest.short()))
    }
}

impl Assembly {
    /// No layer is written any longer once somebody asks for the end.
    #[must_use]
    pub fn ended_by(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = interrupt.clone();
        self
    }

    /// A new empty directory for the files of a layer, owned by root.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn directory(&self) -> Result<PathBuf> {
        let name = unique_name("layer-");
        let make = || {
            let scratch = self
                .ingest
                .directory(Path::new(&self.scratch), Links::Refused)?;
            scratch.create_directory(&name, 0o755)?;
            scratch.set_mode(&name, 0o755)
        };
        let made: io::Result<()> = make();
        made.explain(|| "cannot make a directory for a layer".into())?;
        Ok(self.scratch_path().join(name))
    }

    fn scratch_path(&self) -> PathBuf {
        self.store.path("ingest").join(&self.scratch)
    }

    /// Makes a layer of a directory, which is moved into the store; `below` are the layers under it,
    /// `latest` is what later times become.
    ///
    /// # Errors
    /// Something in it has no place in a layer, or the store cannot be written.
    pub fn layer(&self, directory: &Path, below: &[Layer], latest: Option<i64>) -> Result<Layer> {
        let (path, digest, length, size) = self.archive(directory, below, latest)?;
        let blob = self.store.blob_path(&digest);
        self.place(&path, &blob)?;
        let layer = Layer {
            descriptor: Descriptor::new(media::OCI_LAYER, digest.clone(), length),
            diff_id: digest,
        };
        let mut stack = below.to_vec();
        stack.push(layer.clone());
        if let Some(place) = self.store.stack(&stack).pop() {
            self.publish(directory, &place, size)?;
        }
        Ok(layer)
    }

    /// The path of a new file, which goes with this unless it is adopted.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.scratch_path().join(unique_name("blob-"))
    }

    /// Makes the topmost layer of a stack out of its blob: a file of [`Self::file`], or else what the store
    /// has. The layers below are here already.
    ///
    /// # Errors
    /// Class `Invalid` when it is not what its digests say; the store cannot be written.
    pub fn adopt(&self, blob: Option<&Path>, stack: &[Layer]) -> Result<()> {
        let Some((layer, below)) = stack.split_last() else {
            return Ok(());
        };
        let own = self.store.blob_path(&layer.descriptor.digest);
        if let Some(place) = self.store.stack(stack).pop()
            && !place.exists()
        {
            let path = blob.unwrap_or(&own);
            let file = File::open(path).explain(|| format!("cannot read {}", path.display()))?;
            let directory = self.directory()?;
            let into = Directory::open(&directory).explain(|| "cannot open a layer".into())?;
            let expected = Expected {
                blob: Some(layer.descriptor.digest.clone()),
                diff_id: Some(layer.diff_id.clone()),
            };
            let unpacked = unpack(file, &into, &expected)?;
            let lowers = self.store.stack(below).into_iter().rev();
            let lowers: io::Result<Vec<Directory>> =
                lowers.map(|path| Directory::open(&path)).collect();
            let lowers = lowers.explain(|| "cannot open the layers below".into())?;
            inherit(&into, &unpacked.implied, &lowers)?;
            self.publish(&directory, &place, unpacked.size)?;
        }
        match blob {
            Some(blob) if !own.exists() => self.place(blob, &own),
            _ => Ok(()),
        }
    }

    /// A layer's blob compressed anew, as something leads to it that is made now; itself when it need not be.
    ///
    /// # Errors
    /// The blob is not here, or the store cannot be written.
    pub fn compressed(&self, layer: &Descriptor, how: &Recompression) -> Result<Descriptor> {
        let file = self.store.open_blob(&layer.digest)?;
        if !how
            .applies_to(&file)
            .explain(|| "cannot read a layer".into())?
        {
            return Ok(layer.clone());
        }
        let path = self.file();
        let cannot = || format!("cannot write {}", path.display());
        let mut to = File::create_new(&path).explain(cannot)?;
        let new = how.apply(file, (&mut to, &path), layer)?;
        self.place(&path, &self.store.blob_path(&new.digest))?;
        Ok(new)
    }

    /// Makes sure that a layer's blob is here, from its directory if need be; says whether it is.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn restore(&self, stack: &[Layer], latest: Option<i64>) -> Result<bool> {
        let Some((layer, below)) = stack.split_last() else {
            return Ok(true);
        };
        let blob = self.store.blob_path(&layer.descriptor.digest);
        if blob.exists() {
            return Ok(true);
        }
        let Some(directory) = self.store.stack(stack).pop() else {
            return Ok(false);
        };
        let (path, digest, _, _) = self.archive(&directory, below, latest)?;
        let same = digest == layer.descriptor.digest;
        if same {
            self.place(&path, &blob)?;
        }
        Ok(same)
    }

    /// Writes an archive aside; its path, digest and length, and the bytes of its files.
    fn archive(
        &self,
        directory: &Path,
        below: &[Layer],
        latest: Option<i64>,
    ) -> Result<(PathBuf, Digest, u64, u64)> {
        let root = Directory::open(directory)
            .explain(|| format!("cannot open {}", directory.display()))?;
        let own = root
            .own_metadata()
            .explain(|| "cannot look at a layer".into())?;
        let lower = self.store.stack(below).pop();
        let lower = lower.and_then(|path| Directory::open(&path).ok()?.own_metadata().ok());
        let (uid, gid, mode) = lower.map_or((0, 0, 0o755), |root| (root.uid, root.gid, root.mode));
        let options = WriteOptions {
            is_layer: true,
            with_root: (own.uid, own.gid, own.mode) != (uid, gid, mode),
            latest,
        };
        let path = self.scratch_path().join(unique_name("blob-"));
        let cannot = || format!("cannot write {}", path.display());
        let file = File::create_new(&path).explain(cannot)?;
        let mut sink = Summing {
            inner: BufWriter::with_capacity(256 << 10, file),
            hasher: Sha256::new(),
            length: 0,
            interrupt: &self.interrupt,
        };
        let size = write(&root, &mut sink, options).explain(|| "cannot make a layer".into())?;
        sink.inner.flush().explain(cannot)?;
        let digest = Digest::sha256(sink.hasher.finalize().into());
        Ok((path, digest, sink.length, size))
    }

    /// A layer that is there already has won; ours goes with the staging directory.
    fn publish(&self, directory: &Path, place: &Path, size: u64) -> Result<()> {
        let cannot = || format!("cannot put layer {} in place", place.display());
        if place.exists() {
            return Ok(());
        }
        let mut record = place.as_os_str().to_owned();
        record.push(".size");
        self.unsynced.place(&self.ingest, || {
            std::fs::write(&record, size.to_string()).explain(cannot)?;
            match std::fs::rename(directory, place) {
                Err(error) if !place.exists() => Err(error).explain(cannot),
                _ => Ok(()),
            }
        })
    }

    /// Renames a blob into the store.
    fn place(&self, path: &Path, blob: &Path) -> Result<()> {
        self.unsynced.place(&self.ingest, || {
            std::fs::rename(path, blob)
                .explain(|| format!("cannot put {} in place", blob.display()))
        })
    }

    /// Writes a small blob.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = sha256(bytes);
        let place = self.store.blob_path(&digest);
        if !place.exists() {
            let path = self.scratch_path().join(unique_name("blob-"));
            std::fs::write(&path, bytes).explain(|| format!("cannot write {}", path.display()))?;
            self.place(&path, &place)?;
        }
        Ok(digest)
    }

    /// Writes an image's config and manifest; returns the manifest's descriptor and the config's digest. Docker's
    /// documents have no annotations.
    ///
    /// # Errors
    /// The store cannot be written, or such documents have no such layers.
    pub fn image(
        &self,
        config: &Configuration,
        layers: &[Layer],
        annotations: &BTreeMap<String, String>,
        style: DocumentStyle,
    ) -> Result<(Descriptor, Digest)> {
        let mut config = config.clone();
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let bytes = to_json(&config);
        let id = self.blob(&bytes)?;
        // Those of the base may be described by others.
        let descriptor = |layer: &Layer| {
            let own = &layer.descriptor;
            let media_type = layer_type_in(style, &own.media_type)?.to_owned();
            Ok(Descriptor {
                media_type,
                ..own.clone()
            })
        };
        let layers = layers.iter().map(descriptor).collect::<Result<_>>()?;
        let (config_type, manifest_type) = match style {
            DocumentStyle::Oci => (media::OCI_CONFIG, media::OCI_MANIFEST),
            DocumentStyle::Docker => (media::DOCKER_CONFIG, media::DOCKER_MANIFEST),
        };
        let config = Descriptor::new(config_type, id.clone(), bytes.len() as u64);
        let mut manifest = manifest(config, layers, annotations);
        manifest_type.clone_into(&mut manifest.media_type);
        Ok((self.document(&manifest)?, id))
    }

    /// Writes a manifest of these blobs.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn manifest(
        &self,
        config: Descriptor,
        layers: Vec<Descriptor>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Descriptor> {
        self.document(&manifest(config, layers, annotations))
    }

    /// Writes a document, unless it could not be read back.
    fn document(&self, document: &impl Serialize) -> Result<Descriptor> {
        let bytes = to_json(document);
        let document = Document::parse(&bytes, None)?;
        let digest = self.blob(&bytes)?;
        let size = bytes.len() as u64;
        Ok(Descriptor::new(document.media_type(), digest, size))
    }

    /// Writes an index of images for several platforms.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn index(
        &self,
        entries: &[(Platform, Descriptor)],
        annotations: &BTreeMap<String, String>,
        style: DocumentStyle,
    ) -> Result<Descriptor> {
        let entry = |(platform, descriptor): &(Platform, Descriptor)| Descriptor {
            platform: Some(platform.clone()),
            ..descriptor.clone()
        };
        let mut index = Index::new(entries.iter().map(entry).collect());
        index.annotations.clone_from(annotations);
        if style == DocumentStyle::Docker {
            media::DOCKER_LIST.clone_into(&mut index.media_type);
        }
        self.document(&index)
    }

    /// Writes everything to disk.
    ///
    /// # Errors
    /// A write fails.
    pub fn sync(&self) -> Result<()> {
        // What bears no mark is there, whoever has made it.
        if !self.store.has_unsynced() {
            return Ok(());
        }
        self.unsynced.sync(&self.ingest)
    }

    /// Gives what was made its names; without any it is a dangling image.
    ///
    /// # Errors
    /// The list of images cannot be written.
    pub fn name(&self, names: &[Reference], target: &Descriptor) -> Result<()> {
        self.sync()?;
        self.store.add_to_index(names, target)
    }
}

impl Drop for Assembly {
    fn drop(&mut self) {
        // What cannot be removed now is garbage that the next transaction or collection removes.
        drop(self.ingest.remove_all(&self.scratch));
    }
}

/// A sink that hashes and counts what passes, as long as it is wanted.
struct Summing<'a, W> {
    inner: W,
    hasher: Sha256,
    length: u64,
    interrupt: &'a Interrupt,
}

impl<W: io::Write> io::Write for Summing<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.interrupt.is_asked() {
            return Err(io::Error::other("it was interrupted"));
        }
        let length = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..length]);
        self.length += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// OCI's manifest of these blobs.
fn manifest(
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: media::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: annotations.clone(),
    }
}

/// Writes everything in a directory as an archive, its root included; later times become `latest`.
///
/// # Errors
/// Something cannot be read, or the sink takes no more.
pub fn write_archive(directory: &Path, sink: impl io::Write, latest: Option<i64>) -> Result<()> {
    let cannot = || "cannot write an archive".to_owned();
    let root = Directory::open(directory).explain(cannot)?;
    let options = WriteOptions {
        is_layer: false,
        with_root: true,
        latest,
    };
    write(&root, sink, options).explain(cannot).map(drop)
}
