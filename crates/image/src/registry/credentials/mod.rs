//! Who to be for which registry: Docker's and Podman's login files, and credential helper programs.

mod file;
mod helper;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use berth_contract::Result;

pub use file::{LoginFile, Removal, Saved};

/// Docker's own registry keeps this historical key.
pub(super) const DOCKER_KEY: &str = "index.docker.io";

/// How to prove who one is. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user name and a password or access token.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// An OAuth refresh token, and the name it was given to.
    IdentityToken {
        /// The name, for whoever asks who is logged in.
        username: String,
        /// The token.
        token: String,
    },
    /// A bearer token to be sent as it is.
    RegistryToken(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => write!(formatter, "Password({username})"),
            Self::IdentityToken { username, .. } => {
                write!(formatter, "IdentityToken({username})")
            }
            Self::RegistryToken(_) => formatter.write_str("RegistryToken"),
        }
    }
}

impl Login {
    /// `name:password` as people write it on the command line.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (username, password) = text.split_once(':').unwrap_or((text, ""));
        Self::Password {
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    /// The name, where there is one.
    #[must_use]
    pub fn username(&self) -> &str {
        match self {
            Self::Password { username, .. } | Self::IdentityToken { username, .. } => username,
            Self::RegistryToken(_) => "",
        }
    }
}

/// Where logins are looked for: what was given, then each file, its helpers before its own entries.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    given: BTreeMap<String, Login>,
    files: Vec<LoginFile>,
    helpers: Vec<String>,
    /// Where helper programs lie, in the order of `PATH`.
    programs: Vec<PathBuf>,
}

impl Credentials {
    /// Reads login files; those that are not there are left out.
    ///
    /// # Errors
    /// A file cannot be read, or is not one.
    pub fn read(files: &[PathBuf], programs: Vec<PathBuf>) -> Result<Self> {
        let files = files.iter().map(|path| LoginFile::read(path));
        let files = files.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            files: files.into_iter().flatten().collect(),
            programs,
            ..Self::default()
        })
    }

    /// Sets the login of a registry, written as a host with port, a URL, or with a path behind it.
    pub fn insert(&mut self, registry: &str, login: Login) {
        self.given.insert(normal(registry), login);
    }

    /// Asks these credential helpers too, after the files (`credential-helpers` of registries.conf).
    pub fn add_helpers(&mut self, names: impl IntoIterator<Item = String>) {
        // "containers-auth.json" means the files themselves.
        let names = names
            .into_iter()
            .filter(|name| name != "containers-auth.json");
        self.helpers.extend(names);
    }

    /// The extra headers that the files' `HttpHeaders` ask for.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        let headers = self.files.iter().flat_map(LoginFile::headers);
        headers
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The proxies that the first file with any names (`proxies.default`), by their variable's name.
    #[must_use]
    pub fn proxies(&self) -> Vec<(&'static str, String)> {
        let found = self.files.iter().map(|file| {
            let proxies = file.proxies();
            proxies
                .map(|(name, value)| (name, value.to_owned()))
                .collect::<Vec<_>>()
        });
        let mut found = found.filter(|proxies| !proxies.is_empty());
        found.next().unwrap_or_default()
    }

    /// The login for a repository: the longest key that is its registry or leads to it.
    ///
    /// # Errors
    /// A credential helper is named and cannot be run.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Login>> {
        if let Some(login) = longest(&self.given, registry, repository) {
            return Ok(Some(login.clone()));
        }
        for file in &self.files {
            if let Some(login) = file.find(registry, repository, &self.programs)? {
                return Ok(Some(login));
            }
        }
        for name in &self.helpers {
            if let Some(login) = helper::get(name, &self.programs, &server(registry))? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    /// Who would log in to a registry, if anybody.
    ///
    /// # Errors
    /// As for [`Credentials::find`].
    pub fn user_of(&self, registry: &str) -> Result<Option<String>> {
        let login = self.find(&host(registry), "")?;
        Ok(login.map(|login| login.username().to_owned()))
    }

    /// Keeps a login in a file, or with the helper that the file names.
    ///
    /// # Errors
    /// The file cannot be read or written, or the helper fails.
    pub fn save(&self, file: &Path, registry: &str, login: &Login) -> Result<Saved> {
        file::save(file, registry, login, &self.programs)
    }

    /// The registries that a file has logins for.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn registries_in(&self, file: &Path) -> Result<Vec<String>> {
        let known = LoginFile::read(file)?.unwrap_or_default();
        Ok(known.registries().map(|registry| host(registry)).collect())
    }

    /// Forgets the login of a registry.
    ///
    /// # Errors
    /// As for [`Credentials::save`].
    pub fn remove(&self, file: &Path, registry: &str) -> Result<Removal> {
        file::remove(file, registry, &self.programs)
    }
}

/// The value of the longest key that is the registry or leads to the repository.
fn longest<'a, T>(
    logins: &'a BTreeMap<String, T>,
    registry: &str,
    repository: &str,
) -> Option<&'a T> {
    let mut key = format!("{}/{repository}", normal(registry));
    loop {
        if let Some(login) = logins.get(&key) {
            return Some(login);
        }
        key.truncate(key.rfind('/')?);
    }
}

/// `https://index.docker.io/v1/` and `docker.io` are the same; other URLs lose scheme and API version.
pub(super) fn normal(registry: &str) -> String {
    let bare = registry
        .strip_prefix("https://")
        .or_else(|| registry.strip_prefix("http://"));
    let bare = bare.unwrap_or(registry).trim_end_matches('/');
    let bare = bare
        .strip_suffix("/v1")
        .or_else(|| bare.strip_suffix("/v2"))
        .unwrap_or(bare);
    match bare {
        "docker.io" | "registry-1.docker.io" => DOCKER_KEY.to_owned(),
        other => other.to_owned(),
    }
}

/// The registry as references spell it.
fn host(registry: &str) -> String {
    match normal(registry) {
        key if key == DOCKER_KEY => "docker.io".to_owned(),
        other => other,
    }
}

/// The registry as helper programs and Docker's files spell it.
fn server(registry: &str) -> String {
    match normal(registry) {
        key if key == DOCKER_KEY => format!("https://{DOCKER_KEY}/v1/"),
        other => other,
    }
}

#[cfg(test)]
mod tests;
