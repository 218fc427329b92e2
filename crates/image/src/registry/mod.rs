//! Registries over HTTP (OCI distribution-spec): who is asked, as whom, and what for.
//!
//! ```text
//!  reference ─► registries.conf ─► endpoints (mirrors first) ─► client ─┬─► pull ─► store
//!                                        logins, certificates ──────────┤
//!                                                                       └─► login
//! ```

mod access;
mod authentication;
mod blob;
mod challenge;
mod client;
mod compose;
mod configuration;
mod credentials;
mod failure;
mod interrupt;
mod layers;
mod list_entries;
mod login;
mod manifest;
mod public;
mod pull;
mod pull_artifact;
mod push;
mod redirect;
mod referrers;
mod resolve;
mod search;
mod sending;
mod signature;
mod tags;
mod tail;
mod token;
mod transport;
mod warning;

pub(crate) use blob::{Download, Undone};
pub(crate) use client::Client;
pub(crate) use failure::Failure;
pub(crate) use push::{Documents, subject};
pub(crate) use referrers::described;
pub(crate) use tail::Tail;
pub(crate) use transport::following_client;

pub use access::{Access, Proxy};
pub use compose::{Composed, Composition, Source, compose};
pub use configuration::{Registries, default_registry};
pub use credentials::{Credentials, Login, LoginFile, Removal, Saved};
pub use interrupt::Interrupt;
pub use list_entries::remote_entries;
pub use login::login;
pub use manifest::{RemoteDocument, remote_document};
pub use pull::{PullOptions, PullPolicy, Pulled, pull};
pub use pull_artifact::pull_artifact;
pub use push::{
    PushOptions, Pushed, Recompression, push, push_manifest, push_wasm, push_wasm_image,
};
pub use referrers::referrers;
pub use search::{Found, search};
pub use signature::{PublicKey, unsigned, verify_signature};
pub use tags::tags;
