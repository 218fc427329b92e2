//! What the images take on disk, each blob and each layer counted once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::PathBuf;

use berth_contract::{Digest, Result};
use berth_sys::error::Explain as _;

use super::collect::entry_size;
use super::{Graph, Store, chain_ids};
use crate::documents::{Descriptor, Document};
use crate::image::Image;
use crate::reference::Reference;

/// What one target of the store's index takes: an image with all its platforms.
#[derive(Debug, Clone)]
pub struct ImageUsage {
    /// What its names lead to.
    pub target: Digest,
    /// Its images, one per platform that is here; none of an artifact, or when all is damaged.
    pub images: Vec<Image>,
    /// Its names.
    pub names: Vec<Reference>,
    /// Bytes of its manifests, configs and layers as received.
    pub content: u64,
    /// Bytes of all of it, extracted layers as well.
    pub size: u64,
    /// Of these, what other images share.
    pub shared: u64,
    /// Whether a container was made from it.
    pub used: bool,
    /// Whether it is an artifact and no image: pruning images leaves it.
    pub artifact: bool,
}

/// What all images take.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// Bytes of everything, with what no image leads to any more.
    pub size: u64,
    /// Of these, what artifacts take and images do not.
    pub artifacts: u64,
    /// Bytes that would be free without the images that no container uses, artifacts apart.
    pub reclaimable: u64,
}

/// A blob or an extracted layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Blob(Digest),
    Layer(String),
}

impl Store {
    /// Measures the images; `used` says whether containers were made from an id, `lowers` are the layers
    /// that containers stand on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn survey(&self, used: &dyn Fn(&Digest) -> bool, lowers: &[PathBuf]) -> Result<Survey> {
        let sizes = self.part_sizes()?;
        let index = self.index()?;
        let mut entries: BTreeMap<&Digest, (&Descriptor, Vec<Reference>)> = BTreeMap::new();
        for entry in &index.manifests {
            let known = entries
                .entry(&entry.digest)
                .or_insert_with(|| (entry, Vec::new()));
            known.1.extend(super::name_of(entry));
        }
        let mut found = Vec::new();
        let mut users: HashMap<Part, u32> = HashMap::new();
        for (entry, names) in entries.into_values() {
            // A damaged image is told by `system check`; what is left of it is reclaimable.
            let images = self.images_of(&index, entry).unwrap_or_default();
            let parts = self.parts(entry, &images);
            for part in &parts {
                *users.entry(part.clone()).or_default() += 1;
            }
            found.push((entry, images, names, parts));
        }
        let size = |part: &Part| sizes.get(part).copied().unwrap_or(0);
        let file_name =
            |path: &PathBuf| path.file_name().map(OsStr::to_string_lossy).map(Into::into);
        let mut needed: HashSet<Part> = lowers
            .iter()
            .filter_map(file_name)
            .map(Part::Layer)
            .collect();
        let mut images = Vec::new();
        let (mut of_images, mut of_artifacts) = (HashSet::new(), HashSet::new());
        for (entry, own, names, parts) in found {
            let is_used = own.iter().any(|image| used(image.id()));
            let document = self.document(entry);
            let artifact = matches!(document, Ok(Some(Document::Manifest(manifest))) if manifest.is_artifact());
            let is_blob = |part: &&Part| matches!(part, Part::Blob(_));
            let is_shared = |part: &&Part| users.get(*part).is_some_and(|count| *count > 1);
            images.push(ImageUsage {
                target: entry.digest.clone(),
                names,
                content: parts.iter().filter(is_blob).map(size).sum(),
                size: parts.iter().map(size).sum(),
                shared: parts.iter().filter(is_shared).map(size).sum(),
                used: is_used,
                artifact,
                images: own,
            });
            let kind = match artifact {
                true => &mut of_artifacts,
                false => &mut of_images,
            };
            kind.extend(parts.iter().cloned());
            if is_used || artifact {
                needed.extend(parts);
            }
        }
        let all: u64 = sizes.values().sum();
        let kept: u64 = needed.iter().map(size).sum();
        Ok(Survey {
            images,
            size: all,
            artifacts: of_artifacts.difference(&of_images).map(size).sum(),
            reclaimable: all.saturating_sub(kept),
        })
    }

    /// What an entry of the index consists of.
    fn parts(&self, entry: &Descriptor, images: &[Image]) -> HashSet<Part> {
        let mut graph = Graph::default();
        // What can be read of a damaged one is what it has.
        drop(self.reach(entry, &|_| true, &mut graph));
        let blobs = graph.blobs.into_iter().map(|blob| Part::Blob(blob.digest));
        let mut parts: HashSet<Part> = blobs.collect();
        for image in images {
            let diff_ids: Vec<Digest> =
                image.archives().into_iter().map(|(_, diff)| diff).collect();
            let chains = chain_ids(&diff_ids);
            parts.extend(
                chains
                    .iter()
                    .map(|chain| Part::Layer(chain.hex().to_owned())),
            );
        }
        parts
    }

    /// The bytes on disk of every blob and every extracted layer.
    fn part_sizes(&self) -> Result<HashMap<Part, u64>> {
        let mut sizes: HashMap<Part, u64> = HashMap::new();
        let unreadable = || "cannot measure the image store".to_owned();
        for algorithm in ["sha256", "sha512"] {
            let Ok(blobs) = self.directory(&format!("oci/blobs/{algorithm}")) else {
                continue;
            };
            for name in blobs.names().explain(unreadable)? {
                let digest = format!("{algorithm}:{}", name.to_string_lossy()).parse();
                if let Ok(digest) = digest {
                    let size = entry_size(&blobs, &name).explain(unreadable)?;
                    sizes.insert(Part::Blob(digest), size);
                }
            }
        }
        let Ok(layers) = self.directory("layers") else {
            return Ok(sizes);
        };
        for name in layers.names().explain(unreadable)? {
            let text = name.to_string_lossy();
            if text == "empty" {
                continue;
            }
            // The record of its size belongs to the layer.
            let chain = text.strip_suffix(".size").unwrap_or(&text).to_owned();
            let size = entry_size(&layers, &name).explain(unreadable)?;
            *sizes.entry(Part::Layer(chain)).or_default() += size;
        }
        Ok(sizes)
    }
}
