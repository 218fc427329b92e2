//! Pull-through: what is not here is fetched from the registry that its name stands for, once, and sent on
//! while it comes.
//!
//! A tag is compared with the registry's each time; when that does not answer, what is here is sent.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_contract::Digest;

use super::PullThrough;
use super::passing::Passing;
use super::reply::{Code, Refusal};
use crate::documents::{Descriptor, Document, MANIFEST_LIMIT};
use crate::progress::Silent;
use crate::reference::Reference;
use crate::registry::{Access, Client, Download, Failure, Tail, Undone};
use crate::store::{Store, Transaction, digest_of_reader};

/// Where names lead to, and what is under way.
pub(super) struct Upstream {
    sources: Arc<Sources>,
    /// One download a blob, however many ask for it.
    passing: Arc<Mutex<HashMap<Digest, Arc<Passing>>>>,
}

/// The registries, and how each is reached.
struct Sources {
    through: PullThrough,
    /// How those are reached that only a client names.
    guarded: Access,
}

impl Sources {
    fn new(through: PullThrough) -> Self {
        let guarded = Access {
            public_only: true,
            ..through.access.clone()
        };
        Self { through, guarded }
    }

    fn is_named(&self, name: &Reference) -> bool {
        let mut known = self.through.registries.iter();
        known.any(|registry| registry == name.registry())
    }

    fn client(&self, name: &Reference) -> Result<Client<'_>, Refusal> {
        let own = &self.through.access;
        let endpoint = own.registries.own_endpoint(name)?;
        let access = match self.is_named(name) || endpoint.configured {
            true => own,
            false => &self.guarded,
        };
        Ok(Client::new(&endpoint, access, &Silent)?)
    }
}

impl Upstream {
    pub(super) fn new(through: PullThrough) -> Self {
        Self {
            sources: Arc::new(Sources::new(through)),
            passing: Arc::default(),
        }
    }

    /// Whether it is asked about a repository: a client cannot make it connect to just any host.
    pub(super) fn serves(&self, name: &Reference) -> bool {
        self.sources.through.any || self.sources.is_named(name)
    }

    fn client(&self, name: &Reference) -> Result<Client<'_>, Refusal> {
        self.sources.client(name)
    }

    /// Makes what a tag or digest leads to at its registry known here; gives it, unless there is no such thing.
    pub(super) async fn refresh(
        &self,
        store: &Store,
        name: &Reference,
    ) -> Result<Option<Descriptor>, Refusal> {
        if let Some(digest) = name.digest()
            && let Some(known) = store.pinned(name, digest)?
        {
            return Ok(Some(known));
        }
        let here = match store.fetched(name)? {
            Some(fetched) => Some(fetched),
            None => store.tagged(name)?,
        };
        let client = self.client(name)?;
        match fetch_manifest(&client, store, name, here.as_ref()).await {
            Ok(found) => Ok(Some(found)),
            // Stale is better than nothing, and nothing is what the registry says it is.
            Err(Fetch::Failed(failure)) if here.is_some() && !failure.is_final_answer() => Ok(here),
            Err(Fetch::Failed(failure)) if failure.is_final_answer() => Ok(None),
            Err(Fetch::Failed(failure)) if failure.forbidden => Err(refused(&failure)),
            Err(Fetch::Failed(failure)) => Err(Refusal::new(Code::Unknown, failure.to_string())),
            Err(Fetch::Refused(refusal)) => Err(refusal),
        }
    }

    /// The size of a blob that is not here, if its registry has it; one that is on its way it has.
    pub(super) async fn look_for(
        &self,
        store: &Store,
        name: &Reference,
        digest: &Digest,
    ) -> Result<u64, Refusal> {
        let size = self.size_of(store, name, digest)?;
        if self.passing().contains_key(digest) {
            return Ok(size);
        }
        match self.client(name)?.look_for(digest).await {
            Ok(()) => Ok(size),
            Err(failure) => Err(refused(&failure)),
        }
    }

    /// A blob that is not here, on its way; `None` when it has come meanwhile. One download does for all.
    pub(super) fn pass(
        &self,
        store: &Store,
        name: &Reference,
        digest: &Digest,
    ) -> Result<Option<Arc<Passing>>, Refusal> {
        let size = self.size_of(store, name, digest)?;
        let mut passing = self.passing();
        if let Some(known) = passing.get(digest) {
            return Ok(Some(Arc::clone(known)));
        }
        // It is committed before it is taken off the list.
        if store.has_blob(digest) {
            return Ok(None);
        }
        let transaction = store.transaction()?;
        let (file, path) = transaction.new_file()?;
        let one = Arc::new(Passing::new(size, path.clone()));
        passing.insert(digest.clone(), Arc::clone(&one));
        drop(passing);
        let arriving = Arriving {
            sources: Arc::clone(&self.sources),
            name: name.clone(),
            blob: Descriptor::new("", digest.clone(), size),
            tail: Tail::new(file, 0, false),
            passing: Arc::clone(&one),
        };
        let list = Arc::clone(&self.passing);
        tokio::spawn(async move {
            let (digest, one) = (arriving.blob.digest.clone(), Arc::clone(&arriving.passing));
            let arrived = match arriving.download().await {
                Ok(()) => keep(transaction, path, digest.clone()).await,
                Err(refusal) => Err(refusal),
            };
            list.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&digest);
            one.end(arrived);
        });
        Ok(Some(one))
    }

    fn passing(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Passing>>> {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A download that goes on when whoever asked for it has left.
struct Arriving {
    sources: Arc<Sources>,
    name: Reference,
    blob: Descriptor,
    tail: Tail,
    passing: Arc<Passing>,
}

impl Arriving {
    async fn download(&self) -> Result<(), Refusal> {
        let client = self.sources.client(&self.name)?;
        let download = Download {
            blob: &self.blob,
            tail: &self.tail,
            progress: &*self.passing,
            cancelled: &AtomicBool::new(false),
        };
        match client.download(&download).await {
            Ok(()) => Ok(()),
            Err(Undone::Disk(error)) => Err(error.into()),
            Err(Undone::Registry(failure)) => Err(refused(&failure)),
            Err(Undone::Cancelled) => Err(Refusal::new(Code::Unknown, "it was cancelled")),
        }
    }
}

/// What a registry that has no blob, or does not answer, is told on as.
fn refused(failure: &Failure) -> Refusal {
    let code = match failure.is_final_answer() {
        true => Code::BlobUnknown,
        false if failure.forbidden => Code::Denied,
        false => Code::Unknown,
    };
    Refusal::new(code, failure.to_string())
}

/// Verifies a blob and keeps it; hashing a large one must not hold up other requests.
async fn keep(mut transaction: Transaction, path: PathBuf, digest: Digest) -> Result<(), Refusal> {
    let kept = tokio::task::spawn_blocking(move || {
        let computed = digest_of_reader(&digest, &mut File::open(&path)?)?;
        if computed != digest {
            let message = format!("the registry sent {computed} for {digest}");
            return Err(Refusal::new(Code::Unknown, message));
        }
        transaction.add_file(path, digest);
        Ok(transaction.commit_unnamed()?)
    });
    let lost = |error: tokio::task::JoinError| Refusal::new(Code::Unknown, error.to_string());
    kept.await.map_err(lost)?
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
) -> Result<Descriptor, Fetch> {
    let tag = name.tag().unwrap_or("latest");
    let wanted = match name.digest() {
        Some(digest) => Some(digest.clone()),
        None => client.digest_of_tag(tag).await.map_err(Fetch::Failed)?,
    };
    if let (Some(wanted), Some(here)) = (&wanted, here)
        && *wanted == here.digest
        && store.has_blob(wanted)
    {
        return Ok(here.clone());
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
        .put_fetched(transaction, name, &target)
        .map_err(refused)?;
    Ok(target)
}
