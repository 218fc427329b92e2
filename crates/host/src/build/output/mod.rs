//! What is done with what a build came to: images in the store, names, files of the host.

mod files;
mod squash;
mod wasm;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{
    ArchiveFormat, Configuration, Descriptor, Platform, PushOptions, Recompression, SaveOptions,
    Silent,
};
use berth_sys::error::Explain as _;

use super::adjustments::Adjustments;
use super::builder::{Build, Built};
use super::remote_cache::CacheConfig;
use super::report::Step;
use super::request::{Destination, Output, Squash};
use super::state::State;

/// What was built for each platform.
type Results = [(Platform, Arc<State>)];

/// Writes the images and gives them their names, then whatever else is asked for.
pub(super) fn finish(build: &Build<'_>, mut results: Vec<(Platform, Arc<State>)>) -> Result<Built> {
    let request = build.request;
    if request.squash != Squash::Nothing {
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
    let mut built = step.end(image(build, &results, step, named))?;
    for output in &request.outputs {
        let (name, work): (_, Result<()>) = match output {
            Output::Image | Output::Push(_) | Output::Wasm => continue,
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
            Output::OciDirectory(path) => (
                "exporting to oci image format",
                save_into(build, &built, ArchiveFormat::OciDirectory, path),
            ),
            Output::Docker(to) => (
                "exporting to docker image format",
                save(build, &built, ArchiveFormat::Combined, to),
            ),
        };
        build.steps.begin(name).end(work)?;
    }
    // It takes the names, by which archives find the image; what is sent is what they lead to in the end.
    if request.outputs.contains(&Output::Wasm) {
        let step = build.steps.begin("exporting to wasm artifact");
        built = step.end(wasm::artifact(build, &results, step))?;
    }
    for output in &request.outputs {
        if let Output::Push(compression) = output {
            push(build, compression.as_ref())?;
        }
    }
    Ok(built)
}

fn image(build: &Build<'_>, results: &Results, step: Step<'_>, named: bool) -> Result<Built> {
    let request = build.request;
    let mut entries: Vec<(Platform, Descriptor)> = Vec::new();
    let mut ids: Vec<Digest> = Vec::new();
    for (platform, state) in results {
        let mut configuration = state.configuration(Some(&build.now));
        // What is asked for is what the image is for, whatever its base is for.
        if !request.platforms.is_empty() {
            let is_other = (&configuration.os, &configuration.architecture)
                != (&platform.os, &platform.architecture);
            configuration.os.clone_from(&platform.os);
            configuration
                .architecture
                .clone_from(&platform.architecture);
            if is_other || platform.variant.is_some() {
                configuration.variant.clone_from(&platform.variant);
            }
        }
        let labels = request.labels.iter().cloned();
        configuration.config.labels.extend(labels);
        adjust(&mut configuration, &request.adjustments);
        if request.inline_cache {
            let cache = CacheConfig::of_image(&build.steps_used(), &state.layers);
            configuration.set_inline_cache(&cache.to_bytes());
        }
        let of_manifest = request.annotations.of_manifest(platform);
        let (target, config) = build.assembly.image(
            &configuration,
            &state.layers,
            &of_manifest,
            request.documents,
        )?;
        ids.push(config);
        let annotations = request.annotations.of_entry(platform);
        entries.push((
            platform.clone(),
            Descriptor {
                annotations,
                ..target
            },
        ));
    }
    let (target, id) = match (&entries[..], &ids[..]) {
        ([(_, only)], [id]) if !request.is_list => (only.clone(), id.clone()),
        (several, _) => {
            let annotations = &request.annotations.index;
            let target = build
                .assembly
                .index(several, annotations, request.documents)?;
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

/// Takes out what the image is not to have.
fn adjust(configuration: &mut Configuration, adjustments: &Adjustments) {
    configuration.config.env.retain(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let mut unset = adjustments.unset_variables.iter();
        unset.all(|unset| unset != name)
    });
    if adjustments.omits_history {
        configuration.history.clear();
    }
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
    with_sink(build, to, |sink| {
        let to = berth_image::Destination::Stream(sink);
        save_to(build, built, format, to)
    })
}

fn save_into(build: &Build<'_>, built: &Built, format: ArchiveFormat, to: &Path) -> Result<()> {
    let to = berth_image::Destination::Directory(to);
    save_to(build, built, format, to)
}

fn save_to(
    build: &Build<'_>,
    built: &Built,
    format: ArchiveFormat,
    to: berth_image::Destination<'_>,
) -> Result<()> {
    let names: Vec<String> = match build.request.tags.as_slice() {
        [] => vec![built.target.digest.to_string()],
        tags => tags.iter().map(ToString::to_string).collect(),
    };
    let options = SaveOptions {
        format,
        ..SaveOptions::default()
    };
    berth_image::save(&build.store, &names, &options, to)
}

/// Opens where an archive goes; a file of our making that could not be written whole is taken away again. What was
/// there before is somebody's, and may be a device or a pipe.
fn with_sink(
    build: &Build<'_>,
    to: &Destination,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    match to {
        Destination::Stdout => {
            let mut output = build.guard.over(io::stdout().lock());
            write(&mut output)?;
            output
                .flush()
                .explain(|| "cannot write to standard output".into())
        }
        Destination::File(path) => {
            let cannot = || format!("cannot write {}", path.display());
            let (file, is_new) = match File::create_new(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    (File::create(path).explain(cannot)?, false)
                }
                made => (made.explain(cannot)?, true),
            };
            let written = write(&mut build.guard.over(file));
            if written.is_err() && is_new {
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
