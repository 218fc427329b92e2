//! From a reference to verified bytes to a root file system.
//!
//! ```text
//!  reference ──► registry ─┐                       ┌─► layers/<chain>/ ──► rootfs (overlay lowers)
//!                archive ──┼─► documents ─► store ─┤
//!                builder ──┘                       └─► blobs/sha256/… (wasm modules as they are)
//! ```
//!
//! Nothing here knows how a container runs, or prints, or reads the environment. Bytes are believed
//! only once their digest was computed; paths out of archives are resolved beneath a directory fd.

#![forbid(unsafe_code)]

mod archive;
mod artifact;
mod assembly;
pub mod attestation;
mod blob_source;
mod builder;
mod convert;
mod diff;
pub mod documents;
mod download;
#[cfg(fuzzing)]
pub mod fuzzing;
mod image;
mod layer;
mod list;
mod merged;
mod platform;
mod progress;
mod redacted;
mod reference;
mod registry;
mod rootfs;
mod server;
mod store;
mod tree;
mod unpack;

pub use archive::{
    ArchiveFormat, Destination, ImportOptions, LoadOptions, Loaded, SaveOptions, Selector,
    Transport, import, load, load_directory, load_transport, save,
};
pub use assembly::{Assembly, Layer, write_archive};
pub use blob_source::{BlobSource, write_layout};
pub use builder::{FileEntry, ImageBuilder, install};
pub use convert::{Compression, Conversion, DocumentStyle, convert};
pub use diff::{Change, diff};
pub use documents::{Configuration, ContainerConfig, Descriptor, HealthCheck, History};
pub use download::{Download, download};
pub use image::Image;
pub use list::{EntryChange, RemoteEntry};
pub use merged::Merged;
pub use platform::Platform;
pub use progress::{Event, Progress, Provided, Silent};
pub use redacted::{urls_without_logins, urls_without_secrets};
pub use reference::Reference;
pub use registry::{
    Access, Composed, Composition, Credentials, Found, Interrupt, Login, LoginFile, Proxy,
    PublicKey, PullOptions, PullPolicy, Pulled, PushOptions, Pushed, Recompression, Registries,
    RemoteDocument, Removal, Saved, Source, compose, default_registry, login, pull, pull_artifact,
    push, push_manifest, push_wasm, push_wasm_image, referrers, remote_document, remote_entries,
    search, tags, unsigned, verify_signature,
};
pub use rootfs::{copy_tree, prepare_overlay};
pub use server::{PullThrough, ServeOptions, serve};
pub use store::{
    Artifact, ArtifactFile, ArtifactListing, ArtifactWish, BareList, CheckOptions, Containers,
    Finding, Hold, ImageUsage, Leaf, Listing, Named, NoContainers, Removed, Store, Survey, Tree,
    Usage, Use, layer_size,
};
pub use tree::{Entry, Place};
pub use unpack::{is_archive, pack_archive, unpack_archive};
