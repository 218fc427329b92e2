//! Bearer tokens: fetched once, renewed before they end, shared by all requests of a client.
//!
//! By GET as everybody or with name and password; by an OAuth POST with an identity token, or where the
//! token server takes nothing else (distribution `spec/auth/token.md`, `oauth.md`).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode, Url};

use super::authentication::{Token, TokenReply, basic};
use super::challenge::Challenge;
use super::client::{Client, REPLY_LIMIT, Request};
use super::credentials::Login;
use super::failure::Failure;

/// As whom a client speaks, and what it was given for it.
pub(super) struct Authority {
    pub(super) login: Option<Login>,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The challenge that was answered last: what to renew by.
    challenge: Option<Challenge>,
    token: Option<Token>,
    /// Everything that was ever needed: a token for more serves for less.
    scopes: BTreeSet<String>,
}

impl Authority {
    pub(super) fn new(login: Option<Login>) -> Self {
        Self {
            login,
            state: tokio::sync::Mutex::default(),
        }
    }

    /// Asks for this scope too whenever a token is fetched.
    pub(super) fn need(&mut self, scope: String) {
        self.state.get_mut().scopes.insert(scope);
    }
}

impl Client<'_> {
    /// The header to send now, renewed if what is known has ended.
    pub(super) async fn authorization(&self) -> Result<Option<String>, Failure> {
        if let Some(Login::RegistryToken(token)) = &self.authority.login {
            return Ok(Some(format!("Bearer {token}")));
        }
        let mut state = self.authority.state.lock().await;
        let Some(token) = &state.token else {
            return Ok(None);
        };
        if token.until > Instant::now() {
            return Ok(Some(token.header.clone()));
        }
        self.renew(&mut state).await
    }

    /// What to send for some challenges; `None` if there is nothing to answer them with.
    pub(super) async fn answer(
        &self,
        challenges: Vec<Challenge>,
        rejected: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        if matches!(self.authority.login, Some(Login::RegistryToken(_))) {
            return Ok(None);
        }
        // Bearer is the stronger one wherever both are offered.
        let mut challenges = challenges;
        challenges.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
        let Some(challenge) = challenges.into_iter().next() else {
            return Ok(None);
        };
        let mut state = self.authority.state.lock().await;
        if let Some(token) = &state.token
            && token.until > Instant::now()
            && Some(token.header.as_str()) != rejected
        {
            // Another request was told the same a moment ago.
            return Ok(Some(token.header.clone()));
        }
        if let Challenge::Bearer {
            scope: Some(scope), ..
        } = &challenge
        {
            state.scopes.extend(scope.split(' ').map(str::to_owned));
        }
        state.challenge = Some(challenge);
        self.renew(&mut state).await
    }

    async fn renew(&self, state: &mut State) -> Result<Option<String>, Failure> {
        let token = match &state.challenge {
            None => None,
            Some(Challenge::Basic) => {
                let header = self.authority.login.as_ref().and_then(basic);
                header.map(|header| Token {
                    header,
                    until: Instant::now() + Duration::from_secs(24 * 3600),
                })
            }
            Some(Challenge::Bearer { realm, service, .. }) => {
                let reply = self
                    .fetch(realm, service.as_deref(), &state.scopes, false)
                    .await?;
                Some(reply.token().ok_or_else(|| self.without_token(realm))?)
            }
        };
        let header = token.as_ref().map(|token| token.header.clone());
        state.token = token;
        Ok(header)
    }

    /// Logs in at the token server of a challenge and gives the refresh token, if it gives one.
    pub(super) async fn refresh_token(
        &self,
        challenge: &Challenge,
    ) -> Result<Option<String>, Failure> {
        let Challenge::Bearer { realm, service, .. } = challenge else {
            return Ok(None);
        };
        let reply = self
            .fetch(realm, service.as_deref(), &BTreeSet::new(), true)
            .await?;
        Ok(reply.refresh_token())
    }

    fn without_token(&self, realm: &str) -> Failure {
        let url = Url::parse(realm).ok();
        let fallback = self.registry_url("").ok();
        match url.or(fallback) {
            Some(url) => Failure::protocol(&Method::GET, &url, "the reply holds no token"),
            None => Failure::unspoken("the token server's reply holds no token"),
        }
    }

    /// Fetches a token; `offline` asks for a refresh token as well.
    async fn fetch(
        &self,
        realm: &str,
        service: Option<&str>,
        scopes: &BTreeSet<String>,
        offline: bool,
    ) -> Result<TokenReply, Failure> {
        let registry = self.registry_url("")?;
        let protocol = |reason: &str| Failure::protocol(&Method::GET, &registry, reason);
        let url = Url::parse(realm)
            .map_err(|error| protocol(&format!("its token realm is no URL: {error}")))?;
        if registry.scheme() == "https" && url.scheme() != "https" {
            return Err(protocol("its token realm is not https"));
        }
        super::public::check(self.access, &Method::GET, &url)?;
        let ask = Ask {
            url: &url,
            service,
            scopes,
            offline,
        };
        if let Some(Login::IdentityToken { token, .. }) = &self.authority.login {
            return self
                .post(
                    &ask,
                    &[("grant_type", "refresh_token"), ("refresh_token", token)],
                )
                .await;
        }
        match (self.get(&ask).await, &self.authority.login) {
            // Some token servers speak OAuth only.
            (Err(failure), Some(Login::Password { username, password }))
                if matches!(
                    failure.status,
                    Some(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND)
                ) =>
            {
                let fields = [
                    ("grant_type", "password"),
                    ("username", username.as_str()),
                    ("password", password.as_str()),
                ];
                self.post(&ask, &fields).await
            }
            (reply, _) => reply,
        }
    }

    async fn get(&self, ask: &Ask<'_>) -> Result<TokenReply, Failure> {
        let mut url = ask.url.clone();
        {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(ask.service.map(|service| ("service", service)));
            for scope in ask.scopes {
                pairs.append_pair("scope", scope);
            }
            if let Some(login) = &self.authority.login {
                pairs.append_pair("account", login.username());
            }
            if ask.offline {
                pairs.append_pair("offline_token", "true");
                pairs.append_pair("client_id", "berth");
            }
        }
        let mut request = self.http.get(url.clone());
        if let Some(header) = self.authority.login.as_ref().and_then(basic) {
            request = request.header(AUTHORIZATION, header);
        }
        self.reply(Method::GET, url, request.send()).await
    }

    async fn post(&self, ask: &Ask<'_>, fields: &[(&str, &str)]) -> Result<TokenReply, Failure> {
        let url = ask.url.clone();
        let mut form = ask.url.clone();
        let scopes: Vec<&str> = ask.scopes.iter().map(String::as_str).collect();
        form.query_pairs_mut()
            .clear()
            .extend_pairs(fields)
            .extend_pairs(ask.service.map(|service| ("service", service)))
            .append_pair("client_id", "berth");
        if !scopes.is_empty() {
            form.query_pairs_mut()
                .append_pair("scope", &scopes.join(" "));
        }
        if ask.offline {
            form.query_pairs_mut().append_pair("access_type", "offline");
        }
        let body = form.query().unwrap_or_default().to_owned();
        let request = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        self.reply(Method::POST, url, request.send()).await
    }

    async fn reply(
        &self,
        method: Method,
        url: Url,
        answer: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<TokenReply, Failure> {
        let patience = self.access.patience;
        let answer = tokio::time::timeout(patience, answer).await;
        let answer = answer.map_err(|_elapsed| Failure::stalled(&method, &url, patience))?;
        let response = answer.map_err(|error| Failure::connection(&method, &url, &error))?;
        let request = Request::new(method, url);
        let response = self.accept(&request, response).await?;
        let bytes = self.body(response, REPLY_LIMIT, &request.url).await?;
        serde_json::from_slice(&bytes).map_err(|_no_reply| {
            Failure::protocol(&request.method, &request.url, "the reply holds no token")
        })
    }
}

/// What is wanted of a token server.
struct Ask<'a> {
    url: &'a Url,
    service: Option<&'a str>,
    scopes: &'a BTreeSet<String>,
    offline: bool,
}
