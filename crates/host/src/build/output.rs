//! What is done with what a build came to: images in the store, names, files of the host.

use std::sync::Arc;

use berth_contract::{Class, Error, Result};
use berth_image::{Descriptor, Platform};

use super::builder::{Build, Built};
use super::request::Output;
use super::state::State;

/// Writes the images and gives them their names.
pub(super) fn finish(build: &Build<'_>, results: Vec<(Platform, Arc<State>)>) -> Result<Built> {
    let request = build.request;
    if request.squash
        || request
            .outputs
            .iter()
            .any(|output| *output != Output::Image)
    {
        return Err(Error::new(
            Class::Unsupported,
            "cannot write the result in that form yet",
        )
        .hint("leave --output and --squash away, and use berth save"));
    }
    let step = build.steps.begin("exporting to image");
    step.end(image(build, &results, step))
}

fn image(
    build: &Build<'_>,
    results: &[(Platform, Arc<State>)],
    step: super::report::Step<'_>,
) -> Result<Built> {
    let request = build.request;
    let mut entries: Vec<(Platform, Descriptor)> = Vec::new();
    let mut id = None;
    for (platform, state) in results {
        let mut configuration = state.configuration(Some(&build.now));
        for (name, value) in &request.labels {
            configuration
                .config
                .labels
                .insert(name.clone(), value.clone());
        }
        let (target, config) =
            build
                .assembly
                .image(&configuration, &state.layers, &request.annotations)?;
        id = Some(config);
        entries.push((platform.clone(), target));
    }
    let target = match &entries[..] {
        [(_, only)] => only.clone(),
        several => build.assembly.index(several)?,
    };
    build.assembly.name(&request.tags, &target)?;
    let id = id
        .filter(|_| entries.len() == 1)
        .unwrap_or_else(|| target.digest.clone());
    step.note(&format!("writing image {id}"));
    for tag in &request.tags {
        step.note(&format!("naming to {tag}"));
    }
    Ok(Built { target, id })
}
