//! containerd's `certs.d/HOST/hosts.toml`: which hosts stand for a registry, and how each is reached.
//!
//! Facts are from containerd's `docs/hosts.md`. What is not known here is refused: a key that means something to
//! containerd and nothing here would lead to another host, or to less safety, than whoever wrote it believes.

mod file;

use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use reqwest::Url;
use reqwest::header::HeaderMap;

use self::file::{File, Settings};
use super::Endpoint;

const FILE: &str = "hosts.toml";
/// The directory for registries that have none.
const DEFAULT: &str = "_default";

/// What a host speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Scheme {
    #[default]
    Secure,
    Plain,
    /// Plain HTTP, unless it answers with TLS.
    Either,
}

/// How one host is reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// Beneath which the interface lies, always with `https`; the usual place without.
    pub(crate) root: Option<Url>,
    /// What it speaks, where its address says so.
    pub(crate) scheme: Scheme,
    /// Any certificate will do.
    pub(crate) unverified: bool,
    /// Whom to believe.
    pub(crate) authorities: Vec<PathBuf>,
    /// The file of the certificate that is shown, and of its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// A directory of such files, as Docker has them.
    pub(crate) directory: Option<PathBuf>,
    /// What is said with each request.
    pub(crate) headers: HeaderMap,
    /// How long connecting may take.
    pub(crate) dial_timeout: Option<Duration>,
    /// The proxy that is used whatever the environment says.
    pub(crate) proxy: Option<String>,
    /// The registry that it stands for, which it is told.
    pub(crate) namespace: Option<String>,
}

/// Headers may be secret.
impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Host")
            .field("root", &self.root.as_ref().map(Url::as_str))
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

/// The endpoints of a repository, if a directory speaks of its registry; the registry's own is the last.
///
/// # Errors
/// Class `Invalid` for a file that cannot be used.
pub(super) fn endpoints(
    roots: &[PathBuf],
    registry: &str,
    repository: &str,
) -> Result<Option<Vec<Endpoint>>> {
    let Some(directory) = find(roots, registry) else {
        return Ok(None);
    };
    let path = directory.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut own = Endpoint::new(registry, repository);
            let directory = Some(directory);
            own.host = Some(Box::new(Host {
                directory,
                ..Host::default()
            }));
            return Ok(Some(vec![own]));
        }
        Err(error) => {
            let message = format!("cannot read {}", path.display());
            return Err(Error::new(Class::Denied, message).caused_by(error));
        }
    };
    let unusable = |reason: String| {
        let message = format!("cannot use {}", path.display());
        Error::new(Class::Invalid, message).caused_by(reason)
    };
    let file = File::parse(&text).map_err(unusable)?;
    let endpoint = |address: Option<&str>, settings: &Settings| {
        endpoint(address, settings, (&directory, registry, repository)).map_err(unusable)
    };
    let hosts = file.hosts.iter();
    let hosts = hosts.map(|(address, settings)| {
        let mut host = endpoint(Some(address), settings)?;
        host.mirror = true;
        Ok(host)
    });
    let mut endpoints = hosts.collect::<Result<Vec<_>>>()?;
    let mut own = endpoint(file.server.as_deref(), &file.own)?;
    // By a file for every registry alone nobody has named this one.
    own.configured = file.server.is_some() || !directory.ends_with(DEFAULT);
    endpoints.push(own);
    Ok(Some(endpoints))
}

/// The directory for a registry, else the one for all.
fn find(roots: &[PathBuf], registry: &str) -> Option<PathBuf> {
    if registry.contains('/') || registry.starts_with('.') {
        return None;
    }
    let underscored = registry
        .rsplit_once(':')
        .map(|(host, port)| format!("{host}_{port}_"));
    let names = underscored.as_deref().into_iter().chain([registry]);
    let own = names.flat_map(|name| roots.iter().map(move |root| root.join(name)));
    let all = own.chain(roots.iter().map(|root| root.join(DEFAULT)));
    all.into_iter().find(|directory| directory.is_dir())
}

fn endpoint(
    address: Option<&str>,
    settings: &Settings,
    (directory, registry, repository): (&Path, &str, &str),
) -> Result<Endpoint, String> {
    let mut host = settings.host(directory)?;
    let mut endpoint = Endpoint::new(registry, repository);
    if let Some(address) = address {
        let root = root(address, settings.override_path)?;
        let name = authority(&root);
        host.scheme = match root.scheme() {
            "https" => Scheme::Secure,
            // As containerd does: who has certificates is asked for them first.
            _ if settings.has_tls() && root.port().is_some() => Scheme::Either,
            _ => Scheme::Plain,
        };
        let mut secure = root;
        // Between the two schemes of the web this cannot fail.
        secure.set_scheme("https").ok();
        host.root = Some(secure);
        host.namespace = (name != registry).then(|| registry.to_owned());
        endpoint.registry = name;
    } else if settings.override_path {
        return Err("override_path needs a server with a path".into());
    }
    endpoint.pulls = settings.can("pull");
    endpoint.resolves = settings.can("resolve");
    endpoint.pushes = settings.can("push");
    endpoint.configured = true;
    endpoint.host = Some(Box::new(host));
    Ok(endpoint)
}

/// Beneath which a host's interface lies.
fn root(address: &str, override_path: bool) -> Result<Url, String> {
    let full = match address.contains("://") {
        true => address.to_owned(),
        false => format!("https://{address}"),
    };
    let mut url = Url::parse(&full).map_err(|error| format!("{address:?}: {error}"))?;
    let plain = url.username().is_empty() && url.password().is_none();
    let bare = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain || !bare {
        return Err(format!(
            "{address:?} is no http:// or https:// address alone"
        ));
    }
    if url.scheme() == "http" && url.port() == Some(443) {
        return Err(format!("{address:?} speaks HTTP where HTTPS is spoken"));
    }
    let path = url.path().trim_end_matches('/');
    let path = match path.ends_with("/v2") || override_path {
        true => format!("{path}/"),
        false => format!("{path}/v2/"),
    };
    url.set_path(&path);
    Ok(url)
}

/// Host and port, as logins and certificates name it.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match (host, url.port()) {
        // What it is called, and where it is.
        ("registry-1.docker.io", None) => super::default_registry().to_owned(),
        (host, None) => host.to_owned(),
        (host, Some(port)) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests;
