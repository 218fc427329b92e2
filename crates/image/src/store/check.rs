//! Looking for what is missing or damaged, and putting right what can be.

use std::collections::BTreeSet;
use std::fs::File;

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::{Explain as _, io_cause};

use super::index::{distinct, is_fetched};
use super::{Graph, Store, Transaction, chain_ids, digest_of_reader, name_of};
use crate::documents::{Descriptor, Document, Index};
use crate::image::Image;
use crate::layer::{Expected, stage_layer, unpack_new};
use crate::list::noted;
use crate::platform::Platform;

/// Something that is not as it should be.
#[derive(Debug)]
pub struct Finding {
    /// What is wrong.
    pub problem: Error,
    /// What was done about it, if something was.
    pub repaired: Option<&'static str>,
}

/// How to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Do not read every byte of every blob.
    pub quick: bool,
    /// Put right what can be.
    pub repair: bool,
}

struct Check<'a> {
    store: &'a Store,
    options: CheckOptions,
    findings: Vec<Finding>,
    /// Blobs that were looked at: images share them.
    seen: BTreeSet<Digest>,
}

impl Store {
    /// Looks at every image: its documents, blobs and extracted layers.
    ///
    /// # Errors
    /// The store cannot be read at all.
    pub fn check(&self, options: CheckOptions) -> Result<Vec<Finding>> {
        let mut check = Check {
            store: self,
            options,
            findings: Vec::new(),
            seen: BTreeSet::new(),
        };
        let index = match self.index() {
            Err(error) if io_cause(&error).is_none() => {
                let rebuilt = options.repair && self.rebuild_index()?;
                check.found(
                    error,
                    rebuilt.then_some("the images that are here were listed anew, without names"),
                );
                if !options.repair {
                    return Ok(check.findings);
                }
                self.index()?
            }
            index => index?,
        };
        for entry in distinct(&index) {
            let name = name_of(entry)
                .map_or_else(|| entry.digest.short().to_owned(), |name| name.familiar());
            check.entry(&index, entry, &name)?;
        }
        Ok(check.findings)
    }
}

impl Check<'_> {
    fn entry(&mut self, index: &Index, entry: &Descriptor, name: &str) -> Result<()> {
        let images = match self.store.images_of(index, entry) {
            Ok(images)
                if !images.is_empty() || is_fetched(entry) || self.holds_no_image(entry, name) =>
            {
                images
            }
            // A manifest or config that is damaged was set aside by reading it.
            outcome => {
                let error = outcome.err().unwrap_or_else(|| {
                    Error::new(Class::Internal, format!("image {name} is missing"))
                        .caused_by("nothing of it is here but its name")
                });
                let forgotten = self.options.repair && self.forget(entry)?;
                self.found(
                    error
                        .context(format!("image {name} cannot be used"))
                        .hint(format!("berth pull {name}")),
                    forgotten.then_some("its names were removed"),
                );
                return Ok(());
            }
        };
        let mut graph = Graph::default();
        // What cannot be reached was told above.
        drop(self.store.reach(entry, &|_| true, &mut graph));
        // Of what is fetched for others, much may not have been asked for yet.
        let partly = is_fetched(entry);
        let blobs = graph.blobs.iter();
        for blob in blobs.filter(|blob| !partly || self.store.has_blob(&blob.digest)) {
            self.blob(&blob.digest, name)?;
        }
        for image in images {
            self.layers(&image, name)?;
        }
        Ok(())
    }

    /// Whether an entry is whole although it leads to no image: an artifact, or a list of none, or of what
    /// registries have.
    fn holds_no_image(&mut self, entry: &Descriptor, name: &str) -> bool {
        match self.store.document(entry) {
            Ok(Some(Document::Manifest(manifest))) => {
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    if !self.store.has_blob(&blob.digest) && self.seen.insert(blob.digest.clone()) {
                        self.missing(&blob.digest, name);
                    }
                }
                manifest.is_artifact()
            }
            Ok(Some(Document::Index(list))) => {
                let elsewhere = noted(entry);
                let host = Platform::host();
                let mut images = list.images(&host);
                images.all(|(_, image)| elsewhere.contains_key(&image.digest))
            }
            Ok(None) | Err(_) => false,
        }
    }

    fn missing(&mut self, blob: &Digest, name: &str) {
        let message = format!("blob {blob} of image {name} is missing");
        let problem = Error::new(Class::Internal, message);
        self.found(problem.hint(format!("berth pull {name}")), None);
    }

    /// Takes the names of an image away of which nothing is left.
    fn forget(&self, entry: &Descriptor) -> Result<bool> {
        self.store.change_index(|index| {
            let before = index.manifests.len();
            index.manifests.retain(|other| other.digest != entry.digest);
            Ok(index.manifests.len() < before)
        })
    }

    fn blob(&mut self, digest: &Digest, name: &str) -> Result<()> {
        if self.options.quick || !self.seen.insert(digest.clone()) {
            return Ok(());
        }
        let path = self.store.blob_path(digest);
        let mut file = File::open(&path).explain(|| format!("cannot open {}", path.display()))?;
        let actual = digest_of_reader(digest, &mut file)
            .explain(|| format!("cannot read {}", path.display()))?;
        if actual == *digest {
            return Ok(());
        }
        let problem = Error::new(
            Class::Internal,
            format!("blob {digest} of image {name} is damaged"),
        );
        if self.options.repair {
            drop(self.store.quarantine(&path, "a blob"));
            let hint = format!("berth pull {name}");
            self.found(problem.hint(hint), Some("it was set aside"));
        } else {
            self.found(problem.hint("berth system check --repair"), None);
        }
        Ok(())
    }

    fn layers(&mut self, image: &Image, name: &str) -> Result<()> {
        let archives: Vec<(Descriptor, Digest)> = image
            .archives()
            .into_iter()
            .map(|(layer, diff_id)| (layer.clone(), diff_id))
            .collect();
        let diff_ids: Vec<Digest> = archives.iter().map(|(_, diff)| diff.clone()).collect();
        let chains = chain_ids(&diff_ids);
        for (position, (layer, diff_id)) in archives.iter().enumerate() {
            let has_blob = self.store.has_blob(&layer.digest);
            if !has_blob && self.seen.insert(layer.digest.clone()) {
                self.missing(&layer.digest, name);
            }
            let path = self.store.layer_path(&chains[position]);
            // What was pushed here or fetched for others is unpacked when it is needed first.
            let never_unpacked = has_blob && !path.with_extension("size").exists();
            if path.is_dir() || never_unpacked {
                continue;
            }
            let problem = Error::new(
                Class::Internal,
                format!(
                    "layer {} of image {name} is missing",
                    chains[position].short()
                ),
            );
            if !has_blob || !self.options.repair {
                let hint = match has_blob {
                    true => "berth system check --repair".to_owned(),
                    false => format!("berth pull {name}"),
                };
                self.found(problem.hint(hint), None);
                continue;
            }
            match self.unpack(&chains, position, (layer, diff_id)) {
                Ok(()) => self.found(problem, Some("it was unpacked again")),
                Err(error) => self.found(error.context(problem.to_string()), None),
            }
        }
        Ok(())
    }

    /// Extracts a layer again from its blob.
    fn unpack(
        &self,
        chains: &[Digest],
        position: usize,
        (layer, diff_id): (&Descriptor, &Digest),
    ) -> Result<()> {
        let mut transaction: Transaction = self.store.transaction()?;
        let path = self.store.blob_path(&layer.digest);
        let file = File::open(&path).explain(|| format!("cannot open {}", path.display()))?;
        let expected = Expected {
            blob: Some(layer.digest.clone()),
            diff_id: Some(diff_id.clone()),
        };
        let (name, unpacked) = unpack_new(file, transaction.directory(), &expected)?;
        let made = (chains[position].clone(), name, unpacked);
        stage_layer(self.store, &mut transaction, made, &chains[..position])?;
        transaction.commit_all(&[])
    }

    fn found(&mut self, problem: Error, repaired: Option<&'static str>) {
        self.findings.push(Finding { problem, repaired });
    }
}
