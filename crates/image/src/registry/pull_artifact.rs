//! Artifacts from a registry: kept as they are, nothing of them is unpacked.

use berth_contract::{Class, Digest, Error, Result};

use super::layers::Job;
use super::pull::{Fetched, Pull, PullOptions, Question};
use crate::documents::{Document, Index, Manifest};
use crate::platform::{Platform, choose};
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::{Store, is_listed};

/// Makes an artifact of a registry available here; gives its digest.
///
/// # Errors
/// As for [`super::pull`]; `Unsupported` for an image.
pub fn pull_artifact(
    store: &Store,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Digest> {
    let familiar = reference.familiar();
    if options.access.offline {
        let found = store.find_artifact(&reference.to_string());
        return found
            .map(|artifact| artifact.digest)
            .map_err(|error| error.caused_by("it is not here, and --offline forbids to fetch it"));
    }
    progress.event(&Event::Resolving {
        reference: &familiar,
    });
    let question = Question {
        store,
        reference,
        options,
        progress,
        kind: "artifact",
    };
    question.ask_endpoints(&|pull| pull.fetch_artifact())
}

impl Pull<'_> {
    fn fetch_artifact(&self) -> Result<Digest> {
        let mut target = self.target()?;
        let mut name = self.reference.kept();
        if let Document::Index(index) = &target.document {
            target = self.one_of(index)?;
            // As Podman does: the name leads to what was taken, and the list is not kept.
            if name.digest().is_some() {
                name = name.at(&target.descriptor.digest);
            }
        }
        let manifest = self.artifact(&target.document)?;
        let mut transaction = self.store.transaction()?;
        let mut wanted = manifest.layers.clone();
        wanted.push(manifest.config.clone());
        let sizes: Vec<(Digest, u64)> = wanted
            .iter()
            .map(|blob| (blob.digest.clone(), blob.size))
            .collect();
        self.progress.event(&Event::Layers { layers: &sizes });
        let blobs = self.open_blobs(&transaction, &wanted)?;
        let missing = blobs.iter().filter(|blob| !blob.existed);
        let jobs = missing.map(|blob| Job { blob, layer: None });
        self.run(&transaction, &blobs, jobs.collect())?;
        for blob in blobs.iter().filter(|blob| !blob.existed) {
            transaction.add_file(blob.path.clone(), blob.descriptor.digest.clone());
        }
        let digest = transaction.add_bytes(&target.bytes, Some(&target.descriptor.digest))?;
        transaction.commit(&[name], &target.descriptor)?;
        Ok(digest)
    }

    fn artifact<'d>(&self, document: &'d Document) -> Result<&'d Manifest> {
        let refuse = |reason: &str, hint: String| {
            let message = format!("{} is no artifact", self.familiar);
            let error = Error::new(Class::Unsupported, message);
            Err(error.caused_by(reason.to_owned()).hint(hint))
        };
        match document {
            Document::Manifest(manifest) if is_listed(manifest) => Ok(manifest),
            Document::Manifest(_) => {
                refuse("it is an image", format!("berth pull {}", self.familiar))
            }
            Document::Index(_) => refuse(
                "its list leads to another list",
                format!(
                    "berth manifest inspect {} tells the digests: name one",
                    self.familiar
                ),
            ),
        }
    }

    /// Of several artifacts the one for this platform.
    fn one_of(&self, index: &Index) -> Result<Fetched> {
        let host = Platform::host();
        let wanted = self.options.platform.as_ref();
        let entry = choose(wanted, &host, index.images(&host));
        let entry = entry.ok_or_else(|| {
            let offered = index.images(&host);
            let offered: Vec<String> = offered.map(|(platform, _)| platform.to_string()).collect();
            let platform = wanted.unwrap_or(&host);
            let message = format!("{} has no artifact for {platform}", self.familiar);
            let error = Error::new(Class::NotFound, message);
            match offered.is_empty() {
                true => error.caused_by("its list is empty"),
                false => error
                    .caused_by(format!("it offers {}", offered.join(", ")))
                    .hint("choose one of them with --platform"),
            }
        })?;
        let digest = &entry.digest;
        self.fetch(digest.as_str(), Some(digest), Some(&entry.media_type))
    }
}
