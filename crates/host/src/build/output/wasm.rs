//! `--output type=wasm`: the program of a wasm image as the artifact that CNCF TAG-Runtime describes.

use std::io::Read as _;
use std::path::Path;

use berth_contract::{Class, Error, ProgramKind, Result};
use berth_image::{Descriptor, Merged, documents::media};
use berth_sys::error::Explain as _;

use super::{Results, only};
use crate::build::builder::{Build, Built};
use crate::build::report::Step;

/// Larger than any module that runs.
const SIZE_LIMIT: u64 = 4 << 30;

/// Writes the artifact and gives it the build's names.
pub(super) fn artifact(build: &Build<'_>, results: &Results, step: Step<'_>) -> Result<Built> {
    let state = only(results, "a wasm artifact")?;
    let path = state.config.program().ok_or_else(|| {
        refused("the image has no ENTRYPOINT").hint("ENTRYPOINT [\"/app.wasm\"] names the module")
    })?;
    let layers = build.store.extracted(&state.layers).unwrap_or_default();
    let file = Merged::open(&layers)?
        .open_file(Path::new(&path))?
        .ok_or_else(|| refused(&format!("{path} is not in the image")))?;
    let mut module = Vec::new();
    file.take(SIZE_LIMIT)
        .read_to_end(&mut module)
        .explain(|| format!("cannot read {path}"))?;
    if !ProgramKind::from_head(&module[..module.len().min(256)]).is_wasm() {
        return Err(refused(&format!("{path} is no wasm module")));
    }
    // A component says so in the layer field of its preamble.
    let os = if module.get(6..8) == Some(&[1, 0]) {
        "wasip2"
    } else {
        "wasip1"
    };
    let digest = build.assembly.blob(&module)?;
    let document = serde_json::json!({
        "created": build.now,
        "architecture": "wasm",
        "os": os,
        "layerDigests": [digest.as_str()],
    });
    let bytes = document.to_string().into_bytes();
    let id = build.assembly.blob(&bytes)?;
    let platform = results.first().map(|(platform, _)| platform);
    let annotations = platform.map(|platform| build.request.annotations.of_manifest(platform));
    let target = build.assembly.manifest(
        Descriptor::new(media::WASM_CONFIG, id.clone(), bytes.len() as u64),
        vec![Descriptor::new(
            media::WASM_LAYER,
            digest,
            module.len() as u64,
        )],
        &annotations.unwrap_or_default(),
    )?;
    build.assembly.name(&build.request.tags, &target)?;
    step.note(&format!("writing artifact {}", target.digest));
    Ok(Built { target, id })
}

fn refused(reason: &str) -> Error {
    Error::new(Class::Invalid, "cannot make a wasm artifact").caused_by(reason.to_owned())
}
