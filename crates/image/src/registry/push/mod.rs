//! From the store to a registry: blobs first, then manifests, the one that is named last.
//!
//! ```text
//!  name ─► documents ─► [compressed anew] ─► blobs: there? mounted? uploaded ─► manifests ─► tag
//! ```
//!
//! What was pulled is pushed byte for byte: the store keeps documents and blobs as they were received.

mod compress;
mod documents;
mod style;
mod upload;
mod wasm;

use std::path::Path;

use berth_contract::{Class, Digest, Error, Result};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};

pub use compress::Recompression;
pub(in crate::registry) use documents::{DEPTH_LIMIT, too_deep};
pub(crate) use documents::{Documents, subject};
pub(super) use upload::Begun;

use super::access::Access;
use super::client::{Client, Payload, REPLY_LIMIT, Request};
use super::compose::Transfer;
use super::failure::Failure;
use super::layers::join;
use super::manifest::digest_of;
use super::transport;
use crate::convert::DocumentStyle;
use crate::documents::Descriptor;
use crate::platform::Platform;
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::Store;

/// Uploads at once; Docker's number for downloads, and as much memory as chunks are worth.
const UPLOADS: usize = 3;

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Of an index, push the image of this platform alone.
    pub platform: Option<Platform>,
    /// How registries are reached.
    pub access: Access,
    /// How layers are compressed; without, they go as they are.
    pub compression: Option<Recompression>,
    /// Whose documents describe what is pushed; without, they go as they are.
    pub style: Option<DocumentStyle>,
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of what the name leads to now.
    pub digest: Digest,
    /// The bytes of that document.
    pub size: u64,
    /// Whether only one image of an index was pushed, because the others are not here.
    pub partial: bool,
}

/// Pushes an image or an artifact, by any name, to a registry.
///
/// # Errors
/// Class `NotFound` if it is not here, `Denied` and `Unavailable` as the registry says.
pub fn push(
    store: &Store,
    image: &str,
    destination: &Reference,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Pushed> {
    let _hold = store.hold()?;
    let found = match store.find(image, options.platform.as_ref()) {
        Err(error) if error.class() == Class::NotFound && options.platform.is_none() => {
            if let Ok(artifact) = store.find_artifact(image) {
                if options.style == Some(DocumentStyle::Docker) {
                    let message = "cannot describe an artifact with Docker's documents";
                    return Err(Error::new(Class::Invalid, message));
                }
                if options.compression.is_some() {
                    let message = "cannot compress the files of an artifact";
                    return Err(
                        Error::new(Class::Invalid, message).caused_by("they go as they are")
                    );
                }
                let how = (options, progress);
                return push_manifest(store, &artifact.descriptor(), destination, how);
            }
            Err(error)
        }
        found => Ok(found?),
    };
    let (mut documents, found) = match (found, &options.platform) {
        (Ok(found), Some(_)) => (Documents::of_manifest(store, &found)?, Some(found)),
        (Ok(found), None) => (Documents::of_target(store, &found)?, Some(found)),
        // A list, of which only registries have the images.
        (Err(error), _) => (Documents::of_name(store, image)?.ok_or(error)?, None),
    };
    let mut push = Push::new(store, destination, options, progress)?;
    push.bring_missing(&mut documents, options)?;
    let mut partial = false;
    if !push.has_all(&documents.missing)? {
        // Docker's rule: what is here of an index is worth pushing by itself.
        documents = Documents::of_manifest(store, &found.ok_or_else(|| incomplete(image))?)?;
        partial = true;
    }
    if let Some(compression) = &options.compression {
        documents.compress(store, compression)?;
    }
    if let Some(style) = options.style {
        documents.describe(style)?;
    }
    push.run(&documents)
        .map(|pushed| Pushed { partial, ..pushed })
}

/// Of a list, nothing is left that could be pushed by itself.
fn incomplete(list: &str) -> Error {
    let message = format!("cannot push {list}");
    Error::new(Class::NotFound, message)
        .caused_by("its images are neither here nor where it is to go")
        .hint(format!("berth manifest inspect {list}"))
}

/// Pushes a manifest that need be no image, with the blobs it names.
///
/// # Errors
/// A blob is not here; else as for [`push`].
pub fn push_manifest(
    store: &Store,
    manifest: &Descriptor,
    destination: &Reference,
    (options, progress): (&PushOptions, &dyn Progress),
) -> Result<Pushed> {
    let documents = Documents::of_descriptor(store, manifest)?;
    Push::new(store, destination, options, progress)?.run(&documents)
}

/// Pushes a wasm module or component as an artifact that any wasm runtime knows (CNCF TAG-Runtime).
///
/// # Errors
/// Class `Invalid` for what is no wasm; else as for [`push`].
pub fn push_wasm(
    store: &Store,
    module: &Path,
    created: &str,
    destination: &Reference,
    (options, progress): (&PushOptions, &dyn Progress),
) -> Result<Pushed> {
    let documents = Documents::of_wasm(store, module, created)?;
    Push::new(store, destination, options, progress)?.run(&documents)
}

/// Pushes the program of a wasm image as such an artifact.
///
/// # Errors
/// Class `Invalid` when its program is no wasm; else as for [`push`].
pub fn push_wasm_image(
    store: &Store,
    image: &str,
    destination: &Reference,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Pushed> {
    let _hold = store.hold()?;
    let wanted = options.platform.as_ref();
    let image = match store.find(image, wanted)? {
        // Of an image for several platforms it is the wasm one that is meant.
        native if wanted.is_none() && !native.platform().is_wasm() => store
            .find(image, Some(&Platform::new("wasi", "wasm")))
            .unwrap_or(native),
        image => image,
    };
    if options.compression.is_some() {
        return Err(compress::no_archive());
    }
    let documents = Documents::of_wasm_image(store, &image)?;
    Push::new(store, destination, options, progress)?.run(&documents)
}

/// One push.
struct Push<'a> {
    store: &'a Store,
    destination: &'a Reference,
    progress: &'a dyn Progress,
    client: Client<'a>,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Push<'a> {
    fn new(
        store: &'a Store,
        destination: &'a Reference,
        options: &'a PushOptions,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        if destination.digest().is_some() {
            let message = format!("cannot push to {}", destination.familiar());
            return Err(Error::new(Class::Invalid, message)
                .caused_by("a digest is computed, not given")
                .hint("name a tag"));
        }
        let endpoint = options.access.registries.push_endpoint(destination)?;
        let mut client = Client::new(&endpoint, &options.access, progress)?;
        client
            .authority
            .need(format!("repository:{}:pull,push", endpoint.repository));
        Ok(Self {
            store,
            destination,
            progress,
            client,
            runtime: transport::runtime()?,
        })
    }

    fn failed(&self, failure: Failure) -> Error {
        push_failure(self.destination, failure)
    }

    /// Waits for an answer, unless it is to wait no more.
    fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T> {
        let interrupt = &self.client.access.interrupt;
        let answer = self.runtime.block_on(interrupt.unless(answer));
        let message = || format!("cannot push {}", self.destination.familiar());
        answer.ok_or_else(|| interrupt.error(&message()))
    }

    /// Brings what only other repositories have of a list, as it was noted when it was listed.
    fn bring_missing(&self, documents: &mut Documents, options: &PushOptions) -> Result<()> {
        let target = documents.manifests.last();
        let Some((target, _)) = target.filter(|_| !documents.missing.is_empty()) else {
            return Ok(());
        };
        let sources = self.store.sources_of(&target.digest)?;
        let mut transfer = None;
        for digest in std::mem::take(&mut documents.missing) {
            let elsewhere = sources.get(&digest);
            let Some(source) = elsewhere.filter(|from| from.name() != self.destination.name())
            else {
                documents.missing.push(digest);
                continue;
            };
            let transfer = match &mut transfer {
                Some(transfer) => transfer,
                None => transfer.insert(Transfer::new(
                    self.store,
                    self.destination,
                    &options.access,
                    self.progress,
                )?),
            };
            transfer.document(source, &digest)?;
        }
        Ok(())
    }

    /// Whether the registry has these manifests already.
    fn has_all(&self, missing: &[Digest]) -> Result<bool> {
        for digest in missing {
            let there = self.wait(self.client.digest_of_tag(digest.as_str()))?;
            if there.map_err(|failure| self.failed(failure))?.as_ref() != Some(digest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn run(&mut self, documents: &Documents) -> Result<Pushed> {
        let sizes: Vec<(Digest, u64)> = documents
            .blobs
            .iter()
            .map(|(blob, _)| (blob.digest.clone(), blob.size))
            .collect();
        self.progress.event(&Event::Layers { layers: &sizes });
        let donors = self.donors(documents)?;
        for repository in donors.iter().flatten() {
            self.client
                .authority
                .need(format!("repository:{repository}:pull"));
        }
        let uploaded = self.wait(self.upload_all(documents, &donors))?;
        uploaded.map_err(|undone| undone.into_error(|failure| self.failed(failure)))?;
        let tag = self.destination.tag().unwrap_or("latest");
        for (position, (descriptor, bytes)) in documents.manifests.iter().enumerate() {
            let last = position + 1 == documents.manifests.len();
            let name = if last {
                tag
            } else {
                descriptor.digest.as_str()
            };
            let put = self.client.put_manifest(name, descriptor, bytes.clone());
            self.wait(put)?.map_err(|failure| self.failed(failure))?;
        }
        let (target, _) = documents
            .manifests
            .last()
            .ok_or_else(|| Error::new(Class::Internal, "there is nothing to push"))?;
        Ok(Pushed {
            digest: target.digest.clone(),
            size: target.size,
            partial: false,
        })
    }

    /// For each blob, another repository of the same registry that should have it.
    fn donors(&self, documents: &Documents) -> Result<Vec<Option<String>>> {
        let owners = self.store.owners_at(self.destination.registry())?;
        let own = self.destination.repository();
        let donors = documents.blobs.iter().map(|(blob, _)| {
            let mut owners = owners.iter().filter(|(digest, _)| *digest == blob.digest);
            owners
                .find(|(_, repository)| repository != own)
                .map(|(_, name)| name.clone())
        });
        Ok(donors.collect())
    }

    async fn upload_all(
        &self,
        documents: &Documents,
        donors: &[Option<String>],
    ) -> Result<(), upload::Undone> {
        let permits = tokio::sync::Semaphore::new(UPLOADS);
        let uploads = documents
            .blobs
            .iter()
            .zip(donors)
            .map(|((blob, path), donor)| {
                let permits = &permits;
                async move {
                    // The semaphore is never closed, so this cannot fail.
                    let _permit = permits.acquire().await.ok();
                    if permits.is_closed() {
                        return Ok(());
                    }
                    let result = self.client.provide(blob, path, donor.as_deref()).await;
                    match &result {
                        Ok(how) => self.progress.event(&Event::Pushed {
                            layer: &blob.digest,
                            how,
                        }),
                        // What the others would upload is worth nothing now.
                        Err(_) => permits.close(),
                    }
                    result.map(drop)
                }
            });
        join(uploads.collect()).await.into_iter().collect()
    }
}

impl Client<'_> {
    /// Puts a manifest under a tag or its digest (end-7a), and lists it with its subject where the
    /// registry does not do that itself.
    pub(in crate::registry) async fn put_manifest(
        &self,
        name: &str,
        descriptor: &Descriptor,
        bytes: bytes::Bytes,
    ) -> Result<(), Failure> {
        let url: Url = self.url(&format!("manifests/{name}"))?;
        let mut request =
            Request::new(Method::PUT, url.clone()).header(CONTENT_TYPE, &descriptor.media_type);
        request.body = Payload::Bytes(bytes.clone());
        let response = self.send(&request).await?;
        if let Some(digest) = digest_of(response.headers())
            && digest.algorithm() == descriptor.digest.algorithm()
            && digest != descriptor.digest
        {
            return Err(Failure::content(&url, &descriptor.digest, &digest));
        }
        let lists = response.headers().contains_key("oci-subject");
        let body = self.body(response, REPLY_LIMIT, &url).await;
        let body = body.unwrap_or_default();
        Failure::unless_page(&Method::PUT, &url, &body)?;
        if !lists && let Some(subject) = subject(&bytes) {
            self.list_referrer(&subject, descriptor, &bytes).await?;
        }
        Ok(())
    }
}

/// Why something could not be pushed there.
pub(super) fn push_failure(destination: &Reference, failure: Failure) -> Error {
    let denied = matches!(
        failure.status,
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    );
    let (name, registry) = (destination.familiar(), destination.registry());
    if denied {
        return Error::new(Class::Denied, format!("the registry denies pushing {name}"))
            .caused_by(failure)
            .hint(format!("check the name, or log in: berth login {registry}"));
    }
    // Not the image is missing but the repository, or what the registry wants first.
    if failure.status == Some(StatusCode::NOT_FOUND) {
        return Error::new(Class::NotFound, format!("cannot push {name}"))
            .caused_by(failure)
            .hint("some registries want a repository to be made before it is pushed to");
    }
    failure.about_to("push", &name, registry)
}
