//! What a registry's `WWW-Authenticate` asks for, and the answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::credentials::Login;

/// Lifetime of a token that does not name one (distribution's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// A challenge of a `WWW-Authenticate` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// A bearer token and when it ends.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: String,
    pub(super) until: Instant,
}

#[derive(Deserialize)]
pub(super) struct TokenReply {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Challenge {
    /// The strongest challenge of a header that can be answered.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header
            .trim()
            .split_once([' ', '\t'])
            .unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut fields = parameters(rest);
        Some(Self::Bearer {
            realm: fields.remove("realm")?,
            service: fields.remove("service"),
            scope: fields.remove("scope"),
        })
    }
}

/// `key="quoted \" text", key=word`: commas within quotes do not separate.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = text;
    while let Some((key, value)) = rest.split_once('=') {
        let key = key
            .trim()
            .trim_start_matches(',')
            .trim()
            .to_ascii_lowercase();
        let value = value.trim_start();
        let mut field = String::new();
        rest = "";
        if let Some(quoted) = value.strip_prefix('"') {
            let mut characters = quoted.char_indices();
            while let Some((position, character)) = characters.next() {
                match character {
                    '"' => {
                        rest = &quoted[position + 1..];
                        break;
                    }
                    '\\' => field.extend(characters.next().map(|(_, escaped)| escaped)),
                    other => field.push(other),
                }
            }
        } else if let Some((word, after)) = value.split_once(',') {
            word.trim().clone_into(&mut field);
            rest = after;
        } else {
            value.trim().clone_into(&mut field);
        }
        fields.insert(key, field);
    }
    fields
}

impl TokenReply {
    pub(super) fn token(self) -> Option<Token> {
        let text = self
            .token
            .or(self.access_token)
            .filter(|token| !token.is_empty())?;
        let lifetime = self
            .expires_in
            .map_or(DEFAULT_LIFETIME, Duration::from_secs);
        // A token that ends while its request is under way is worth nothing.
        let until = Instant::now() + lifetime.saturating_sub(Duration::from_secs(5));
        Some(Token {
            header: format!("Bearer {text}"),
            until,
        })
    }

    /// What to fetch later tokens with.
    pub(super) fn refresh_token(self) -> Option<String> {
        self.refresh_token.filter(|token| !token.is_empty())
    }
}

/// The header of basic authentication.
pub(super) fn basic(login: &Login) -> Option<String> {
    match login {
        Login::Password { username, password } => Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{password}"))
        )),
        Login::IdentityToken { .. } | Login::RegistryToken(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_parse() {
        let bearer = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(bearer),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        let odd = r#"bearer service=x , realm="a\"b""#;
        let Some(Challenge::Bearer {
            realm,
            service,
            scope,
        }) = Challenge::parse(odd)
        else {
            panic!()
        };
        assert_eq!(
            (realm.as_str(), service.as_deref(), scope),
            ("a\"b", Some("x"), None)
        );
        assert_eq!(
            Challenge::parse("Basic realm=\"x\""),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer service=\"x\""), None);
    }
}
