//! Reading images: which format it is, and staging what it holds.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use berth_contract::{Class, Digest, Error, Result};

use super::files::{Files, open};
use super::invalid;
use super::transport::{Selector, Transport};
use crate::artifact::{Content, check_manifest};
use crate::documents::{Configuration, Descriptor, Manifest};
use crate::layer::{Expected, Unpacked, stage_layer, unpack_new};
use crate::platform::Platform;
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::{Store, Transaction, chain_ids};

/// A second unpacking thread gains up to 30 %, a third nothing.
const UNPACKERS: usize = 2;

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Of images for several platforms, take only these; all if there are none.
    pub platforms: Vec<Platform>,
    /// Of several images, take only this one.
    pub select: Option<Selector>,
}

impl LoadOptions {
    /// Whether an image of this platform is to be taken.
    pub(super) fn takes(&self, offered: &Platform) -> bool {
        let wanted = |platform: &Platform| platform.served_by(offered).is_some();
        self.platforms.is_empty() || self.platforms.iter().any(wanted)
    }
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The names it got; none for an archive that has none for it.
    pub names: Vec<Reference>,
    /// Its id.
    pub id: Digest,
}

/// A name to be and what it leads to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) names: Vec<Reference>,
    pub(super) descriptor: Descriptor,
    pub(super) id: Digest,
}

/// Loads the images of a docker-archive or OCI archive, plain or compressed.
///
/// # Errors
/// Class `Invalid` for what is no such archive or holds content that is not what its digest says; nothing
/// is kept then.
pub fn load(
    store: &Store,
    source: impl Read,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    let transaction = store.transaction()?;
    let files = Files::of_stream(source, &transaction)?;
    if files.is_empty() {
        return Err(invalid("it is empty").hint("berth load -i FILE"));
    }
    finish(store, transaction, files, options, progress)
}

/// Loads the images of a directory: an OCI layout, skopeo's `dir:`, or an unpacked docker-archive.
///
/// # Errors
/// As for [`load`].
pub fn load_directory(
    store: &Store,
    path: &Path,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    // Looked for first: a directory of something else may be as large as a disk.
    if !["index.json", "manifest.json"]
        .iter()
        .any(|name| path.join(name).exists())
    {
        return Err(no_list());
    }
    let transaction = store.transaction()?;
    let files = Files::of_directory(path, &transaction)?;
    finish(store, transaction, files, options, progress)
}

/// Loads the one image that a place outside of any registry means.
///
/// # Errors
/// As for [`load`]; class `Invalid` when it holds several and none is chosen.
pub fn load_transport(
    store: &Store,
    transport: &Transport,
    platforms: Vec<Platform>,
    progress: &dyn Progress,
) -> Result<Loaded> {
    let options = LoadOptions {
        select: transport.select.clone(),
        platforms,
    };
    let path = transport.path.as_path();
    let mut loaded = if path.is_dir() {
        load_directory(store, path, &options, progress)?
    } else {
        load(store, open(path)?, &options, progress)?
    };
    match loaded.len() {
        1 => Ok(loaded.remove(0)),
        count => Err(Error::new(
            Class::Invalid,
            format!("{} holds {count} images", path.display()),
        )
        .hint("name one of them after the path, as in oci-archive:FILE:NAME")),
    }
}

fn no_list() -> Error {
    invalid("it has neither manifest.json nor index.json")
        .hint("for a tar of a root file system use berth import")
}

fn finish(
    store: &Store,
    mut transaction: Transaction,
    files: Files,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    let mut loader = Loader {
        store,
        transaction: &mut transaction,
        files,
        options,
        progress,
    };
    let targets = if loader.files.has("index.json") && loader.files.has("oci-layout") {
        loader.layout()?
    } else if loader.files.has("manifest.json") {
        loader.docker_or_directory()?
    } else {
        return Err(no_list());
    };
    if targets.is_empty() {
        return Err(match (&options.select, options.platforms.first()) {
            (Some(selector), _) => invalid(format!("it holds no image {selector}")),
            (None, Some(platform)) => invalid(format!("it holds no image for {platform}")),
            (None, None) => invalid("it holds no image"),
        });
    }
    let commits: Vec<(Vec<Reference>, Descriptor)> = targets
        .iter()
        .map(|target| (target.names.clone(), target.descriptor.clone()))
        .collect();
    transaction.commit_all(&commits)?;
    let loaded = targets.into_iter().map(|target| Loaded {
        names: target.names,
        id: target.id,
    });
    Ok(loaded.collect())
}

/// Turns spooled files into staged images.
pub(super) struct Loader<'a> {
    pub(super) store: &'a Store,
    pub(super) transaction: &'a mut Transaction,
    pub(super) files: Files,
    pub(super) options: &'a LoadOptions,
    pub(super) progress: &'a dyn Progress,
}

/// A layer that has to be unpacked: its place in the image, the file, and what must come out.
struct Job {
    position: usize,
    path: PathBuf,
    expected: Expected,
}

impl Loader<'_> {
    /// Stages one image; `locate` finds the files of its layers.
    pub(super) fn stage(
        &mut self,
        manifest: &Manifest,
        config: &Configuration,
        locate: impl Fn(&Files, &Descriptor) -> Result<(PathBuf, Digest, u64)>,
    ) -> Result<()> {
        check_manifest(manifest, "the archive")?;
        let sizes: Vec<(Digest, u64)> = manifest
            .layers
            .iter()
            .map(|layer| (layer.digest.clone(), layer.size))
            .collect();
        self.progress.event(&Event::Layers { layers: &sizes });
        let content = Content::of(manifest, config);
        let diff_ids: Vec<Digest> = content
            .archives
            .iter()
            .map(|(_, diff)| diff.clone())
            .collect();
        if diff_ids.len() != config.rootfs.diff_ids.len() && content.module.is_none() {
            let reason = "its config names another number of layers than its manifest";
            return Err(invalid(reason));
        }
        let chains = chain_ids(&diff_ids);
        for layer in &manifest.layers {
            if !self.store.has_blob(&layer.digest) {
                let (path, ..) = locate(&self.files, layer)?;
                self.transaction.add_file(path, layer.digest.clone());
            }
        }
        let mut jobs = Vec::new();
        for (position, (layer, diff_id)) in content.archives.iter().enumerate() {
            let chain = &chains[position];
            let existed = self.store.layer_path(chain).exists()
                || self.transaction.staged_layer(chain).is_some();
            if existed {
                self.progress.event(&Event::LayerDone {
                    layer: &layer.digest,
                    existed,
                });
                continue;
            }
            let path = match self.store.has_blob(&layer.digest) {
                true => self.store.blob_path(&layer.digest),
                false => locate(&self.files, layer)?.0,
            };
            let expected = Expected {
                blob: Some(layer.digest.clone()),
                diff_id: Some((*diff_id).clone()),
            };
            jobs.push(Job {
                position,
                path,
                expected,
            });
        }
        for (position, name, unpacked) in self.unpack(jobs)? {
            let layer = (chains[position].clone(), name, unpacked);
            stage_layer(self.store, self.transaction, layer, &chains[..position])?;
        }
        Ok(())
    }

    /// Unpacks layers side by side; each into a directory of its own, in the order of their places.
    fn unpack(&self, jobs: Vec<Job>) -> Result<Vec<(usize, OsString, Unpacked)>> {
        let (into, progress) = (self.transaction.directory(), self.progress);
        let queue = Mutex::new(jobs.into_iter());
        let next = || queue.lock().ok()?.next();
        let work = || {
            let mut done = Vec::new();
            while let Some(job) = next() {
                let (name, unpacked) = unpack_new(open(&job.path)?, into, &job.expected)
                    .map_err(|error| error.context("cannot load the archive"))?;
                if let Some(layer) = &job.expected.blob {
                    progress.event(&Event::LayerDone {
                        layer,
                        existed: false,
                    });
                }
                done.push((job.position, name, unpacked));
            }
            Ok::<_, Error>(done)
        };
        let mut layers = Vec::new();
        let results = std::thread::scope(|scope| {
            let workers: Vec<_> = (1..UNPACKERS).map(|_| scope.spawn(work)).collect();
            let mut results = vec![work()];
            // A worker that panicked has broken the promise that nothing here does; its work is missing.
            results.extend(workers.into_iter().filter_map(|worker| worker.join().ok()));
            results
        });
        for result in results {
            layers.extend(result?);
        }
        layers.sort_by_key(|(position, ..)| *position);
        Ok(layers)
    }
}
