//! Writing a cache: its document and its layers, to a registry or into a directory.

use std::collections::BTreeMap;

use berth_contract::{Digest, Result};
use berth_image::{Descriptor, PushOptions, Silent};

use super::document::{CacheConfig, diff_ids};
use super::{CacheExport, CachePlace, MEDIA_TYPE};
use crate::build::builder::Build;
use crate::build::cache::CachedStep;
use crate::build::state::State;

/// Writes every cache that was asked for.
pub(in crate::build) fn export<'s>(
    build: &Build<'_>,
    results: impl Iterator<Item = &'s State> + Clone,
) -> Result<()> {
    for export in &build.request.cache_to {
        let kind = match export.place {
            CachePlace::Registry(_) => "registry",
            CachePlace::Local { .. } => "client directory",
        };
        let step = build.steps.begin(&format!("exporting cache to {kind}"));
        let (steps, left_out) = chosen(build, export, results.clone());
        step.note(&format!(
            "writing {} steps to {}",
            steps.len(),
            export.place
        ));
        match step.end(write(build, export, (&steps, &left_out))) {
            Err(error) if !export.ignores_errors => {
                return Err(error.context(format!("cannot export the cache to {}", export.place)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The steps whose layers belong to a cache, all of the build or those the results are made of; and the others, which are
/// told so that nobody has to make them who needs only what comes of them.
fn chosen<'s>(
    build: &Build<'_>,
    export: &CacheExport,
    results: impl Iterator<Item = &'s State>,
) -> (Vec<CachedStep>, Vec<CachedStep>) {
    let steps = build.steps_used();
    let is_here = |step: &CachedStep| !step.is_left_out();
    if export.everything {
        return steps.into_iter().partition(is_here);
    }
    let wholes: Vec<Vec<Digest>> = results.map(|state| diff_ids(&state.layers)).collect();
    let in_result = |step: &CachedStep| {
        let stack = diff_ids(&step.stack());
        is_here(step) && wholes.iter().any(|whole| whole.starts_with(&stack))
    };
    steps.into_iter().partition(in_result)
}

fn write(
    build: &Build<'_>,
    export: &CacheExport,
    (steps, left_out): (&[CachedStep], &[CachedStep]),
) -> Result<()> {
    let assembly = &build.assembly;
    let mut blobs: BTreeMap<Digest, Descriptor> = BTreeMap::new();
    for step in steps {
        let layer = step.layer().descriptor;
        if blobs.contains_key(&layer.digest) {
            continue;
        }
        let written = match &export.compression {
            Some(how) => assembly.compressed(&layer, how)?,
            None => layer.clone(),
        };
        blobs.insert(layer.digest, written);
    }
    let document = CacheConfig::of_steps(steps, left_out, &blobs).to_bytes();
    let digest = assembly.blob(&document)?;
    let config = Descriptor::new(MEDIA_TYPE, digest, document.len() as u64);
    let layers = blobs.into_values().collect();
    let manifest = assembly.manifest(config, layers, &BTreeMap::new())?;
    match &export.place {
        CachePlace::Local { path, tag, .. } => {
            berth_image::write_layout(&build.store, &manifest, path, tag)
        }
        CachePlace::Registry(reference) => {
            let options = PushOptions {
                access: build.request.pull_options.access.clone(),
                ..PushOptions::default()
            };
            berth_image::push_manifest(&build.store, &manifest, reference, (&options, &Silent))
                .map(drop)
        }
    }
}
