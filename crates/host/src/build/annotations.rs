//! The annotations of what is built: of the image of each platform, and of the index of several.

use std::collections::BTreeMap;

use berth_contract::{Class, Error, Result};
use berth_image::{DocumentStyle, Platform};

/// One annotation of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The platform of the only image that has it.
    pub platform: Option<Platform>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The annotations that are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Of manifests.
    pub manifest: Vec<Annotation>,
    /// Of the entries of manifests in the index.
    pub entry: Vec<Annotation>,
    /// Of the index.
    pub index: BTreeMap<String, String>,
}

impl Annotations {
    /// Those of the manifest for this platform.
    #[must_use]
    pub fn of_manifest(&self, platform: &Platform) -> BTreeMap<String, String> {
        of(&self.manifest, platform)
    }

    /// Those of that manifest's entry in the index.
    #[must_use]
    pub fn of_entry(&self, platform: &Platform) -> BTreeMap<String, String> {
        of(&self.entry, platform)
    }

    /// Whether all of them have a place in what is built for these platforms.
    ///
    /// # Errors
    /// One has none.
    pub(super) fn check(
        &self,
        platforms: &[Platform],
        is_list: bool,
        documents: DocumentStyle,
    ) -> Result<()> {
        if documents == DocumentStyle::Docker && *self != Self::default() {
            let message = "cannot annotate an image that Docker's documents describe";
            return Err(Error::new(Class::Invalid, message)
                .caused_by("they have no annotations")
                .hint("--format oci describes it by OCI's, which do"));
        }
        let one = platforms.len() < 2 && !is_list;
        let of_index = self.index.keys();
        let of_entries = self.entry.iter().map(|one| &one.name);
        if let Some(name) = of_index.chain(of_entries).next().filter(|_| one) {
            let message = format!("cannot annotate the index with {name}");
            return Err(Error::new(Class::Invalid, message)
                .caused_by("the image of a single platform has none")
                .hint("--annotation manifest:NAME=VALUE annotates the image"));
        }
        let all = self.manifest.iter().chain(&self.entry);
        for annotation in all {
            let Some(platform) = &annotation.platform else {
                continue;
            };
            if !platforms.contains(platform) {
                let message = format!("cannot annotate {platform} with {}", annotation.name);
                return Err(Error::new(Class::Invalid, message)
                    .caused_by("nothing is built for that platform"));
            }
        }
        Ok(())
    }
}

fn of(annotations: &[Annotation], platform: &Platform) -> BTreeMap<String, String> {
    let is_for = |one: &&Annotation| one.platform.as_ref().is_none_or(|own| own == platform);
    let pair = |one: &Annotation| (one.name.clone(), one.value.clone());
    annotations.iter().filter(is_for).map(pair).collect()
}
