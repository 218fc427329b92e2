//! One registry, spoken to for one repository: requests with authentication and retries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_contract::{Digest, Result};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode, Url};

use super::authentication::{Challenge, Token, TokenReply, basic};
use super::credentials::Login;
use super::failure::Failure;
use super::{PullOptions, transport};
use crate::documents::{MANIFEST_LIMIT, media};
use crate::progress::{Event, Progress};
use crate::reference::Reference;

const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Of an error's body and of a token's reply.
const REPLY_LIMIT: u64 = 64 << 10;
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A registry as seen from one repository.
pub(super) struct Client<'a> {
    http: reqwest::Client,
    base: Url,
    login: Option<&'a Login>,
    progress: &'a dyn Progress,
    /// Whether it ever answered: a host that cannot be reached at all is not asked again and again.
    reached: AtomicBool,
    /// The `Authorization` that worked last.
    authorization: Mutex<Option<Token>>,
}

/// A document as the registry sent it.
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: Option<String>,
    pub(super) digest: Digest,
}

impl<'a> Client<'a> {
    /// Finds out how the registry is to be spoken to.
    pub(super) async fn connect(
        reference: &Reference,
        options: &'a PullOptions,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let host = match reference.registry() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let lenient = options.insecure || is_loopback(host);
        let login = options
            .credentials
            .find(reference.registry(), reference.repository());
        let http = transport::client(&options.authorities, &options.proxy, lenient)?;
        let mut base = parse_url(&format!("https://{host}/v2/"))?;
        if lenient && http.get(base.clone()).send().await.is_err() {
            base = parse_url(&format!("http://{host}/v2/"))?;
        }
        let base = base
            .join(&format!("{}/", reference.repository()))
            .map_err(|error| invalid_url(reference.registry(), error))?;
        Ok(Self {
            http,
            base,
            login,
            progress,
            reached: AtomicBool::new(false),
            authorization: Mutex::new(None),
        })
    }

    pub(super) fn url(&self, path: &str) -> Result<Url, Failure> {
        let joined = self.base.join(path);
        joined.map_err(|error| Failure::protocol(&Method::GET, &self.base, error.to_string()))
    }

    /// The digest a tag has now, if the registry tells without sending the document.
    pub(super) async fn digest_of_tag(&self, tag: &str) -> Result<Option<Digest>, Failure> {
        let url = self.url(&format!("manifests/{tag}"))?;
        match self.send(&Method::HEAD, &url, &accepting()).await {
            Ok(response) => {
                let header = response.headers().get(CONTENT_DIGEST);
                Ok(header.and_then(|value| value.to_str().ok()?.parse().ok()))
            }
            // HEAD tells no reason: let GET find it out.
            Err(failure) if failure.status.is_some() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A manifest or index by tag or digest, verified.
    pub(super) async fn manifest(
        &self,
        what: &str,
        expected: Option<&Digest>,
    ) -> Result<Received, Failure> {
        let url = self.url(&format!("manifests/{what}"))?;
        let response = self.send(&Method::GET, &url, &accepting()).await?;
        let media_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = media_type.map(|text| {
            text.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        });
        let announced = response.headers().get(CONTENT_DIGEST).cloned();
        let announced: Option<Digest> =
            announced.and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = body(response, MANIFEST_LIMIT, &url).await?;
        // The digest asked for decides; what the registry announces must agree with it too.
        let digest = expected.map_or_else(
            || {
                announced
                    .clone()
                    .unwrap_or_else(|| crate::store::sha256(&bytes))
            },
            Clone::clone,
        );
        let computed = crate::store::digest_of(&digest, &bytes);
        if computed != digest {
            return Err(Failure::content(&url, &digest, &computed));
        }
        Ok(Received {
            bytes,
            media_type,
            digest,
        })
    }

    /// A small blob, verified.
    pub(super) async fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Failure> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let response = self.send(&Method::GET, &url, &HeaderMap::new()).await?;
        let bytes = body(response, limit, &url).await?;
        let computed = crate::store::digest_of(digest, &bytes);
        if computed != *digest {
            return Err(Failure::content(&url, digest, &computed));
        }
        Ok(bytes)
    }

    /// Sends a request until it succeeds or trying again is pointless.
    pub(super) async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response, Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.authenticated(method, url, headers).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            self.wait(&mut attempt, failure).await?;
        }
    }

    /// Waits before another attempt, or gives the failure back.
    pub(super) async fn wait(&self, attempt: &mut u32, failure: Failure) -> Result<(), Failure> {
        let Some(asked) = failure.again.filter(|_| *attempt < ATTEMPTS) else {
            return Err(failure);
        };
        let wait = asked.max(FIRST_WAIT * 2_u32.pow(*attempt - 1));
        *attempt += 1;
        self.progress.event(&Event::Retrying {
            reason: &failure.to_string(),
            wait,
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn authenticated(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response, Failure> {
        let known = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let known = known
            .filter(|token| token.until > Instant::now())
            .map(|token| token.header);
        let known = known.or_else(|| match self.login {
            Some(Login::RegistryToken(token)) => Some(format!("Bearer {token}")),
            _ => None,
        });
        let response = self.attempt(method, url, headers, known.as_deref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return accept(method, url, response).await;
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenges
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .next();
        let Some(token) = self.answer(challenge).await? else {
            return accept(method, url, response).await;
        };
        let response = self
            .attempt(method, url, headers, Some(&token.header))
            .await?;
        let response = accept(method, url, response).await?;
        *self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(response)
    }

    async fn attempt(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&str>,
    ) -> Result<Response, Failure> {
        let mut request = self
            .http
            .request(method.clone(), url.clone())
            .headers(headers.clone());
        if let Some(mut value) = authorization.and_then(|text| HeaderValue::from_str(text).ok()) {
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        match request.send().await {
            Ok(response) => {
                self.reached.store(true, Ordering::Relaxed);
                Ok(response)
            }
            Err(error) => {
                let mut failure = Failure::connection(method, url, &error);
                failure.again = failure
                    .again
                    .filter(|_| self.reached.load(Ordering::Relaxed));
                Err(failure)
            }
        }
    }

    /// What to send for a challenge; `None` if there is nothing to answer it with.
    async fn answer(&self, challenge: Option<Challenge>) -> Result<Option<Token>, Failure> {
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => {
                let forever = Instant::now() + Duration::from_secs(24 * 3600);
                let header = self.login.and_then(basic);
                Ok(header.map(|header| Token {
                    header,
                    until: forever,
                }))
            }
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => self.token(&realm, service, scope).await.map(Some),
        }
    }

    /// Fetches a bearer token: by GET as everybody, or with name and password; by an OAuth POST with an
    /// identity token.
    async fn token(
        &self,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
    ) -> Result<Token, Failure> {
        let protocol = |reason: String| Failure::protocol(&Method::GET, &self.base, reason);
        let mut url =
            Url::parse(realm).map_err(|error| protocol(format!("its token realm: {error}")))?;
        if self.base.scheme() == "https" && url.scheme() != "https" {
            return Err(protocol("its token realm is not https".into()));
        }
        let mut fields: Vec<(&str, String)> = Vec::new();
        fields.extend(service.map(|service| ("service", service)));
        fields.extend(scope.map(|scope| ("scope", scope)));
        let (method, request) = if let Some(Login::IdentityToken(token)) = self.login {
            fields.push(("grant_type", "refresh_token".into()));
            fields.push(("client_id", "berth".into()));
            fields.push(("refresh_token", token.clone()));
            let mut form = Url::parse("form:").map_err(|error| protocol(error.to_string()))?;
            form.query_pairs_mut().extend_pairs(&fields);
            let body = form.query().unwrap_or_default().to_owned();
            let form = "application/x-www-form-urlencoded";
            (
                Method::POST,
                self.http
                    .post(url.clone())
                    .header(CONTENT_TYPE, form)
                    .body(body),
            )
        } else {
            url.query_pairs_mut().extend_pairs(&fields);
            let mut request = self.http.get(url.clone());
            if let Some(header) = self.login.and_then(basic) {
                request = request.header(AUTHORIZATION, header);
            }
            (Method::GET, request)
        };
        let response = request.send().await;
        let response = response.map_err(|error| Failure::connection(&method, &url, &error))?;
        let response = accept(&method, &url, response).await?;
        let bytes = body(response, REPLY_LIMIT, &url).await?;
        let reply = serde_json::from_slice::<TokenReply>(&bytes)
            .ok()
            .and_then(TokenReply::token);
        reply.ok_or_else(|| Failure::protocol(&method, &url, "the reply holds no token"))
    }
}

fn accepting() -> HeaderMap {
    let accepted = media::accepted();
    HeaderValue::from_str(&accepted)
        .map(|value| HeaderMap::from_iter([(ACCEPT, value)]))
        .unwrap_or_default()
}

/// An answer of 2xx, or the failure it tells of.
async fn accept(method: &Method, url: &Url, response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let headers = response.headers().clone();
    let bytes = body(response, REPLY_LIMIT, url).await.unwrap_or_default();
    Err(Failure::status(method, url, status, &bytes, &headers))
}

/// A body of at most `limit` bytes, whatever its length claims to be.
async fn body(mut response: Response, limit: u64, url: &Url) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let broken = |error: reqwest::Error| Failure::connection(&Method::GET, url, &error);
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > limit {
            let reason = format!("the reply is larger than {limit} bytes");
            return Err(Failure::protocol(&Method::GET, url, reason));
        }
    }
    Ok(bytes)
}

/// Plain HTTP is as safe as the machine itself there: Docker's rule.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost"
        || name
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn parse_url(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|error| invalid_url(text, error))
}

fn invalid_url(
    text: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> berth_contract::Error {
    let message = format!("cannot reach a registry called {text}");
    berth_contract::Error::new(berth_contract::Class::Invalid, message).caused_by(error)
}
