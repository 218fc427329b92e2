//! `berth build`: makes an image of a Dockerfile.

mod annotations;
mod caches;
mod call;
mod conduct;
mod context;
mod flags;
mod keys;
mod live;
mod plain;
mod progress;
mod shell;
mod signals;
mod sources;

use std::io::Write as _;

use berth_contract::{Class, Error, Result, Signal};
use berth_host::Engine;
use berth_host::build::{BuildRequest, Built, OnFailure, Report};
use berth_image::Reference;
use berth_sys::signals::Signals;

pub(crate) use flags::builder;

use super::{Arguments, Context, Group, Outcome, Verb};
pub(crate) use flags::Build;
use progress::{BuildProgress, Style};
use signals::{ending_signals, watched};

pub(crate) const VERB: Verb = Verb::new::<Build>(
    "build",
    Group::Images,
    "Make an image of a Dockerfile",
    "[OPTIONS] PATH|URL|-",
)
.examples(
    "berth build -t app .\n\
     berth build -t app -f deploy/Dockerfile --build-arg VERSION=1.2 .\n\
     berth build -t tool --platform wasi/wasm .\n\
     berth build --check .",
)
.refusing(flags::REFUSED);

impl Arguments for Build {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let prepared = self.prepare(context, &engine)?;
        if let Some(call) = prepared.call {
            return call.answer(context, &engine, &prepared.request);
        }
        let style = prepared.style;
        // Before any thread begins: one that has not blocked them would be ended by them, and all with it.
        let _resizes = match prepared.request.on_failure {
            OnFailure::Shell => Some(shell::resizes()?),
            OnFailure::End => None,
        };
        let signals = ending_signals()?;
        let progress = BuildProgress::new(context.screen, style);
        let built = carry_out(&engine, &prepared.request, &progress, &signals);
        let sentence = built.as_ref().ok();
        let sentence = sentence.map(|built| what(&prepared.request, built));
        progress.finish(sentence.as_deref());
        drop((prepared.scratch, prepared.keys));
        let built = built?;
        if let Some(path) = &prepared.iidfile {
            write(path, "--iidfile", built.id.to_string().as_bytes())?;
        }
        if let Some(path) = &prepared.metadata_file {
            write(
                path,
                "--metadata-file",
                metadata(&prepared.request, &built).as_bytes(),
            )?;
        }
        if style == Style::Quiet {
            context.screen.data(&format!("{}\n", built.id))?;
        }
        Ok(0)
    }
}

/// Builds, and ends the build when a signal asks for it.
fn carry_out(
    engine: &Engine,
    request: &BuildRequest,
    report: &dyn Report,
    signals: &Signals,
) -> Result<Built> {
    let cancel = request.cancel();
    let end = || {
        for id in cancel.cancel() {
            // One that has ended by itself needs no signal.
            engine.kill(&id, Signal::KILL).ok();
        }
    };
    watched(signals, &end, || engine.build(request, report, &cancel))
}

fn write(path: &std::path::Path, flag: &str, bytes: &[u8]) -> Result<()> {
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| {
            Error::new(
                Class::Invalid,
                format!("cannot write {} for {flag}", path.display()),
            )
            .caused_by(error)
        })
}

/// What a person calls what was built.
fn what(request: &BuildRequest, built: &Built) -> String {
    let names: Vec<String> = request.tags.iter().map(Reference::familiar).collect();
    match names.as_slice() {
        [] => built.id.short().to_owned(),
        names => names.join(", "),
    }
}

/// What buildx writes, as far as it means something here.
fn metadata(request: &BuildRequest, built: &Built) -> String {
    let names: Vec<String> = request.tags.iter().map(ToString::to_string).collect();
    let mut document = serde_json::json!({
        "containerimage.config.digest": built.id.as_str(),
        "containerimage.descriptor": built.target,
        "containerimage.digest": built.target.digest.as_str(),
    });
    if !names.is_empty() {
        document["image.name"] = names.join(",").into();
    }
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
