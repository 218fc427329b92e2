//! One registry, spoken to for one repository: requests with authentication and retries.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};

use super::access::Access;
use super::challenge::Challenge;
use super::configuration::{Endpoint, Scheme};
use super::credentials::Login;
use super::failure::Failure;
use super::public;
use super::sending::{Pulse, Sending, watch};
use super::token::Authority;
use super::transport;
use super::warning::Warnings;
use crate::progress::{Event, Progress};

const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Of an error's body and of a token's reply.
pub(crate) const REPLY_LIMIT: u64 = 64 << 10;

/// How many times longer than for an answer a registry may take to store something.
const STORING: u32 = 5;

/// A registry as seen from one repository.
pub(crate) struct Client<'a> {
    pub(crate) access: &'a Access,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) http: reqwest::Client,
    /// `https://host/v2/`.
    root: Url,
    repository: String,
    /// The registry that the host stands for, if it is to know.
    namespace: Option<String>,
    /// Plain HTTP is tried when HTTPS does not answer.
    lenient: bool,
    /// It was tried, and is what is spoken here.
    plain: AtomicBool,
    /// Whether it ever answered: a host that cannot be reached at all is not asked again and again.
    reached: AtomicBool,
    pub(crate) headers: HeaderMap,
    pub(super) authority: Authority,
    warnings: Warnings,
}

/// A request that can be made again.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
}

/// The body of a request.
#[derive(Debug, Clone, Default)]
pub(crate) enum Payload {
    #[default]
    Empty,
    Bytes(Bytes),
    /// A file of this length, sent as it is read.
    File(PathBuf, u64),
}

impl Request {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Payload::Empty,
        }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // Names and digests were checked; what no header can hold is not sent.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl<'a> Client<'a> {
    /// A client for an endpoint; nothing is sent yet.
    pub(crate) fn new(
        endpoint: &Endpoint,
        access: &'a Access,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let login = access
            .credentials
            .find(&endpoint.registry, &endpoint.repository)?;
        Self::with_login(endpoint, access, progress, login)
    }

    /// A client that is somebody else than the credentials say.
    pub(crate) fn with_login(
        endpoint: &Endpoint,
        access: &'a Access,
        progress: &'a dyn Progress,
        login: Option<Login>,
    ) -> Result<Self> {
        if access.offline {
            let message = format!("cannot ask {}", endpoint.registry);
            return Err(Error::new(Class::Unavailable, message)
                .caused_by("--offline forbids it")
                .hint("leave --offline away"));
        }
        let host = match endpoint.registry.as_str() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let special = endpoint.host.as_deref();
        let root = match special.and_then(|special| special.root.clone()) {
            Some(root) => root,
            None => parse_url(&format!("https://{host}/v2/"))?,
        };
        let anyone = access.insecure || endpoint.insecure;
        let unverified = anyone || special.is_some_and(|special| special.unverified);
        let (lenient, unverified, plain) = match special.filter(|special| special.root.is_some()) {
            None => {
                let loopback = is_loopback(host);
                (anyone || loopback, unverified || loopback, false)
            }
            // Its address says what is spoken.
            Some(special) => {
                let either = special.scheme == Scheme::Either;
                (
                    anyone || either,
                    unverified,
                    special.scheme == Scheme::Plain,
                )
            }
        };
        let headers = access.headers.iter().filter_map(|(name, value)| {
            Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?))
        });
        let mut headers: HeaderMap = headers.collect();
        headers.extend(special.map(|one| one.headers.clone()).unwrap_or_default());
        Ok(Self {
            access,
            progress,
            http: transport::client(access, host, unverified, special)?,
            root,
            repository: endpoint.repository.clone(),
            namespace: special.and_then(|special| special.namespace.clone()),
            lenient,
            plain: AtomicBool::new(plain),
            reached: AtomicBool::new(false),
            headers,
            authority: Authority::new(login),
            warnings: Warnings::default(),
        })
    }

    /// The URL of something of the repository, or of the registry itself where there is none.
    pub(crate) fn url(&self, path: &str) -> Result<Url, Failure> {
        let path = match self.repository.as_str() {
            "" => path.to_owned(),
            repository => format!("{repository}/{path}"),
        };
        self.registry_url(&path)
    }

    /// A URL below `/v2/`.
    pub(crate) fn registry_url(&self, path: &str) -> Result<Url, Failure> {
        let mut root = self.root.clone();
        if self.plain.load(Ordering::Relaxed) {
            // Between the two schemes of the web this cannot fail.
            root.set_scheme("http").ok();
        }
        let joined = root.join(path);
        let mut url = joined
            .map_err(|error| Failure::protocol(&Method::GET, &self.root, error.to_string()))?;
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    /// Sends a request until it succeeds or trying again is pointless.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.authenticated(request).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            self.wait(&mut attempt, failure).await?;
        }
    }

    /// Waits before another attempt, or gives the failure back.
    pub(crate) async fn wait(&self, attempt: &mut u32, failure: Failure) -> Result<(), Failure> {
        let Some(asked) = failure.again.filter(|_| *attempt < self.access.attempts) else {
            return Err(failure);
        };
        let wait = asked.max(FIRST_WAIT * 2_u32.saturating_pow((*attempt - 1).min(6)));
        *attempt += 1;
        self.progress.event(&Event::Retrying {
            reason: &failure.to_string(),
            wait,
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Sends a request once, as whoever the registry wants to see.
    pub(crate) async fn authenticated(&self, request: &Request) -> Result<Response, Failure> {
        let mut request = request.clone();
        let known = self.authorization().await?;
        let (response, own) = self.first(&mut request, known.as_deref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !own {
            return self.accept(&request, response).await;
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges = challenges.filter_map(|value| Challenge::parse(value.to_str().ok()?));
        let Some(header) = self.answer(challenges.collect(), known.as_deref()).await? else {
            return self.accept(&request, response).await;
        };
        let (response, _) = self.follow(&request, Some(&header)).await?;
        self.accept(&request, response).await
    }

    /// The very first request finds out whether HTTPS is spoken.
    pub(crate) async fn first(
        &self,
        request: &mut Request,
        authorization: Option<&str>,
    ) -> Result<(Response, bool), Failure> {
        // A request that is made again may be older than what its first try found out.
        if self.plain.load(Ordering::Relaxed) && request.url.host() == self.root.host() {
            request.url.set_scheme("http").ok();
        }
        let undecided = self.lenient
            && !self.reached.load(Ordering::Relaxed)
            && !self.plain.load(Ordering::Relaxed);
        match self.follow(request, authorization).await {
            Err(failure) if undecided && failure.status.is_none() => {
                self.plain.store(true, Ordering::Relaxed);
                request.url.set_scheme("http").ok();
                let answer = self.follow(request, authorization).await;
                if answer.is_err() {
                    self.plain.store(false, Ordering::Relaxed);
                }
                answer
            }
            other => other,
        }
    }

    /// One request to one place.
    pub(crate) async fn attempt(
        &self,
        request: &Request,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<Response, Failure> {
        public::check(self.access, &request.method, url)?;
        let builder = self
            .http
            .request(request.method.clone(), url.clone())
            .headers(headers);
        let pulse = Pulse::new();
        let (body, length) = match &request.body {
            Payload::Empty => (None, 0),
            Payload::Bytes(bytes) => {
                let body = Sending::bytes(bytes.clone(), &pulse);
                (Some(body), bytes.len() as u64)
            }
            Payload::File(path, length) => match std::fs::File::open(path) {
                Ok(file) => (Some(Sending::file(file, *length, &pulse)), *length),
                Err(error) => {
                    let reason = format!("{}: {error}", path.display());
                    return Err(Failure::protocol(&request.method, url, reason));
                }
            },
        };
        let builder = match body {
            None => builder,
            Some(body) => builder
                .header(CONTENT_LENGTH, length)
                .body(reqwest::Body::wrap(body)),
        };
        let patience = match request.method {
            Method::GET | Method::HEAD => self.access.patience,
            // It may have to hash and move all that was sent.
            _ => self.access.patience * STORING,
        };
        let Some(answer) = watch(builder.send(), &pulse, patience).await else {
            return Err(Failure::stalled(&request.method, url, patience));
        };
        match answer {
            Ok(response) => {
                self.reached.store(true, Ordering::Relaxed);
                Ok(response)
            }
            Err(error) => {
                let mut failure = Failure::connection(&request.method, url, &error);
                failure.again = failure
                    .again
                    .filter(|_| self.reached.load(Ordering::Relaxed));
                Err(failure)
            }
        }
    }

    /// An answer of 2xx, or the failure it tells of.
    pub(crate) async fn accept(
        &self,
        request: &Request,
        response: Response,
    ) -> Result<Response, Failure> {
        let registry = self.root.authority();
        self.warnings
            .heed(response.headers(), registry, self.progress);
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let bytes = self
            .body(response, REPLY_LIMIT, &request.url)
            .await
            .unwrap_or_default();
        Err(Failure::status(
            &request.method,
            &request.url,
            status,
            &bytes,
            &headers,
        ))
    }

    /// A body of at most `limit` bytes, whatever its length claims to be, within the time a person waits.
    pub(crate) async fn body(
        &self,
        mut response: Response,
        limit: u64,
        url: &Url,
    ) -> Result<Vec<u8>, Failure> {
        let read = async {
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
        };
        match tokio::time::timeout(self.access.patience, read).await {
            Ok(bytes) => bytes,
            Err(_elapsed) => Err(Failure::stalled(&Method::GET, url, self.access.patience)),
        }
    }
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
    Url::parse(text).map_err(|error| {
        let message = format!("cannot reach a registry at {text}");
        Error::new(Class::Invalid, message).caused_by(error)
    })
}
