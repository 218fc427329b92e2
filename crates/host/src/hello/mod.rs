//! The built-in image `hello`: two programs inside the binary, so that the first command works offline.
//!
//! `build.rs` makes both from `hello.c` and from `hello.wat` with `wasm.txt`. In the store they are one
//! index with an entry for the host's platform and one for `wasi/wasm`, each an ordinary image of files.

use std::path::PathBuf;

use berth_contract::Result;
use berth_image::{FileEntry, ImageBuilder, Platform, Reference, Store};

/// The native program: a static ELF for the host's architecture.
pub const NATIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

/// The wasm program: a WASI preview 1 module.
pub const WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello.wasm"));

/// What a person types to run it.
pub const NAME: &str = "hello";

/// Its time of creation; fixed, so that its id depends on its content alone.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// Whether a reference means the built-in image: `hello` or `hello:latest`, from nowhere in particular.
#[must_use]
pub fn is_meant(reference: &Reference) -> bool {
    reference.familiar() == format!("{NAME}:latest")
}

/// Puts the image into the store under its name, both entries at once.
///
/// # Errors
/// The store cannot be written.
pub fn install(store: &Store) -> Result<()> {
    let native = image(Platform::host(), "hello", NATIVE);
    let wasm = image(Platform::new("wasi", "wasm"), "hello.wasm", WASM);
    berth_image::install(store, &Reference::parse(NAME)?, &[native, wasm])
}

fn image(platform: Platform, name: &str, program: &[u8]) -> ImageBuilder {
    let mut image = ImageBuilder::new(platform);
    image.config.entrypoint = Some(vec![format!("/{name}")]);
    image.config.working_dir = "/".to_owned();
    image.created = Some(CREATED.to_owned());
    let content = program.to_vec();
    image.files = vec![FileEntry::File {
        path: PathBuf::from(name),
        mode: 0o755,
        content,
    }];
    image
}

#[cfg(test)]
mod tests {
    use berth_contract::ProgramKind;

    use super::*;

    #[test]
    fn both_programs_are_what_dispatch_expects() {
        assert!(matches!(
            ProgramKind::from_head(NATIVE),
            ProgramKind::Elf { .. }
        ));
        assert_eq!(ProgramKind::from_head(WASM), ProgramKind::WasmModule);
        assert!(NATIVE.len() < 16 * 1024, "{} bytes", NATIVE.len());
        assert!(WASM.len() < 4 * 1024, "{} bytes", WASM.len());
    }

    #[test]
    fn only_the_plain_name_is_the_built_in_image() {
        for (name, expected) in [
            ("hello", true),
            ("hello:latest", true),
            ("docker.io/library/hello", true),
            ("hello:2", false),
            ("hello-world", false),
            ("quay.io/hello", false),
        ] {
            assert_eq!(
                is_meant(&Reference::parse(name).unwrap()),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn the_store_holds_both_entries_under_one_name() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path());
        install(&store).unwrap();
        let native = store.find(NAME, None).unwrap();
        let wasm = store
            .find(NAME, Some(&Platform::new("wasi", "wasm")))
            .unwrap();
        assert_ne!(native.id(), wasm.id());
        let head = wasm
            .read_head(std::path::Path::new("/hello.wasm"))
            .unwrap()
            .unwrap();
        assert_eq!(ProgramKind::from_head(&head), ProgramKind::WasmModule);
    }
}
