//! `hosts.toml` as it is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::{Spanned, Table, Value};

use super::Host;

/// One file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) server: Option<String>,
    /// What counts for the server.
    pub(super) own: Settings,
    /// The hosts that are asked before it, in their order.
    pub(super) hosts: Vec<(String, Settings)>,
}

/// Where the tables of hosts stand: their order is what they are asked in, and tables know none.
#[derive(Deserialize)]
struct Order {
    #[serde(default)]
    host: BTreeMap<Spanned<String>, IgnoredAny>,
}

/// What is said about one host.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    ca: Option<Paths>,
    #[serde(default)]
    client: Option<Identities>,
    #[serde(default)]
    skip_verify: Option<bool>,
    #[serde(default)]
    header: BTreeMap<String, Values>,
    #[serde(default)]
    pub(super) override_path: bool,
    #[serde(default)]
    dial_timeout: Option<String>,
    #[serde(default)]
    proxy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Paths {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Identities {
    One(PathBuf),
    Several(Vec<Identity>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Identity {
    /// Certificate and key in one file.
    File(PathBuf),
    /// A certificate, and its key; an empty path means the same file.
    Pair(PathBuf, PathBuf),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

impl File {
    /// Reads one file.
    ///
    /// # Errors
    /// It is no TOML, or says what is not known.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let told = |error: toml::de::Error| error.message().to_owned();
        let mut root: Table = toml::from_str(text).map_err(told)?;
        let order: Order = toml::from_str(text).map_err(told)?;
        let mut order: Vec<Spanned<String>> = order.host.into_keys().collect();
        order.sort_by_key(|address| address.span().start);
        let mut tables = match root.remove("host") {
            None => Table::new(),
            Some(Value::Table(tables)) => tables,
            Some(_) => return Err("host is no table".into()),
        };
        let server = match root.remove("server") {
            None => None,
            Some(Value::String(server)) if server.is_empty() => None,
            Some(Value::String(server)) => Some(server),
            Some(_) => return Err("server is no text".into()),
        };
        let mut hosts = Vec::new();
        for address in order.into_iter().map(Spanned::into_inner) {
            let table = tables
                .remove(&address)
                .unwrap_or(Value::Table(Table::new()));
            let settings = Settings::deserialize(table);
            let settings = settings.map_err(|error| format!("{address}: {}", error.message()))?;
            hosts.push((address, settings));
        }
        let own = Settings::deserialize(Value::Table(root)).map_err(told)?;
        let all = hosts.iter().map(|(_, settings)| settings).chain([&own]);
        all.into_iter().try_for_each(Settings::check)?;
        Ok(Self { server, own, hosts })
    }
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        // Who may be asked for referrers tells nothing about content: they are asked of the registry itself.
        let known = ["pull", "resolve", "push", "referrers"];
        let is_unknown = |one: &&String| !known.iter().any(|known| one.eq_ignore_ascii_case(known));
        match self.capabilities.iter().find(is_unknown) {
            Some(unknown) => Err(format!("there is no capability {unknown:?}")),
            None => Ok(()),
        }
    }

    /// Whether a host may be used for something; one of which nothing is said may be used for all.
    pub(super) fn can(&self, capability: &str) -> bool {
        let mut all = self.capabilities.iter();
        self.capabilities.is_empty() || all.any(|one| one.eq_ignore_ascii_case(capability))
    }

    /// Whether anything is said about certificates.
    pub(super) fn has_tls(&self) -> bool {
        self.ca.is_some() || self.client.is_some() || self.skip_verify.is_some()
    }

    /// How the host is reached, as far as its address does not tell.
    pub(super) fn host(&self, directory: &Path) -> Result<Host, String> {
        let authorities = match &self.ca {
            None => &[],
            Some(Paths::One(path)) => std::slice::from_ref(path),
            Some(Paths::Several(paths)) => paths.as_slice(),
        };
        let dial_timeout = self.dial_timeout.as_deref().map(duration).transpose()?;
        if let Some(proxy) = &self.proxy {
            check_proxy(proxy)?;
        }
        Ok(Host {
            unverified: self.skip_verify == Some(true),
            authorities: authorities
                .iter()
                .map(|path| directory.join(path))
                .collect(),
            identity: self.identity(directory)?,
            headers: self.headers()?,
            dial_timeout,
            proxy: self.proxy.clone(),
            ..Host::default()
        })
    }

    fn identity(&self, directory: &Path) -> Result<Option<(PathBuf, PathBuf)>, String> {
        let (certificate, key) = match &self.client {
            None => return Ok(None),
            Some(Identities::One(path)) => (path, path),
            Some(Identities::Several(all)) => match all.as_slice() {
                [] => return Ok(None),
                [Identity::File(path)] => (path, path),
                [Identity::Pair(path, key)] if key.as_os_str().is_empty() => (path, path),
                [Identity::Pair(path, key)] => (path, key),
                _ => return Err("client names several certificates; name one".into()),
            },
        };
        Ok(Some((directory.join(certificate), directory.join(key))))
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.header {
            let invalid = || format!("the header {name:?} cannot be sent");
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Several(values) => values.as_slice(),
            };
            for value in values {
                let key: HeaderName = name.parse().map_err(|_invalid| invalid())?;
                let mut value: HeaderValue = value.parse().map_err(|_invalid| invalid())?;
                value.set_sensitive(true);
                headers.append(key, value);
            }
        }
        Ok(headers)
    }
}

/// A duration as Go writes it.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    let duration = parsed.and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| format!("dial_timeout {text:?} is no duration like 30s"))
}

fn check_proxy(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("the proxy {text:?}: {error}"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "http" | "https" if url.has_host() && bare => Ok(()),
        "socks5" | "socks5h" => Err(format!(
            "the proxy {text:?} speaks SOCKS, which berth does not"
        )),
        _ => Err(format!(
            "the proxy {text:?} is no http:// or https:// address alone"
        )),
    }
}
