//! Pulling images from registries over HTTP (OCI distribution-spec).

mod authentication;
mod blob;
mod client;
mod credentials;
mod failure;
mod layers;
mod pull;
mod tail;
mod transport;

use std::path::PathBuf;

pub use credentials::{Credentials, Login};
pub use pull::pull;
pub(crate) use transport::client;

use crate::image::Image;
use crate::platform::Platform;

/// When to ask the registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time.
    #[default]
    Always,
    /// If the image is not here.
    Missing,
    /// Never.
    Never,
}

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// Which entry of an index to take; otherwise the host's, else wasm.
    pub platform: Option<Platform>,
    /// Who to be for which registry.
    pub credentials: Credentials,
    /// Accept plain HTTP and unknown certificates from any registry; loopback ones always may.
    pub insecure: bool,
    /// PEM files of further certificate authorities.
    pub authorities: Vec<PathBuf>,
    /// Proxies to go through.
    pub proxy: Proxy,
}

/// Proxies, as the environment of curl and Docker writes them.
#[derive(Debug, Clone, Default)]
pub struct Proxy {
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// Hosts to reach directly, separated by commas.
    pub none: Option<String>,
}

/// What a pull did.
#[derive(Debug)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// Whether anything was fetched.
    pub updated: bool,
}
