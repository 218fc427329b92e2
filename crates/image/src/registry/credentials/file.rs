//! `config.json` of Docker and `auth.json` of Podman, read and changed in place.
//!
//! A change keeps every key that is not about the login at hand: the file belongs to other programs too.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{DOCKER_KEY, Login, helper, longest, normal, server};

/// One login file, read.
#[derive(Debug, Clone, Default)]
pub struct LoginFile {
    logins: BTreeMap<String, Login>,
    store: Option<String>,
    helpers: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    proxies: Proxies,
}

/// What Docker's `config.json` names as proxies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    ftp_proxy: String,
    no_proxy: String,
    all_proxy: String,
}

/// Where a login was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// In the file, where whoever reads it reads the password.
    InFile,
    /// With this credential helper.
    WithHelper(String),
}

/// What a log-out found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// A login, which is gone now.
    Removed,
    /// None.
    Absent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    creds_store: String,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default, rename = "HttpHeaders")]
    headers: BTreeMap<String, String>,
    /// By the daemon they are for; here is none, and so `default` counts.
    #[serde(default)]
    proxies: BTreeMap<String, Proxies>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

impl LoginFile {
    /// Reads a file; `None` if it is not there.
    ///
    /// # Errors
    /// It cannot be read, or is not such a file.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Self::parse(&bytes).map(Some).map_err(|error| {
                error.context(format!("cannot use the logins in {}", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let message = format!("cannot read the logins in {}", path.display());
                Err(Error::new(Class::Denied, message).caused_by(error))
            }
        }
    }

    /// Reads the bytes of one; entries without a login are left out.
    ///
    /// # Errors
    /// Class `Invalid` for what is not such a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let shape: Shape = serde_json::from_slice(bytes).map_err(invalid)?;
        let mut proxies = shape.proxies;
        let mut file = Self {
            proxies: proxies.remove("default").unwrap_or_default(),
            store: Some(shape.creds_store).filter(|name| !name.is_empty()),
            headers: shape.headers,
            ..Self::default()
        };
        for (registry, name) in shape.cred_helpers {
            file.helpers.insert(normal(&registry), name);
        }
        for (registry, entry) in shape.auths {
            let login = entry
                .login()
                .map_err(|reason| invalid(format!("{registry}: {reason}")))?;
            if let Some(login) = login {
                file.logins.insert(normal(&registry), login);
            }
        }
        Ok(file)
    }

    pub(super) fn registries(&self) -> impl Iterator<Item = &String> {
        self.logins.keys().chain(self.helpers.keys())
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&String, &String)> {
        self.headers.iter()
    }

    pub(super) fn proxies(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Proxies {
            http_proxy,
            https_proxy,
            ftp_proxy,
            no_proxy,
            all_proxy,
        } = &self.proxies;
        let named = [
            ("HTTP_PROXY", http_proxy),
            ("HTTPS_PROXY", https_proxy),
            ("FTP_PROXY", ftp_proxy),
            ("NO_PROXY", no_proxy),
            ("ALL_PROXY", all_proxy),
        ];
        let named = named
            .into_iter()
            .map(|(name, value)| (name, value.as_str()));
        named.filter(|(_, value)| !value.is_empty())
    }

    /// The login this file leads to: by the registry's own helper, else its entry, else the store.
    pub(super) fn find(
        &self,
        registry: &str,
        repository: &str,
        programs: &[PathBuf],
    ) -> Result<Option<Login>> {
        if let Some(name) = self.helpers.get(&normal(registry)) {
            return helper::get(name, programs, &server(registry));
        }
        if let Some(login) = longest(&self.logins, registry, repository) {
            return Ok(Some(login.clone()));
        }
        match &self.store {
            Some(name) => helper::get(name, programs, &server(registry)),
            None => Ok(None),
        }
    }

    /// The helper that keeps the logins of a registry.
    fn keeper(&self, registry: &str) -> Option<&String> {
        self.helpers.get(&normal(registry)).or(self.store.as_ref())
    }
}

impl Entry {
    fn login(self) -> Result<Option<Login>, String> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Login::RegistryToken(self.registrytoken)));
        }
        let (username, password) = if self.auth.is_empty() {
            (self.username, self.password)
        } else {
            decode(&self.auth)?
        };
        if !self.identitytoken.is_empty() {
            return Ok(Some(Login::IdentityToken {
                username,
                token: self.identitytoken,
            }));
        }
        let given = !username.is_empty() || !password.is_empty();
        Ok(given.then_some(Login::Password { username, password }))
    }
}

fn decode(auth: &str) -> Result<(String, String), String> {
    let decoded = STANDARD
        .decode(auth.trim())
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8(decoded).map_err(|error| error.to_string())?;
    let (username, password) = text.split_once(':').ok_or("its auth has no colon")?;
    Ok((
        username.to_owned(),
        password.trim_end_matches('\0').to_owned(),
    ))
}

fn invalid(reason: impl ToString) -> Error {
    Error::new(Class::Invalid, "cannot read the registry credentials").caused_by(reason.to_string())
}

/// Keeps a login.
pub(super) fn save(
    path: &Path,
    registry: &str,
    login: &Login,
    programs: &[PathBuf],
) -> Result<Saved> {
    let known = LoginFile::read(path)?.unwrap_or_default();
    let key = key(registry);
    if let Some(name) = known.keeper(registry) {
        helper::store(name, programs, &server(registry), login)?;
        change(path, |auths| {
            remove_keys(auths, registry);
            auths.insert(key, json!({}));
        })?;
        return Ok(Saved::WithHelper(name.clone()));
    }
    let auth = |name: &str, password: &str| STANDARD.encode(format!("{name}:{password}"));
    let entry = match login {
        Login::Password { username, password } => json!({ "auth": auth(username, password) }),
        Login::IdentityToken { username, token } => {
            json!({ "auth": auth(username, ""), "identitytoken": token })
        }
        Login::RegistryToken(token) => json!({ "registrytoken": token }),
    };
    change(path, |auths| {
        remove_keys(auths, registry);
        auths.insert(key, entry);
    })?;
    Ok(Saved::InFile)
}

/// Forgets a login.
pub(super) fn remove(path: &Path, registry: &str, programs: &[PathBuf]) -> Result<Removal> {
    let Some(known) = LoginFile::read(path)? else {
        return Ok(Removal::Absent);
    };
    let mut removal = Removal::Absent;
    if let Some(name) = known.keeper(registry)
        && helper::get(name, programs, &server(registry))?.is_some()
    {
        helper::erase(name, programs, &server(registry))?;
        removal = Removal::Removed;
    }
    change(path, |auths| {
        if remove_keys(auths, registry) {
            removal = Removal::Removed;
        }
    })?;
    Ok(removal)
}

/// Docker's own key for its own registry, so that both find it.
fn key(registry: &str) -> String {
    match normal(registry) {
        key if key == DOCKER_KEY => server(registry),
        other => other,
    }
}

fn remove_keys(auths: &mut Map<String, Value>, registry: &str) -> bool {
    let before = auths.len();
    auths.retain(|key, _| normal(key) != normal(registry));
    auths.len() < before
}

/// Changes the `auths` of a file, which is replaced as a whole and readable by its owner alone.
fn change(path: &Path, change: impl FnOnce(&mut Map<String, Value>)) -> Result<()> {
    let cannot = || format!("cannot write the logins to {}", path.display());
    // A login file is often a link into a mounted secret: what it leads to is replaced, not the link.
    let path = &fs::read_link(path).map_or_else(
        |_| path.to_owned(),
        |target| path.parent().unwrap_or(Path::new("/")).join(target),
    );
    let parent = path.parent().unwrap_or(Path::new("/"));
    let _lock = lock_beside(path, parent).explain(cannot)?;
    let before = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).explain(cannot),
    };
    let mut document: Map<String, Value> = match before.trim_ascii() {
        [] => Map::new(),
        bytes => serde_json::from_slice(bytes).map_err(invalid)?,
    };
    let mut auths = match document.remove("auths") {
        Some(Value::Object(auths)) => auths,
        _ => Map::new(),
    };
    change(&mut auths);
    document.insert("auths".to_owned(), Value::Object(auths));
    let mut text = serde_json::to_vec_pretty(&document).map_err(invalid)?;
    text.push(b'\n');
    let name = berth_sys::file::unique_name(".login-");
    let aside = parent.join(&name);
    let write = || {
        let mut options = fs::File::options();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.write(true).create_new(true).open(&aside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    let written = write();
    if written.is_err() {
        // The error that matters is the first one.
        drop(fs::remove_file(&aside));
    }
    written.explain(cannot)
}

/// Keeps other logins from changing the file meanwhile. The lock is a file of its own, since the login file is
/// replaced; it stays, for removing it would let two have it.
fn lock_beside(path: &Path, parent: &Path) -> io::Result<fs::File> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(parent)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = fs::File::options();
    options.read(true).write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(name)?;
    lock.lock()?;
    Ok(lock)
}
