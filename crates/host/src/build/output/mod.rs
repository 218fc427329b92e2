//! What is done with what a build came to: images in the store, names, files of the host.

mod files;
mod squash;
mod wasm;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{
    ArchiveFormat, Descriptor, Platform, PushOptions, Recompression, SaveOptions, Silent,
};
use berth_sys::error::Explain as _;

use super::builder::{Build, Built};
use super::remote_cache::CacheConfig;
use super::report::Step;
use super::request::{Destination, Output};
use super::state::State;

/// What was built for each platform.
type Results = [(Platform, Arc<State>)];

/// Writes the images and gives them their names, then whatever else is asked for.
pub(super) fn finish(build: &Build<'_>, mut results: Vec<(Platform, Arc<State>)>) -> Result<Built> {
    let request = build.request;
    if request.squash {
        for (_, state) in &mut results {
            let step = build.steps.begin("squashing");
            *state = Arc::new(step.end(squash::squash(build, state))?);
        }
    }
    // The names are the artifact's, and files alone have none.
    let is_nameless =
        |output: &Output| matches!(output, Output::Local(_) | Output::Tar(_) | Output::Wasm);
    let named = request.outputs.is_empty() || !request.outputs.iter().all(is_nameless);
    let step = build.steps.begin("exporting to image");
    let built = step.end(image(build, &results, step, named))?;
    for output in &request.outputs {
        let (name, work): (_, Result<()>) = match output {
            Output::Image => continue,
            Output::Push(compression) => {
                push(build, compression.as_ref())?;
                continue;
            }
            Output::Local(path) => {
                let step = build.steps.begin("exporting to client directory");
                step.end(files::directory(build, &results, path))?;
                continue;
            }
            Output::Tar(to) => (
                "exporting to client tarball",
                files::archive(build, &results, to),
            ),
            Output::Oci(to) => (
                "exporting to oci image format",
                save(build, &built, ArchiveFormat::OciArchive, to),
            ),
            Output::Docker(to) => (
                "exporting to docker image format",
                save(build, &built, ArchiveFormat::Combined, to),
            ),
            Output::Wasm => {
                let step = build.steps.begin("exporting to wasm artifact");
                return step.end(wasm::artifact(build, &results, step));
            }
        };
        build.steps.begin(name).end(work)?;
    }
    Ok(built)
}

fn image(build: &Build<'_>, results: &Results, step: Step<'_>, named: bool) -> Result<Built> {
    let request = build.request;
    let mut entries: Vec<(Platform, Descriptor)> = Vec::new();
    let mut ids: Vec<Digest> = Vec::new();
    for (platform, state) in results {
        let mut configuration = state.configuration(Some(&build.now));
        let labels = request.labels.iter().cloned();
        configuration.config.labels.extend(labels);
        if request.inline_cache {
            let cache = CacheConfig::of_image(&build.steps_used(), &state.layers);
            configuration.set_inline_cache(&cache.to_bytes());
        }
        let (target, config) =
            build
                .assembly
                .image(&configuration, &state.layers, &request.annotations)?;
        ids.push(config);
        entries.push((platform.clone(), target));
    }
    let (target, id) = match (&entries[..], &ids[..]) {
        ([(_, only)], [id]) => (only.clone(), id.clone()),
        (several, _) => {
            let target = build.assembly.index(several)?;
            (target.clone(), target.digest)
        }
    };
    if !named {
        return Ok(Built { target, id });
    }
    build.assembly.name(&request.tags, &target)?;
    step.note(&format!("writing image {id}"));
    for tag in &request.tags {
        step.note(&format!("naming to {tag}"));
    }
    Ok(Built { target, id })
}

/// Sends the image to where its names are.
fn push(build: &Build<'_>, compression: Option<&Recompression>) -> Result<()> {
    let options = PushOptions {
        access: build.request.pull_options.access.clone(),
        compression: compression.copied(),
        ..PushOptions::default()
    };
    for tag in &build.request.tags {
        let step = build.steps.begin(&format!("pushing {}", tag.familiar()));
        let pushed = build.engine.push(&tag.to_string(), tag, &options, &Silent);
        if let Ok(pushed) = &pushed {
            step.note(&format!("pushed {}", pushed.digest));
        }
        step.end(pushed)?;
    }
    Ok(())
}

/// Writes an archive of the image, as `save` does.
fn save(build: &Build<'_>, built: &Built, format: ArchiveFormat, to: &Destination) -> Result<()> {
    let names: Vec<String> = match build.request.tags.as_slice() {
        [] => vec![built.target.digest.to_string()],
        tags => tags.iter().map(ToString::to_string).collect(),
    };
    let options = SaveOptions {
        format,
        ..SaveOptions::default()
    };
    with_sink(to, |sink| {
        berth_image::save(
            &build.store,
            &names,
            &options,
            berth_image::Destination::Stream(sink),
        )
    })
}

/// Opens where an archive goes; a file that could not be written whole is taken away again.
fn with_sink(to: &Destination, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    match to {
        Destination::Stdout => {
            let mut output = std::io::stdout().lock();
            write(&mut output)?;
            output
                .flush()
                .explain(|| "cannot write to standard output".into())
        }
        Destination::File(path) => {
            let cannot = || format!("cannot write {}", path.display());
            let mut file = std::fs::File::create(path).explain(cannot)?;
            let written = write(&mut file);
            if written.is_err() {
                // The first failure is the one to tell.
                drop(std::fs::remove_file(path));
            }
            written
        }
    }
}

/// The only result, where several have no meaning.
fn only<'r>(results: &'r Results, what: &str) -> Result<&'r State> {
    match results {
        [(_, state)] => Ok(state),
        _ => Err(Error::new(
            Class::Invalid,
            format!("cannot write {what} of several platforms"),
        )
        .hint("build for one --platform")),
    }
}

/// No annotations.
fn nothing() -> BTreeMap<String, String> {
    BTreeMap::new()
}
