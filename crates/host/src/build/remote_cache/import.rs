//! Reading caches: what their keys lead to, once a step is not known here; a layer, once it is wanted.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use berth_contract::{Class, Digest, Error, Report, Result};
use berth_image::documents::{CONFIG_LIMIT, Document, Manifest};
use berth_image::{Access, BlobSource, Configuration, Layer};

use super::document::{CacheConfig, Known};
use super::{CachePlace, MEDIA_TYPE};
use crate::build::builder::Build;

/// The caches of `--cache-from`.
#[derive(Debug, Default)]
pub(in crate::build) struct Imports(OnceLock<Vec<Import>>);

#[derive(Debug)]
struct Import {
    source: BlobSource,
    known: BTreeMap<Digest, Known>,
}

impl Imports {
    /// The layer a key leads to, fetched and put upon those below; and when it was made.
    pub(in crate::build) fn find(
        &self,
        build: &Build<'_>,
        key: &Digest,
        below: &[Layer],
    ) -> Option<(Layer, Option<String>)> {
        if build.request.cache_from.is_empty() {
            return None;
        }
        let imports = self.0.get_or_init(|| read_all(build));
        imports.iter().find_map(|import| {
            let known = import.known.get(key).filter(|known| !known.is_left_out)?;
            // A cache that has it no more is as good as none.
            fetch(build, import, known, below).ok()?;
            Some((known.layer.clone(), known.created.clone()))
        })
    }
}

impl Imports {
    /// What a step came to whose layer no cache has.
    pub(in crate::build) fn left_out(&self, build: &Build<'_>, key: &Digest) -> Option<Layer> {
        if build.request.cache_from.is_empty() {
            return None;
        }
        let imports = self.0.get_or_init(|| read_all(build));
        let known = |import: &Import| {
            let known = import.known.get(key).filter(|known| known.is_left_out)?;
            Some(known.layer.clone())
        };
        imports.iter().find_map(known)
    }
}

fn fetch(build: &Build<'_>, import: &Import, known: &Known, below: &[Layer]) -> Result<()> {
    let mut stack = below.to_vec();
    stack.push(known.layer.clone());
    if build
        .store
        .open_blob(&known.layer.descriptor.digest)
        .is_ok()
    {
        return build.assembly.adopt(None, &stack);
    }
    let file = build.assembly.file();
    import.source.fetch(&known.layer.descriptor, &file)?;
    build.assembly.adopt(Some(&file), &stack)
}

fn read_all(build: &Build<'_>) -> Vec<Import> {
    let request = build.request;
    let read_one = |place: &CachePlace| {
        let step = build
            .steps
            .begin(&format!("importing cache manifest from {place}"));
        let known_here = here(build, place).and_then(|source| {
            let known = read(&source).ok().filter(|known| !known.is_empty())?;
            Some((source, known))
        });
        let found = known_here.map_or_else(
            || {
                let source = source(place, &request.pull_options.access);
                let known = read(&source)?;
                Ok((source, known))
            },
            Ok::<_, Error>,
        );
        match found {
            Ok((source, known)) => {
                step.note(&format!("{} steps", known.len()));
                // A step's end tells how long it took.
                step.end(Ok(())).ok();
                Some(Import { source, known })
            }
            Err(error) => {
                // The first build of all finds none: that is no failure.
                step.note(&format!("no cache: {}", Report::from(&error).line()));
                step.end(Ok(())).ok();
                None
            }
        }
    };
    request.cache_from.iter().filter_map(read_one).collect()
}

/// The image of the store that has the name of a cache, as Docker looks it up: its config may hold one.
fn here(build: &Build<'_>, place: &CachePlace) -> Option<BlobSource> {
    let CachePlace::Registry(reference) = place else {
        return None;
    };
    let image = build.store.find(&reference.to_string(), None).ok()?;
    Some(BlobSource::Layout {
        path: build.engine.paths().data().join("oci"),
        digest: Some(image.target().clone()),
        tag: String::new(),
    })
}

fn source(place: &CachePlace, access: &Access) -> BlobSource {
    match place {
        CachePlace::Registry(reference) => BlobSource::Repository {
            reference: reference.clone(),
            access: Box::new(access.clone()),
        },
        CachePlace::Local { path, tag, digest } => BlobSource::Layout {
            path: path.clone(),
            digest: digest.clone(),
            tag: tag.clone(),
        },
    }
}

/// What the keys of a cache lead to, whichever way it is written.
fn read(source: &BlobSource) -> Result<BTreeMap<Digest, Known>> {
    let index = match source.document()? {
        Document::Manifest(manifest) => return of_manifest(source, &manifest),
        Document::Index(index) => index,
    };
    // Before it had manifests of its own, BuildKit wrote an index of the layers and the document.
    if let Some(config) = index
        .manifests
        .iter()
        .find(|entry| entry.media_type == MEDIA_TYPE)
    {
        return parse(&source.blob(&config.digest, CONFIG_LIMIT)?).map(|config| config.known(&[]));
    }
    let mut known = BTreeMap::new();
    for entry in index
        .manifests
        .iter()
        .filter(|entry| !entry.is_attestation())
    {
        if let Document::Manifest(manifest) = source.inner_document(entry)? {
            known.extend(of_manifest(source, &manifest)?);
        }
    }
    Ok(known)
}

fn of_manifest(source: &BlobSource, manifest: &Manifest) -> Result<BTreeMap<Digest, Known>> {
    let bytes = source.blob(&manifest.config.digest, CONFIG_LIMIT)?;
    if manifest.config.media_type == MEDIA_TYPE {
        return parse(&bytes).map(|config| config.known(&[]));
    }
    let image = Configuration::parse(&bytes)?;
    let Some(cache) = image.inline_cache() else {
        return Ok(BTreeMap::new());
    };
    let layers: Vec<Layer> = manifest
        .layers
        .iter()
        .zip(&image.rootfs.diff_ids)
        .map(|(descriptor, diff_id)| Layer {
            descriptor: descriptor.clone(),
            diff_id: diff_id.clone(),
        })
        .collect();
    parse(&cache).map(|config| config.known(&layers))
}

fn parse(bytes: &[u8]) -> Result<CacheConfig> {
    CacheConfig::parse(bytes)
        .ok_or_else(|| Error::new(Class::Invalid, "its document is no build cache"))
}
