//! The cache beyond this machine: `--cache-to` and `--cache-from`.
//!
//! ```text
//!  steps of this build ─► document: which layer which key leads to ─► config of a manifest of the layers
//!                                                  registry, OCI layout ◄─┘   └─► an image's own config
//!  a step the cache here lacks ─► import: the same, read ─► its layer, fetched and unpacked
//! ```
//!
//! Without `mode=max` only the layers of the results are written. Of the other steps the document says what their layers are
//! called: that is enough for a copy out of their stage, whose key is made of these names.
//!
//! The documents are `BuildKit`'s (`application/vnd.buildkit.cacheconfig.v0`): it reads them, but its steps
//! have other keys, so that neither builder takes a layer from the other's cache.

mod document;
mod export;
mod import;

use std::path::PathBuf;

use berth_contract::Digest;
use berth_image::{Recompression, Reference};

pub(super) use document::{CacheConfig, diff_ids};
pub(super) use export::export;
pub(super) use import::Imports;

/// The type of the document that tells which layer a key leads to.
const MEDIA_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";

/// Where a cache lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// A repository: a manifest of its own, or an image that has the cache in its config.
    Registry(Reference),
    /// A directory that is an OCI layout.
    Local {
        /// Where it is.
        path: PathBuf,
        /// The name of the cache in it.
        tag: String,
        /// Its digest, which then decides.
        digest: Option<Digest>,
    },
}

impl std::fmt::Display for CachePlace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(reference) => write!(formatter, "{}", reference.familiar()),
            Self::Local { path, .. } => write!(formatter, "{}", path.display()),
        }
    }
}

/// A cache to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheExport {
    /// Where.
    pub place: CachePlace,
    /// Whether steps belong to it that are not in the result (`mode=max`).
    pub everything: bool,
    /// Whether the build succeeds when it cannot be written.
    pub ignores_errors: bool,
    /// How layers are compressed; otherwise as they are.
    pub compression: Option<Recompression>,
}
