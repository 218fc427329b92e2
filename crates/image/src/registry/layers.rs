//! The layers of a pull: downloaded on this thread while others verify and unpack them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::Directory;

use super::blob::{Download, Undone};
use super::pull::Pull;
use super::tail::Tail;
use crate::documents::Descriptor;
use crate::layer::{Expected, Unpacked, stage_layer, unpack_new};
use crate::progress::Event;
use crate::store::{Partial, Store, Transaction};

/// Downloads at once; Docker's number.
const DOWNLOADS: usize = 3;
/// Unpacking threads: on two processors a third gains nothing, on many more the disk is the limit.
const UNPACKERS: std::ops::RangeInclusive<usize> = 2..=6;

/// One blob on its way.
pub(super) struct Blob<'a> {
    pub(super) descriptor: &'a Descriptor,
    tail: Tail,
    pub(super) path: PathBuf,
    pub(super) existed: bool,
}

/// One thing for an unpacking thread to do.
pub(super) struct Job<'a> {
    pub(super) blob: &'a Blob<'a>,
    /// Chain id and diff id of the layer to make; without, the blob is only verified.
    pub(super) layer: Option<(Digest, Digest)>,
}

/// What came out of a job.
pub(super) struct Done {
    pub(super) layer: Option<(Digest, OsString, Unpacked)>,
}

impl Pull<'_> {
    /// Opens each blob once: the finished one, or its partial download.
    pub(super) fn open_blobs<'b>(
        &self,
        transaction: &Transaction,
        layers: &'b [Descriptor],
    ) -> Result<Vec<Blob<'b>>> {
        let mut ordered: Vec<&Descriptor> = layers.iter().collect();
        ordered.sort_by_key(|layer| &layer.digest);
        ordered.dedup_by_key(|layer| &layer.digest);
        let opened = ordered
            .into_iter()
            .map(|layer| self.open_blob(transaction, layer));
        let mut blobs = opened.collect::<Result<Vec<_>>>()?;
        let rank = |blob: &Blob<'_>| {
            layers
                .iter()
                .position(|layer| layer.digest == blob.descriptor.digest)
        };
        blobs.sort_by_key(rank);
        Ok(blobs)
    }

    fn open_blob<'b>(
        &self,
        transaction: &Transaction,
        descriptor: &'b Descriptor,
    ) -> Result<Blob<'b>> {
        let waiting = || {
            self.progress.event(&Event::Waiting {
                layer: &descriptor.digest,
            });
        };
        let interrupt = &self.options.access.interrupt;
        // Nobody tells when the other has finished; a tenth of a second is not noticed.
        let waits = || !interrupt.wait(std::time::Duration::from_millis(100));
        let partial = transaction.partial(&descriptor.digest, &waiting, &waits)?;
        let partial = partial.ok_or_else(|| self.interrupted())?;
        let Partial::Here(file, path) = partial else {
            let path = self.store.blob_path(&descriptor.digest);
            let file = std::fs::File::open(&path)
                .explain(|| format!("cannot open blob {}", descriptor.digest))?;
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            return Ok(Blob {
                descriptor,
                tail: Tail::new(file, length, true),
                path,
                existed: true,
            });
        };
        let mut written = file.metadata().map_or(0, |metadata| metadata.len());
        if written > descriptor.size {
            file.set_len(0)
                .explain(|| format!("cannot empty {}", path.display()))?;
            written = 0;
        }
        Ok(Blob {
            descriptor,
            tail: Tail::new(file, written, false),
            path,
            existed: false,
        })
    }

    /// Downloads on this thread while others unpack.
    pub(super) fn run(
        &self,
        transaction: &Transaction,
        blobs: &[Blob<'_>],
        jobs: VecDeque<Job<'_>>,
    ) -> Result<Vec<Done>> {
        let cancelled = AtomicBool::new(false);
        let jobs = Mutex::new(jobs);
        let results = Mutex::new(Vec::new());
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let downloaded = std::thread::scope(|scope| {
            for _ in 0..processors.clamp(*UNPACKERS.start(), *UNPACKERS.end()) {
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
            let interrupt = &self.options.access.interrupt;
            let downloads = interrupt.unless(self.download_all(blobs, &cancelled));
            self.runtime.block_on(downloads).unwrap_or_else(|| {
                // Nobody ends the files any more that the others read.
                cancelled.store(true, Ordering::Relaxed);
                blobs.iter().for_each(|blob| blob.tail.end(false));
                Err(self.interrupted())
            })
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

/// Stages unpacked layers bottom first, each with the attributes it inherits from those below.
pub(super) fn stage_layers(
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

/// Runs futures together on one thread; all results, in order.
pub(super) async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
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
