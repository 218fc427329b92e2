//! Bringing what a composed image lists into the repository that shall have it, then naming it.

use std::collections::HashSet;

use berth_contract::{Digest, Error, Result};
use bytes::Bytes;

use super::{Composition, Fetched};
use crate::blob_source::BlobSource;
use crate::documents::{Descriptor, Document, Manifest, media};
use crate::progress::Progress;
use crate::reference::Reference;
use crate::registry::client::Client;
use crate::registry::manifest::remote_document;
use crate::registry::push::{Begun, push_failure};
use crate::registry::transport;
use crate::store::{Store, Transaction};

/// One repository on its way to have everything.
struct Transfer<'a> {
    target: &'a Reference,
    client: Client<'a>,
    runtime: tokio::runtime::Runtime,
    scratch: Transaction,
    composition: &'a Composition<'a>,
    seen: HashSet<Digest>,
}

/// Brings all that is listed, then puts the document under its tag.
pub(super) fn bring(
    store: &Store,
    (fetched, composition): (&[Fetched], &Composition<'_>),
    (target, (descriptor, bytes)): (&Reference, (Descriptor, Vec<u8>)),
    progress: &dyn Progress,
) -> Result<()> {
    let access = composition.access;
    let endpoint = access.registries.own_endpoint(target)?;
    let mut client = Client::new(&endpoint, access, progress)?;
    client
        .authority
        .need(format!("repository:{}:pull,push", endpoint.repository));
    let mut transfer = Transfer {
        target,
        client,
        runtime: transport::runtime()?,
        scratch: store.transaction()?,
        composition,
        seen: HashSet::new(),
    };
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
                    transfer.document(from, entry)?;
                }
            }
            Document::Manifest(_) => transfer.document(from, &one.remote.descriptor)?,
        }
    }
    transfer.put(target.tag().unwrap_or("latest"), &descriptor, bytes)
}

impl Transfer<'_> {
    /// A manifest with its blobs, or an index with its manifests.
    fn document(&mut self, from: &Reference, entry: &Descriptor) -> Result<()> {
        if !self.seen.insert(entry.digest.clone()) {
            return Ok(());
        }
        let remote = remote_document(&from.at(&entry.digest), self.composition.access)?;
        match &remote.document {
            Document::Manifest(manifest) => self.blobs(from, manifest)?,
            // Each is looked at once, so that even one that lists itself ends.
            Document::Index(index) => {
                for inner in &index.manifests {
                    self.document(from, inner)?;
                }
            }
        }
        self.put(entry.digest.as_str(), &remote.descriptor, remote.bytes)
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
        let begun = self.runtime.block_on(self.client.begin(blob, donor));
        let place = match begun.map_err(|failure| self.failed(failure))? {
            Begun::There(_) => return Ok(()),
            Begun::Upload(place) => place,
        };
        let (_, path) = self.scratch.new_file()?;
        let source = BlobSource::Repository {
            reference: from.clone(),
            access: Box::new(self.composition.access.clone()),
        };
        drop(std::fs::remove_file(&path));
        source.fetch(blob, &path)?;
        let sent = self
            .runtime
            .block_on(self.client.upload(blob, &path, place));
        sent.map_err(|undone| undone.into_error(|failure| self.failed(failure)))?;
        // It is not kept: large images must not be on this disk as a whole.
        drop(std::fs::remove_file(&path));
        Ok(())
    }

    fn put(&self, name: &str, descriptor: &Descriptor, bytes: Vec<u8>) -> Result<()> {
        let put = self
            .client
            .put_manifest(name, descriptor, Bytes::from(bytes));
        let put = self.runtime.block_on(put);
        put.map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: crate::registry::Failure) -> Error {
        push_failure(self.target, failure)
    }
}
