//! Where the programs under test and the twin programs lie.

use std::path::{Path, PathBuf};

/// The folder of `berth`, `berth-monitor`, `berth-wasm` and `berth-wasmc`.
#[must_use]
pub fn programs() -> PathBuf {
    let folder = std::env::var_os("BERTH_PROGRAMS").map_or_else(
        || {
            target().join(format!(
                "{}-unknown-linux-gnu/release",
                std::env::consts::ARCH
            ))
        },
        PathBuf::from,
    );
    assert!(
        folder.join("berth").is_file(),
        "no berth in {}: run `cargo xtask build` first",
        folder.display()
    );
    folder
}

/// The folder of the compiled twins: `native/NAME` and `wasm/NAME`.
#[must_use]
pub fn twins() -> PathBuf {
    let folder =
        std::env::var_os("BERTH_TWINS").map_or_else(|| target().join("twins"), PathBuf::from);
    assert!(
        folder.join("native/hello").is_file(),
        "no twins in {}: run `cargo xtask images` first",
        folder.display()
    );
    folder
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    )
}
