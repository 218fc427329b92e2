//! Images of registries as entries of a list that is made here: what names them, and nothing of them is fetched.

use berth_contract::{Class, Error, Result};

use super::access::Access;
use super::client::Client;
use super::failure::Failure;
use super::manifest::{RemoteDocument, remote_document};
use crate::documents::{CONFIG_LIMIT, Configuration, Descriptor, Document, Index};
use crate::list::RemoteEntry;
use crate::platform::{Platform, choose};
use crate::progress::Silent;
use crate::reference::Reference;

/// What an image of a registry is in a list: of an index the image for `wanted` or this host, or with `all`
/// every entry.
///
/// # Errors
/// The registry does not answer, does not have it, or has it for other platforms alone.
pub fn remote_entries(
    reference: &Reference,
    wanted: Option<&Platform>,
    all: bool,
    access: &Access,
) -> Result<Vec<RemoteEntry>> {
    let remote = remote_document(reference, access)?;
    let entry = |descriptor: Descriptor| RemoteEntry {
        reference: reference.clone(),
        descriptor,
        chosen: matches!(remote.document, Document::Index(_)) && !all,
    };
    match &remote.document {
        Document::Manifest(_) => {
            let mut descriptor = remote.descriptor.clone();
            descriptor.platform = platform_of(reference, &remote, access)?;
            Ok(vec![entry(descriptor)])
        }
        Document::Index(index) if all => Ok(index.manifests.iter().cloned().map(entry).collect()),
        Document::Index(index) => {
            let chosen = one_of(index, reference, wanted)?;
            Ok(vec![entry(chosen)])
        }
    }
}

fn one_of(index: &Index, reference: &Reference, wanted: Option<&Platform>) -> Result<Descriptor> {
    let host = Platform::host();
    let chosen = choose(wanted, &host, index.images(&host));
    chosen.cloned().ok_or_else(|| {
        let platform = wanted.unwrap_or(&host);
        let message = format!("no image {} for {platform}", reference.familiar());
        let offered = index.images(&host);
        let offered: Vec<String> = offered.map(|(platform, _)| platform.to_string()).collect();
        Error::new(Class::NotFound, message)
            .caused_by(format!("the registry has it for {}", offered.join(", ")))
            .hint("--all adds the images for every platform")
    })
}

/// What a single image runs on, by its config.
pub(super) fn platform_of(
    reference: &Reference,
    remote: &RemoteDocument,
    access: &Access,
) -> Result<Option<Platform>> {
    let Document::Manifest(manifest) = &remote.document else {
        return Ok(None);
    };
    if manifest.is_artifact() {
        return Ok(None);
    }
    let endpoint = access.registries.own_endpoint(reference)?;
    let client = Client::new(&endpoint, access, &Silent)?;
    let what = format!("cannot read {}", reference.familiar());
    let config = client.small_blob(&manifest.config.digest, CONFIG_LIMIT);
    let config = access.interrupt.block_on(&what, config)?;
    let failed =
        |failure: Failure| failure.about_to("read", &reference.familiar(), reference.registry());
    Ok(Configuration::parse(&config.map_err(failed)?)?.platform())
}
