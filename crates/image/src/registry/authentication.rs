//! What a registry's challenge is answered with: tokens, and names with passwords.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::credentials::Login;

/// Lifetime of a token that does not name one (distribution's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// A token is asked for anew after a day, whatever it says.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

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

impl TokenReply {
    pub(super) fn token(self) -> Option<Token> {
        let text = self
            .token
            .or(self.access_token)
            .filter(|token| !token.is_empty())?;
        let lifetime = self
            .expires_in
            .map_or(DEFAULT_LIFETIME, Duration::from_secs)
            .min(LONGEST_LIFETIME);
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
    fn no_lifetime_upsets_the_clock() {
        for lifetime in ["0", "300", "18446744073709551615"] {
            let text = format!(r#"{{"token":"t","expires_in":{lifetime}}}"#);
            let reply: TokenReply = serde_json::from_str(&text).unwrap();
            let until = reply.token().unwrap().until;
            assert!(until <= Instant::now() + LONGEST_LIFETIME, "{lifetime}");
        }
    }
}
