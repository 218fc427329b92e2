//! Everything about registries that the caller read from flags, files and the environment.

use std::path::PathBuf;
use std::time::Duration;

use berth_contract::Result;

use super::configuration::Registries;
use super::credentials::Credentials;
use super::interrupt::Interrupt;
use crate::reference::Reference;

/// How registries are reached.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag or a rule of its own"
)]
pub struct Access {
    /// Who to be for which registry.
    pub credentials: Credentials,
    /// Mirrors, blocked registries, short names.
    pub registries: Registries,
    /// Accept plain HTTP and unknown certificates from any registry; loopback ones always may.
    pub insecure: bool,
    /// Ask no registry at all.
    pub offline: bool,
    /// PEM files of further certificate authorities.
    pub authorities: Vec<PathBuf>,
    /// Directories with one directory of certificates for each registry, as in `/etc/docker/certs.d`.
    pub certificates: Vec<PathBuf>,
    /// One more such directory, whose certificates are for every registry.
    pub certificate_directory: Option<PathBuf>,
    /// Ask hosts of the public internet alone: somebody else names them.
    pub public_only: bool,
    /// Proxies to go through.
    pub proxy: Proxy,
    /// Headers to send to the registries themselves (`HttpHeaders` of Docker's configuration).
    pub headers: Vec<(String, String)>,
    /// How often a request that fails for no lasting reason is made.
    pub attempts: u32,
    /// How long a registry may be silent, or nearly so.
    pub patience: Duration,
    /// Ends what is on the way.
    pub interrupt: Interrupt,
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

impl Default for Access {
    fn default() -> Self {
        Self {
            credentials: Credentials::default(),
            registries: Registries::default(),
            insecure: false,
            offline: false,
            authorities: Vec::new(),
            certificates: Vec::new(),
            certificate_directory: None,
            public_only: false,
            proxy: Proxy::default(),
            headers: Vec::new(),
            attempts: 5,
            patience: Duration::from_secs(60),
            interrupt: Interrupt::default(),
        }
    }
}

impl Access {
    /// What a name may mean, most likely first: a name with a registry only itself, a bare one what the
    /// aliases and the search list make of it, and `docker.io` where they are silent.
    ///
    /// # Errors
    /// Class `Invalid` for what is no reference.
    pub fn candidates(&self, text: &str) -> Result<Vec<Reference>> {
        self.registries.candidates(text)
    }
}
