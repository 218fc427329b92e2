//! Whether an image is for this runtime, decided from what it says and what its entrypoint begins with.
//!
//! Never from a file's suffix, and annotations are honoured, not required.

use berth_contract::{ImageFacts, ProgramKind, Verdict};

/// Config media types of artifacts whose layer is the module itself.
const ARTIFACTS: [&str; 2] = [
    "application/vnd.wasm.config.v0+json",
    "application/vnd.wasm.config.v1+json",
];
/// A Spin application: a document that names several modules and their triggers.
const SPIN: &str = "application/vnd.fermyon.spin.application.v1+config";
/// What crun, podman and buildah look at.
const VARIANT: &str = "module.wasm.image/variant";
const HANDLER: &str = "run.oci.handler";

/// The verdict for an image.
#[must_use]
pub fn verdict(image: &ImageFacts) -> Verdict {
    if image.config_media_type == SPIN {
        return refused(
            "the image is a Spin application, whose triggers and modules only Spin can put together",
            "run one of its modules as an image of its own",
        );
    }
    if ARTIFACTS.contains(&image.config_media_type.as_str()) {
        return Verdict::Mine;
    }
    match &image.program {
        Some(ProgramKind::WasmModule | ProgramKind::WasmComponent) => Verdict::Mine,
        // A shell in an image marked as wasm is still a native program (the "-smart" variants say so).
        Some(ProgramKind::Elf { .. } | ProgramKind::Script { .. }) => Verdict::NotMine,
        Some(ProgramKind::Unknown) if says_wasm(image) => refused(
            "the image is marked as wasm, but its entrypoint is no wasm module",
            "a module in text form has to be built first: wasm-tools parse FILE.wat -o FILE.wasm",
        ),
        None if says_wasm(image) => Verdict::Mine,
        Some(ProgramKind::Unknown) | None => Verdict::NotMine,
    }
}

/// Whether the platform or an annotation claims wasm.
fn says_wasm(image: &ImageFacts) -> bool {
    let is_platform = matches!(image.os.as_str(), "wasi" | "wasip1" | "wasip2")
        || matches!(image.architecture.as_str(), "wasm" | "wasm32" | "wasm64");
    let annotation = |key: &str| image.annotations.get(key).map(String::as_str);
    is_platform
        || matches!(annotation(VARIANT), Some("compat" | "compat-smart"))
        || matches!(annotation(HANDLER), Some("wasm" | "wasm-smart"))
}

fn refused(reason: &str, hint: &str) -> Verdict {
    Verdict::Refused {
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(media_type: &str, platform: (&str, &str), program: Option<ProgramKind>) -> ImageFacts {
        ImageFacts {
            config_media_type: media_type.into(),
            os: platform.0.into(),
            architecture: platform.1.into(),
            annotations: std::collections::BTreeMap::new(),
            program,
        }
    }

    #[test]
    fn content_decides() {
        const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
        const LINUX: (&str, &str) = ("linux", "amd64");
        const WASI: (&str, &str) = ("wasi", "wasm");
        let elf = || Some(ProgramKind::Elf { machine: 62 });
        let is_mine = |facts| verdict(&facts) == Verdict::Mine;
        assert!(is_mine(facts(ARTIFACTS[0], ("wasip2", "wasm"), None)));
        assert!(is_mine(facts(IMAGE, LINUX, Some(ProgramKind::WasmModule))));
        assert!(is_mine(facts(
            IMAGE,
            WASI,
            Some(ProgramKind::WasmComponent)
        )));
        assert!(is_mine(facts(IMAGE, WASI, None)));
        assert_eq!(verdict(&facts(IMAGE, LINUX, elf())), Verdict::NotMine);
        assert_eq!(verdict(&facts(IMAGE, LINUX, None)), Verdict::NotMine);
        assert_eq!(verdict(&facts(IMAGE, WASI, elf())), Verdict::NotMine);
        assert!(matches!(
            verdict(&facts(IMAGE, WASI, Some(ProgramKind::Unknown))),
            Verdict::Refused { .. }
        ));
        assert!(matches!(
            verdict(&facts(SPIN, LINUX, None)),
            Verdict::Refused { .. }
        ));
        let mut marked = facts(IMAGE, LINUX, None);
        marked.annotations.insert(VARIANT.into(), "compat".into());
        assert!(is_mine(marked));
    }
}
