//! Which repositories of a registry hold which blobs, as far as the images here tell.

use berth_contract::{Digest, Result};

use super::Store;
use super::index::name_of;

impl Store {
    /// Blobs, and the repository of this registry that an image with them is named after.
    pub(crate) fn owners_at(&self, registry: &str) -> Result<Vec<(Digest, String)>> {
        let mut owners = Vec::new();
        for entry in &self.index()?.manifests {
            let Some(name) = name_of(entry).filter(|name| name.registry() == registry) else {
                continue;
            };
            // A damaged image must not keep another from being pushed.
            for found in self.manifests(entry).unwrap_or_default() {
                let layers = found.manifest.layers.into_iter();
                owners.extend(layers.map(|layer| (layer.digest, name.repository().to_owned())));
            }
        }
        Ok(owners)
    }
}
