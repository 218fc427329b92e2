//! From a reference to a complete image.
//!
//! ```text
//!  this thread (tokio)                     two threads
//!  manifest → config → blobs ──► growing files ──► hash, inflate, hash, unpack
//!                                                          │
//!  commit ◄── attributes of implied directories ◄──────────┘
//! ```

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Links, unique_name};

use super::blob::{Download, Undone};
use super::client::{Client, Received};
use super::tail::Tail;
use super::{PullOptions, PullPolicy, Pulled};
use crate::artifact::{Content, check_manifest};
use crate::documents::{CONFIG_LIMIT, Configuration, Descriptor, Document, Manifest, media};
use crate::layer::{self, Expected, Unpacked};
use crate::platform::{Platform, choose};
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::{Store, Transaction, chain_ids};

/// Downloads at once; Docker's number.
const DOWNLOADS: usize = 3;
/// A second unpacking thread gains up to 30 %, a third nothing.
const UNPACKERS: usize = 2;

/// Makes an image of a registry available here.
///
/// # Errors
/// Class `NotFound` and `Denied` as the registry says, `Unavailable` if it does not answer, `Invalid` for
/// content that is not what its digest says, `Unsupported` for what is no image.
pub fn pull(
    store: &Store,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled> {
    if options.policy != PullPolicy::Always {
        match store.find(&reference.to_string(), options.platform.as_ref()) {
            Ok(image) => {
                return Ok(Pulled {
                    image,
                    updated: false,
                });
            }
            Err(error) if error.class() != Class::NotFound => return Err(error),
            Err(error) if options.policy == PullPolicy::Never => {
                return Err(error.hint(format!("berth pull {}", reference.familiar())));
            }
            Err(_absent) => {}
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.explain(|| "cannot start network input and output".into())?;
    let familiar = reference.familiar();
    progress.event(&Event::Resolving {
        reference: &familiar,
    });
    let client = runtime.block_on(Client::connect(reference, options, progress))?;
    let pull = Pull {
        store,
        reference,
        options,
        progress,
        client: &client,
        runtime: &runtime,
        familiar,
    };
    let (target, manifest, config) = pull.documents()?;
    let updated = pull.content(&target, &manifest, config)?;
    let at = reference.to_string();
    let image = store.find(&at, options.platform.as_ref())?;
    Ok(Pulled { image, updated })
}

struct Pull<'a> {
    store: &'a Store,
    reference: &'a Reference,
    options: &'a PullOptions,
    progress: &'a dyn Progress,
    client: &'a Client<'a>,
    runtime: &'a tokio::runtime::Runtime,
    familiar: String,
}

/// A document with everything needed to store it.
struct Fetched {
    document: Document,
    bytes: Vec<u8>,
    descriptor: Descriptor,
}

/// One blob on its way.
struct Blob<'a> {
    descriptor: &'a Descriptor,
    tail: Tail,
    path: PathBuf,
    existed: bool,
}

/// One thing for an unpacking thread to do.
struct Job<'a> {
    blob: &'a Blob<'a>,
    /// Chain id and diff id of the layer to make; without, the blob is only verified.
    layer: Option<(Digest, Digest)>,
}

/// What came out of a job.
struct Done {
    layer: Option<(Digest, OsString, Unpacked)>,
}

impl Pull<'_> {
    fn failed(&self, failure: super::failure::Failure) -> Error {
        failure.about(&self.familiar, self.reference.registry())
    }

    fn fetch(
        &self,
        what: &str,
        expected: Option<&Digest>,
        announced: Option<&str>,
    ) -> Result<Fetched> {
        let known = expected.map(|digest| {
            self.store
                .read_blob(digest, crate::documents::MANIFEST_LIMIT)
        });
        let received = match known {
            Some(Ok(Some(bytes))) => {
                let digest = expected
                    .cloned()
                    .unwrap_or_else(|| crate::store::sha256(&bytes));
                Received {
                    bytes,
                    media_type: None,
                    digest,
                }
            }
            _ => {
                let manifest = self.client.manifest(what, expected);
                self.runtime
                    .block_on(manifest)
                    .map_err(|failure| self.failed(failure))?
            }
        };
        let announced = received.media_type.as_deref().or(announced);
        let document = Document::parse(&received.bytes, announced)
            .map_err(|error| error.context(format!("cannot pull {}", self.familiar)))?;
        let media_type = document.media_type().to_owned();
        let size = received.bytes.len() as u64;
        let descriptor = Descriptor::new(&media_type, received.digest, size);
        Ok(Fetched {
            document,
            bytes: received.bytes,
            descriptor,
        })
    }

    /// What the reference leads to, the manifest for this platform, and its config.
    fn documents(&self) -> Result<(Fetched, Fetched, Vec<u8>)> {
        let digest = match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => Some(digest.clone()),
            (None, Some(tag)) => {
                let digest = self.client.digest_of_tag(tag);
                self.runtime
                    .block_on(digest)
                    .map_err(|failure| self.failed(failure))?
            }
            (None, None) => None,
        };
        let what = digest
            .as_ref()
            .map(Digest::as_str)
            .or(self.reference.tag())
            .unwrap_or("latest");
        let target = self.fetch(what, digest.as_ref(), None)?;
        let manifest = match &target.document {
            Document::Manifest(_) => Fetched {
                document: target.document.clone(),
                bytes: Vec::new(),
                descriptor: target.descriptor.clone(),
            },
            Document::Index(index) => {
                let host = Platform::host();
                let entry = choose(self.options.platform.as_ref(), &host, index.images(&host));
                let entry = entry.ok_or_else(|| self.no_platform(index.images(&host)))?;
                let digest = &entry.digest;
                self.fetch(digest.as_str(), Some(digest), Some(&entry.media_type))?
            }
        };
        let Document::Manifest(inner) = &manifest.document else {
            let reason = "its index leads to another index";
            return Err(
                Error::new(Class::Unsupported, format!("cannot pull {}", self.familiar))
                    .caused_by(reason),
            );
        };
        check_manifest(inner, &self.familiar)?;
        let config = match self.store.read_blob(&inner.config.digest, CONFIG_LIMIT) {
            Ok(Some(bytes)) => bytes,
            _ => {
                let config = self.client.small_blob(&inner.config.digest, CONFIG_LIMIT);
                self.runtime
                    .block_on(config)
                    .map_err(|failure| self.failed(failure))?
            }
        };
        Ok((target, manifest, config))
    }

    fn no_platform<'b>(
        &self,
        offered: impl Iterator<Item = (&'b Platform, &'b Descriptor)>,
    ) -> Error {
        let offered: Vec<String> = offered.map(|(platform, _)| platform.to_string()).collect();
        let wanted = self.options.platform.clone().unwrap_or_else(Platform::host);
        Error::new(
            Class::NotFound,
            format!("{} has no image for {wanted}", self.familiar),
        )
        .caused_by(format!("it offers {}", offered.join(", ")))
        .hint("choose one of them with --platform")
    }

    /// Fetches what is missing and commits; whether anything changed.
    fn content(&self, target: &Fetched, manifest: &Fetched, config_bytes: Vec<u8>) -> Result<bool> {
        let Document::Manifest(inner) = &manifest.document else {
            return Ok(false);
        };
        let config = Configuration::parse(&config_bytes)
            .map_err(|error| error.context(format!("cannot pull {}", self.familiar)))?;
        self.check_platform(inner, &config)?;
        let content = Content::of(inner, &config);
        let diff_ids: Vec<Digest> = content
            .archives
            .iter()
            .map(|(_, diff)| diff.clone())
            .collect();
        let chains = chain_ids(&diff_ids);
        let mut transaction = self.store.transaction()?;
        let sizes: Vec<(Digest, u64)> = inner
            .layers
            .iter()
            .map(|layer| (layer.digest.clone(), layer.size))
            .collect();
        self.progress.event(&Event::Layers { layers: &sizes });
        let blobs = self.open_blobs(&transaction, &inner.layers)?;
        let mut jobs = VecDeque::new();
        for blob in &blobs {
            let layers = content.archives.iter().zip(&chains);
            let layers = layers.filter(|((layer, _), _)| layer.digest == blob.descriptor.digest);
            let mut unpacking = false;
            for ((_, diff_id), chain) in layers {
                if !self.store.layer_path(chain).exists() {
                    jobs.push_back(Job {
                        blob,
                        layer: Some((chain.clone(), diff_id.clone())),
                    });
                    unpacking = true;
                }
            }
            if !unpacking && !blob.existed {
                jobs.push_back(Job { blob, layer: None });
            } else if !unpacking {
                let layer = &blob.descriptor.digest;
                self.progress.event(&Event::LayerDone {
                    layer,
                    existed: true,
                });
            }
        }
        let mut updated = !jobs.is_empty();
        let done = self.run(&transaction, &blobs, jobs)?;
        stage_layers(self.store, &mut transaction, done, &chains)?;
        for blob in blobs.iter().filter(|blob| !blob.existed) {
            transaction.add_file(blob.path.clone(), blob.descriptor.digest.clone());
        }
        transaction.add_bytes(&config_bytes, Some(&inner.config.digest))?;
        for fetched in [manifest, target] {
            if !fetched.bytes.is_empty() {
                updated |= !self.store.has_blob(&fetched.descriptor.digest);
                transaction.add_bytes(&fetched.bytes, Some(&fetched.descriptor.digest))?;
            }
        }
        let before = self.store.find(&self.reference.to_string(), None).ok();
        updated |= before.is_none_or(|image| *image.target() != target.descriptor.digest);
        transaction.commit(std::slice::from_ref(self.reference), &target.descriptor)?;
        Ok(updated)
    }

    /// A single manifest has no index that could have refused the wrong platform.
    fn check_platform(&self, manifest: &Manifest, config: &Configuration) -> Result<()> {
        let Some(wanted) = &self.options.platform else {
            return Ok(());
        };
        let offered = Platform {
            os: config.os.clone(),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
        };
        let silent = config.os.is_empty() || config.architecture.is_empty();
        let module = manifest
            .layers
            .iter()
            .any(|layer| media::is_module(&layer.media_type));
        if silent && (!wanted.is_wasm() || module) || wanted.served_by(&offered).is_some() {
            return Ok(());
        }
        let entry = Descriptor::new("", manifest.config.digest.clone(), 0);
        Err(self.no_platform(std::iter::once((&offered, &entry))))
    }

    /// Opens each blob once: the finished one, or its partial download.
    fn open_blobs<'b>(
        &self,
        transaction: &Transaction,
        layers: &'b [Descriptor],
    ) -> Result<Vec<Blob<'b>>> {
        let mut blobs: Vec<Blob<'b>> = Vec::new();
        for descriptor in layers {
            if blobs
                .iter()
                .any(|blob| blob.descriptor.digest == descriptor.digest)
            {
                continue;
            }
            let place = self.store.blob_path(&descriptor.digest);
            let blob = if let Ok(file) = std::fs::File::open(&place) {
                let length = file.metadata().map_or(0, |metadata| metadata.len());
                Blob {
                    descriptor,
                    tail: Tail::new(file, length, true),
                    path: place,
                    existed: true,
                }
            } else {
                let (file, path) = transaction.partial(&descriptor.digest)?;
                let mut written = file.metadata().map_or(0, |metadata| metadata.len());
                if written > descriptor.size {
                    file.set_len(0)
                        .explain(|| format!("cannot empty {}", path.display()))?;
                    written = 0;
                }
                Blob {
                    descriptor,
                    tail: Tail::new(file, written, false),
                    path,
                    existed: false,
                }
            };
            blobs.push(blob);
        }
        Ok(blobs)
    }

    /// Downloads on this thread while two others unpack.
    fn run(
        &self,
        transaction: &Transaction,
        blobs: &[Blob<'_>],
        jobs: VecDeque<Job<'_>>,
    ) -> Result<Vec<Done>> {
        let cancelled = AtomicBool::new(false);
        let jobs = Mutex::new(jobs);
        let results = Mutex::new(Vec::new());
        let downloaded = std::thread::scope(|scope| {
            for _ in 0..UNPACKERS {
                scope.spawn(|| {
                    while let Some(job) = lock(&jobs).pop_front() {
                        let result = self.work(&job, transaction.directory());
                        if result.is_err() {
                            cancelled.store(true, Ordering::Relaxed);
                        }
                        lock(&results).push(result);
                    }
                });
            }
            self.runtime.block_on(self.download_all(blobs, &cancelled))
        });
        // A failed download makes every reader of it fail too; the download's own reason is the one to tell.
        downloaded?;
        results
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .into_iter()
            .collect()
    }

    async fn download_all(&self, blobs: &[Blob<'_>], cancelled: &AtomicBool) -> Result<()> {
        let permits = tokio::sync::Semaphore::new(DOWNLOADS);
        let missing: Vec<&Blob<'_>> = blobs.iter().filter(|blob| !blob.existed).collect();
        let downloads = missing.into_iter().map(|blob| {
            let permits = &permits;
            async move {
                // The semaphore is never closed, so this cannot fail.
                let _permit = permits.acquire().await.ok();
                let result = if cancelled.load(Ordering::Relaxed) {
                    Err(Undone::Cancelled)
                } else if blob.tail.written() == blob.descriptor.size {
                    Ok(())
                } else {
                    let download = Download {
                        blob: blob.descriptor,
                        tail: &blob.tail,
                        progress: self.progress,
                        cancelled,
                    };
                    self.client.download(&download).await
                };
                blob.tail.end(result.is_ok());
                match result {
                    Ok(()) => {
                        self.progress.event(&Event::Downloaded {
                            layer: &blob.descriptor.digest,
                        });
                        Ok(())
                    }
                    Err(undone) => {
                        cancelled.store(true, Ordering::Relaxed);
                        Err(undone)
                    }
                }
            }
        });
        let mut cause = None;
        for result in join(downloads.collect()).await {
            match result {
                Err(Undone::Registry(failure)) => cause = Some(self.failed(failure)),
                Err(Undone::Disk(error)) => {
                    let class = berth_sys::error::class(&error);
                    let message = format!("cannot store {}", self.familiar);
                    cause = Some(Error::new(class, message).caused_by(error));
                }
                Ok(()) | Err(Undone::Cancelled) => {}
            }
        }
        cause.map_or(Ok(()), Err)
    }

    /// Unpacks or verifies one blob; a damaged one is thrown away so that the next pull starts afresh.
    fn work(&self, job: &Job<'_>, into: &Directory) -> Result<Done> {
        let result = unpack_or_verify(job, into);
        let digest = &job.blob.descriptor.digest;
        match &result {
            Ok(_) => self.progress.event(&Event::LayerDone {
                layer: digest,
                existed: false,
            }),
            Err(error) if error.class() == Class::Invalid && job.blob.existed => {
                drop(self.store.quarantine(&job.blob.path, "a layer"));
            }
            Err(error) if error.class() == Class::Invalid => {
                // It may be gone already: the same blob can be two layers.
                drop(std::fs::remove_file(&job.blob.path));
            }
            Err(_) => {}
        }
        result.map_err(|error| error.context(format!("cannot unpack {}", self.familiar)))
    }
}

fn unpack_or_verify(job: &Job<'_>, into: &Directory) -> Result<Done> {
    let blob = &job.blob.descriptor.digest;
    let Some((chain, diff_id)) = &job.layer else {
        verify(blob, job.blob.tail.reader())?;
        return Ok(Done { layer: None });
    };
    let expected = Expected {
        blob: Some(blob.clone()),
        diff_id: Some(diff_id.clone()),
    };
    let (name, unpacked) = unpack_new(job.blob.tail.reader(), into, &expected)?;
    if blob.algorithm() != "sha256" {
        verify(blob, job.blob.tail.reader())?;
    }
    Ok(Done {
        layer: Some((chain.clone(), name, unpacked)),
    })
}

/// Compares a blob with its digest, whatever its algorithm.
fn verify(digest: &Digest, mut bytes: impl std::io::Read) -> Result<()> {
    let computed = crate::store::digest_of_reader(digest, &mut bytes)
        .explain(|| format!("cannot read blob {digest}"))?;
    if computed == *digest {
        return Ok(());
    }
    Err(
        Error::new(Class::Invalid, format!("layer {digest} is damaged"))
            .caused_by(format!("its content has the digest {computed}")),
    )
}

/// Unpacks a stream into a new directory of the transaction.
pub(crate) fn unpack_new(
    source: impl std::io::Read,
    into: &Directory,
    expected: &Expected,
) -> Result<(OsString, Unpacked)> {
    let name = unique_name("layer-");
    let make = || {
        into.create_directory(&name, 0o755)?;
        into.directory(std::path::Path::new(&name), Links::Refused)
    };
    let directory = make().explain(|| "cannot make a directory for a layer".into())?;
    let unpacked = layer::unpack(source, &directory, expected)?;
    Ok((name, unpacked))
}

/// Stages unpacked layers bottom first, each with the attributes it inherits from those below.
fn stage_layers(
    store: &Store,
    transaction: &mut Transaction,
    done: Vec<Done>,
    chains: &[Digest],
) -> Result<()> {
    let mut layers: Vec<_> = done.into_iter().filter_map(|done| done.layer).collect();
    let rank = |chain: &Digest| chains.iter().position(|other| other == chain).unwrap_or(0);
    layers.sort_by_key(|(chain, ..)| rank(chain));
    for (chain, name, unpacked) in layers {
        stage_layer(
            store,
            transaction,
            (chain.clone(), name, unpacked),
            &chains[..rank(&chain)],
        )?;
    }
    Ok(())
}

/// Stages one unpacked layer; `below` are the chain ids of the layers under it, bottom first.
pub(crate) fn stage_layer(
    store: &Store,
    transaction: &mut Transaction,
    (chain, name, unpacked): (Digest, OsString, Unpacked),
    below: &[Digest],
) -> Result<()> {
    if !unpacked.implied.is_empty() {
        let open = |chain: &Digest| match transaction.staged_layer(chain) {
            Some(staged) => transaction
                .directory()
                .directory(staged.as_ref(), Links::Refused),
            None => Directory::open(&store.layer_path(chain)),
        };
        let lowers: std::io::Result<Vec<Directory>> = below.iter().rev().map(open).collect();
        let lowers = lowers.explain(|| "cannot open the layers below".into())?;
        let own = transaction
            .directory()
            .directory(name.as_ref(), Links::Refused);
        let own = own.explain(|| "cannot open the unpacked layer".into())?;
        layer::inherit(&own, &unpacked.implied, &lowers)?;
    }
    transaction.add_layer(name, chain, unpacked.size)
}

/// Runs futures together on one thread; all results, in order.
async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panicking worker leaves the list itself whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
