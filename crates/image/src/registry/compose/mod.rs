//! Images made of images that registries have: `buildx imagetools create`.
//!
//! ```text
//!  sources ─► their documents ─► plan (pure): one index ─► what other repositories have is brought ─► tags
//! ```
//!
//! Nothing is kept in the store; blobs of other registries pass through its staging directory.

mod plan;
mod transfer;

pub(super) use transfer::Transfer;

use berth_contract::{Class, Error, Result};

use super::access::Access;
use super::list_entries::platform_of;
use super::manifest::{RemoteDocument, remote_document};
use crate::documents::Descriptor;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::Reference;
use crate::store::Store;

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is.
    pub reference: Reference,
    /// What its entry shall say beside what its registry says.
    pub descriptor: Option<Descriptor>,
}

/// An image to make.
#[derive(Debug, Clone)]
pub struct Composition<'a> {
    /// What it is made of; of equal entries the later one counts.
    pub sources: &'a [Source],
    /// Only entries for these platforms; all without.
    pub platforms: &'a [Platform],
    /// Notes on the index.
    pub annotations: &'a [(String, String)],
    /// Notes on its entries: on that of a platform, or on each.
    pub entry_annotations: &'a [(Option<Platform>, String, String)],
    /// Make an index of a single manifest too.
    pub prefer_index: bool,
    /// How registries are reached.
    pub access: &'a Access,
}

/// An image that was made.
#[derive(Debug, Clone)]
pub struct Composed {
    /// What names it.
    pub descriptor: Descriptor,
    /// Its document.
    pub bytes: Vec<u8>,
}

/// A source, as its registry has it.
struct Fetched {
    source: Source,
    remote: RemoteDocument,
    /// Of a single image: what it runs on.
    platform: Option<Platform>,
}

/// Makes an image and gives it its names; without any it is only made.
///
/// # Errors
/// A source is not there, nothing is left of it, or a registry does not take it.
pub fn compose(
    store: &Store,
    composition: &Composition<'_>,
    targets: &[Reference],
    progress: &dyn Progress,
) -> Result<Composed> {
    if let Some(target) = targets.iter().find(|target| target.digest().is_some()) {
        let message = format!("cannot push to {}", target.familiar());
        return Err(Error::new(Class::Invalid, message)
            .caused_by("a digest is computed, not given")
            .hint("name a tag"));
    }
    let sources = composition.sources.iter();
    let fetched = sources
        .map(|source| fetch(source, composition.access))
        .collect::<Result<Vec<_>>>()?;
    let composed = plan::index(&fetched, composition)?;
    for target in targets {
        let composed = (composed.descriptor.clone(), composed.bytes.clone());
        transfer::bring(store, (&fetched, composition), (target, composed), progress)?;
    }
    Ok(composed)
}

fn fetch(source: &Source, access: &Access) -> Result<Fetched> {
    let at = match &source.descriptor {
        Some(descriptor) => source.reference.at(&descriptor.digest),
        None => source.reference.clone(),
    };
    let remote = remote_document(&at, access)?;
    let platform = platform_of(&at, &remote, access)?;
    Ok(Fetched {
        source: source.clone(),
        remote,
        platform,
    })
}
