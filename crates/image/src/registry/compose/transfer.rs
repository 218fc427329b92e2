//! Bringing what a composed image lists into the repository that shall have it, then naming it.

use std::collections::HashSet;

use berth_contract::{Digest, Error, Result};
use bytes::Bytes;

use super::{Composition, Fetched};
use crate::blob_source::BlobSource;
use crate::documents::{Descriptor, Document, Manifest, media};
use crate::progress::Progress;
use crate::reference::Reference;
use crate::registry::access::Access;
use crate::registry::client::Client;
use crate::registry::manifest::remote_document;
use crate::registry::push::{Begun, DEPTH_LIMIT, push_failure, too_deep};
use crate::registry::transport;
use crate::store::{Store, Transaction};

/// One repository on its way to have everything.
pub(in crate::registry) struct Transfer<'a> {
    target: &'a Reference,
    client: Client<'a>,
    runtime: tokio::runtime::Runtime,
    scratch: Transaction,
    access: &'a Access,
    seen: HashSet<Digest>,
}

/// Brings all that is listed, then puts the document under its tag.
pub(super) fn bring(
    store: &Store,
    (fetched, composition): (&[Fetched], &Composition<'_>),
    (target, (descriptor, bytes)): (&Reference, (Descriptor, Vec<u8>)),
    progress: &dyn Progress,
) -> Result<()> {
    let mut transfer = Transfer::new(store, target, composition.access, progress)?;
    let listed: Option<HashSet<Digest>> =
        match Document::parse(&bytes, Some(&descriptor.media_type))? {
            Document::Index(index) => {
                Some(index.manifests.into_iter().map(|one| one.digest).collect())
            }
            Document::Manifest(_) => None,
        };
    for one in fetched {
        let from = &one.source.reference;
        if from.name() == target.name() {
            continue;
        }
        let wanted = |digest: &Digest| listed.as_ref().is_none_or(|listed| listed.contains(digest));
        match &one.remote.document {
            Document::Index(index) => {
                for entry in index.manifests.iter().filter(|entry| wanted(&entry.digest)) {
                    transfer.document(from, &entry.digest)?;
                }
            }
            Document::Manifest(_) => transfer.document(from, &one.remote.descriptor.digest)?,
        }
    }
    transfer.put(target.tag().unwrap_or("latest"), &descriptor, bytes)
}

impl<'a> Transfer<'a> {
    /// Into the repository of `target`.
    pub(in crate::registry) fn new(
        store: &Store,
        target: &'a Reference,
        access: &'a Access,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let endpoint = access.registries.push_endpoint(target)?;
        let mut client = Client::new(&endpoint, access, progress)?;
        client
            .authority
            .need(format!("repository:{}:pull,push", endpoint.repository));
        Ok(Self {
            target,
            client,
            runtime: transport::runtime()?,
            scratch: store.transaction()?,
            access,
            seen: HashSet::new(),
        })
    }

    /// A manifest with its blobs, or an index with its manifests, out of another repository.
    pub(in crate::registry) fn document(
        &mut self,
        from: &Reference,
        digest: &Digest,
    ) -> Result<()> {
        self.within(from, digest, DEPTH_LIMIT)
    }

    fn within(&mut self, from: &Reference, digest: &Digest, depth: usize) -> Result<()> {
        if !self.seen.insert(digest.clone()) {
            return Ok(());
        }
        let remote = remote_document(&from.at(digest), self.access)?;
        match &remote.document {
            Document::Manifest(manifest) => self.blobs(from, manifest)?,
            // Each is looked at once, so that even one that lists itself ends.
            Document::Index(index) => {
                let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
                for inner in &index.manifests {
                    self.within(from, &inner.digest, depth)?;
                }
            }
        }
        self.put(digest.as_str(), &remote.descriptor, remote.bytes)
    }

    fn blobs(&mut self, from: &Reference, manifest: &Manifest) -> Result<()> {
        let blobs = manifest.layers.iter().chain([&manifest.config]);
        for blob in blobs.filter(|blob| !media::is_foreign(&blob.media_type)) {
            if self.seen.insert(blob.digest.clone()) {
                self.blob(from, blob)?;
            }
        }
        Ok(())
    }

    /// Mounted where one registry has both, else fetched and sent.
    fn blob(&mut self, from: &Reference, blob: &Descriptor) -> Result<()> {
        let donor = (from.registry() == self.target.registry()).then(|| from.repository());
        if let Some(donor) = donor {
            self.client
                .authority
                .need(format!("repository:{donor}:pull"));
        }
        let begun = self.wait(self.client.begin(blob, donor))?;
        let place = match begun.map_err(|failure| self.failed(failure))? {
            Begun::There(_) => return Ok(()),
            Begun::Upload(place) => place,
        };
        let (_, path) = self.scratch.new_file()?;
        let source = BlobSource::Repository {
            reference: from.clone(),
            access: Box::new(self.access.clone()),
        };
        drop(std::fs::remove_file(&path));
        source.fetch(blob, &path)?;
        let sent = self.wait(self.client.upload(blob, &path, place))?;
        sent.map_err(|undone| undone.into_error(|failure| self.failed(failure)))?;
        // It is not kept: large images must not be on this disk as a whole.
        drop(std::fs::remove_file(&path));
        Ok(())
    }

    fn put(&self, name: &str, descriptor: &Descriptor, bytes: Vec<u8>) -> Result<()> {
        let put = self
            .client
            .put_manifest(name, descriptor, Bytes::from(bytes));
        self.wait(put)?.map_err(|failure| self.failed(failure))
    }

    /// Waits for an answer, unless it is to wait no more.
    fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T> {
        let interrupt = &self.access.interrupt;
        let answer = self.runtime.block_on(interrupt.unless(answer));
        let message = || format!("cannot push {}", self.target.familiar());
        answer.ok_or_else(|| interrupt.error(&message()))
    }

    fn failed(&self, failure: crate::registry::Failure) -> Error {
        push_failure(self.target, failure)
    }
}
