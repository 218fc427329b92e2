//! Pull-through: what is not here is fetched from the registry that its name stands for, once.
//!
//! A tag is compared with the registry's each time; when that does not answer, what is here is sent.

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use berth_contract::Digest;

use super::PullThrough;
use super::reply::{Code, Refusal};
use crate::documents::{Descriptor, Document, MANIFEST_LIMIT};
use crate::progress::Silent;
use crate::reference::Reference;
use crate::registry::{Client, Download, Failure, Tail, Undone};
use crate::store::{Store, digest_of_reader};

/// Where names lead to, and what is under way.
pub(super) struct Upstream {
    through: PullThrough,
    /// One fetch a blob, however many ask for it.
    fetching: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Upstream {
    pub(super) fn new(through: PullThrough) -> Self {
        Self {
            through,
            fetching: Mutex::default(),
        }
    }

    fn client(&self, name: &Reference) -> Result<Client<'_>, Refusal> {
        let endpoint = self.through.access.registries.own_endpoint(name)?;
        Ok(Client::new(&endpoint, &self.through.access, &Silent)?)
    }

    /// Makes what a tag or digest leads to at its registry known here.
    pub(super) async fn refresh(&self, store: &Store, name: &Reference) -> Result<(), Refusal> {
        if let Some(digest) = name.digest()
            && store.pinned(name, digest)?.is_some()
        {
            return Ok(());
        }
        let here = store.tagged(name)?;
        let client = self.client(name)?;
        match fetch_manifest(&client, store, name, here.as_ref()).await {
            Ok(()) => Ok(()),
            // Stale is better than nothing, and nothing is what the registry says it is.
            Err(Fetch::Failed(failure)) if here.is_some() && !failure.is_final_answer() => Ok(()),
            Err(Fetch::Failed(failure)) if failure.is_final_answer() => Ok(()),
            Err(Fetch::Failed(failure)) => Err(Refusal::new(Code::Unknown, failure.to_string())),
            Err(Fetch::Refused(refusal)) => Err(refusal),
        }
    }

    /// Fetches a blob, unless another request is fetching it.
    pub(super) async fn fetch_blob(
        &self,
        store: &Store,
        name: &Reference,
        digest: &Digest,
    ) -> Result<(), Refusal> {
        let turn = {
            let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            fetching.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(fetching.entry(digest.clone()).or_default())
        };
        let _turn = turn.lock().await;
        if store.has_blob(digest) {
            return Ok(());
        }
        let size = self.size_of(store, name, digest)?;
        let mut transaction = store.transaction()?;
        let (file, path) = transaction.new_file()?;
        let tail = Tail::new(file, 0, false);
        let blob = Descriptor::new("", digest.clone(), size);
        let client = self.client(name)?;
        let cancelled = AtomicBool::new(false);
        let download = Download {
            blob: &blob,
            tail: &tail,
            progress: &Silent,
            cancelled: &cancelled,
        };
        match client.download(&download).await {
            Ok(()) => {}
            Err(Undone::Disk(error)) => return Err(error.into()),
            Err(Undone::Registry(failure)) if failure.is_final_answer() => {
                return Err(Refusal::new(Code::BlobUnknown, failure.to_string()));
            }
            Err(Undone::Registry(failure)) => {
                return Err(Refusal::new(Code::Unknown, failure.to_string()));
            }
            Err(Undone::Cancelled) => return Err(Refusal::new(Code::Unknown, "it was cancelled")),
        }
        let computed = digest_of_reader(digest, &mut File::open(&path)?)?;
        if computed != *digest {
            let message = format!("the registry sent {computed} for {digest}");
            return Err(Refusal::new(Code::Unknown, message));
        }
        transaction.add_file(path, digest.clone());
        transaction.commit_unnamed()?;
        Ok(())
    }

    /// Only what a manifest of the repository names is fetched: nobody fills the disk with other things.
    fn size_of(&self, store: &Store, name: &Reference, digest: &Digest) -> Result<u64, Refusal> {
        for entry in store.manifests_of(name)? {
            if let Ok(Some(Document::Manifest(manifest))) = store.document(&entry) {
                let mut blobs = manifest.layers.iter().chain([&manifest.config]);
                if let Some(blob) = blobs.find(|blob| blob.digest == *digest) {
                    return Ok(blob.size);
                }
            }
        }
        Err(Refusal::new(
            Code::BlobUnknown,
            format!("no manifest here names blob {digest}"),
        ))
    }

    /// The tags that the registry lists.
    pub(super) async fn tags(&self, name: &Reference) -> Result<Vec<String>, Refusal> {
        // A registry that lists none or does not answer leaves those that are here.
        Ok(self.client(name)?.tags().await.unwrap_or_default())
    }
}

enum Fetch {
    Failed(Failure),
    Refused(Refusal),
}

async fn fetch_manifest(
    client: &Client<'_>,
    store: &Store,
    name: &Reference,
    here: Option<&Descriptor>,
) -> Result<(), Fetch> {
    let tag = name.tag().unwrap_or("latest");
    let wanted = match name.digest() {
        Some(digest) => Some(digest.clone()),
        None => client.digest_of_tag(tag).await.map_err(Fetch::Failed)?,
    };
    if let (Some(wanted), Some(here)) = (&wanted, here)
        && *wanted == here.digest
        && store.has_blob(wanted)
    {
        return Ok(());
    }
    let what = wanted.as_ref().map_or(tag, Digest::as_str);
    let received = client
        .manifest(what, wanted.as_ref())
        .await
        .map_err(Fetch::Failed)?;
    let refused = |error: berth_contract::Error| Fetch::Refused(error.into());
    let kind = received.media_type.as_deref();
    let document = Document::parse(&received.bytes, kind).map_err(refused)?;
    let size = received.bytes.len() as u64;
    debug_assert!(size <= MANIFEST_LIMIT);
    let target = Descriptor::new(document.media_type(), received.digest.clone(), size);
    let mut transaction = store.transaction().map_err(refused)?;
    transaction
        .add_bytes(&received.bytes, Some(&received.digest))
        .map_err(refused)?;
    store
        .put_manifest(transaction, name, &target)
        .map_err(refused)
}
