//! Who to be for which registry: the `auths` of Docker's and Podman's credential files.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_contract::{Class, Error, Result};
use serde::Deserialize;

/// Docker's own registry keeps this historical key.
const DOCKER_KEY: &str = "index.docker.io";

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
    /// An OAuth refresh token.
    IdentityToken(String),
    /// A bearer token to be sent as it is.
    RegistryToken(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => write!(formatter, "Password({username})"),
            Self::IdentityToken(_) => formatter.write_str("IdentityToken"),
            Self::RegistryToken(_) => formatter.write_str("RegistryToken"),
        }
    }
}

/// Logins by registry, or by registry and the beginning of a repository's path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    logins: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
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

impl Credentials {
    /// Reads the `auths` of a `config.json` or `auth.json`; entries without a login are left out.
    ///
    /// # Errors
    /// Class `Invalid` for what is not such a file.
    pub fn from_config(bytes: &[u8]) -> Result<Self> {
        let invalid = |reason: String| {
            Error::new(Class::Invalid, "cannot read the registry credentials").caused_by(reason)
        };
        let file: ConfigFile =
            serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        let mut credentials = Self::default();
        for (registry, entry) in file.auths {
            let login = entry
                .login()
                .map_err(|reason| invalid(format!("{registry}: {reason}")))?;
            if let Some(login) = login {
                credentials.insert(&registry, login);
            }
        }
        Ok(credentials)
    }

    /// Sets the login of a registry, written as a host with port, a URL, or with a path behind it.
    pub fn insert(&mut self, registry: &str, login: Login) {
        self.logins.insert(normal(registry), login);
    }

    /// The login for a repository: the longest key that is its registry or leads to it.
    #[must_use]
    pub fn find(&self, registry: &str, repository: &str) -> Option<&Login> {
        let host = normal(registry);
        let mut key = format!("{host}/{repository}");
        loop {
            if let Some(login) = self.logins.get(&key) {
                return Some(login);
            }
            key.truncate(key.rfind('/')?);
        }
    }
}

impl Entry {
    fn login(self) -> Result<Option<Login>, String> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Login::RegistryToken(self.registrytoken)));
        }
        if !self.identitytoken.is_empty() {
            return Ok(Some(Login::IdentityToken(self.identitytoken)));
        }
        if self.auth.is_empty() {
            let login = Login::Password {
                username: self.username,
                password: self.password,
            };
            return Ok(Some(login).filter(|login| *login != Login::empty()));
        }
        let decoded = STANDARD
            .decode(self.auth.trim())
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8(decoded).map_err(|error| error.to_string())?;
        let (username, password) = text.split_once(':').ok_or("its auth has no colon")?;
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Login::Password {
            username: username.to_owned(),
            password,
        }))
    }
}

impl Login {
    fn empty() -> Self {
        Self::Password {
            username: String::new(),
            password: String::new(),
        }
    }
}

/// `https://index.docker.io/v1/` and `docker.io` are the same; other URLs lose scheme and API version.
fn normal(registry: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_config_reads() {
        let config = br#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6c2VjOnJldA=="},
            "localhost:5000":{"username":"a","password":"b"},
            "ghcr.io/team":{"identitytoken":"t"},
            "helper.example":{}},"credsStore":"x"}"#;
        let credentials = Credentials::from_config(config).unwrap();
        let password = |username: &str, password: &str| Login::Password {
            username: username.into(),
            password: password.into(),
        };
        assert_eq!(
            credentials.find("docker.io", "library/x"),
            Some(&password("me", "sec:ret"))
        );
        assert_eq!(
            credentials.find("localhost:5000", "x"),
            Some(&password("a", "b"))
        );
        assert_eq!(
            credentials.find("ghcr.io", "team/app"),
            Some(&Login::IdentityToken("t".into()))
        );
        assert_eq!(credentials.find("ghcr.io", "other/app"), None);
        assert_eq!(credentials.find("helper.example", "x"), None);
        assert!(!format!("{credentials:?}").contains("sec:ret"));
        assert!(Credentials::from_config(b"[").is_err());
    }
}
