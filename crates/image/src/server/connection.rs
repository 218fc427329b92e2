//! Connections: TCP or TLS, HTTP/1.1 or HTTP/2, then the password, then the route.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::process;
use http::header::{AUTHORIZATION, CONNECTION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::patience::{Patient, Sent};
use super::places::Places;
use super::reply::{Code, NO_DIGEST, Refusal, Reply, empty, header};
use super::route::{Route, Unroutable, is_write};
use super::{ServeOptions, Server};
use crate::store::Store;

/// How often what nobody came back for is let go.
const SWEEP: Duration = Duration::from_secs(60);

const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Serves the store until the process ends; `ready` is told where, once it can be connected to.
///
/// # Errors
/// The address cannot be listened at; a password, certificate or key file cannot be used.
pub fn serve(
    store: &Store,
    options: &ServeOptions,
    ready: &mut dyn FnMut(SocketAddr) -> Result<()>,
) -> Result<()> {
    // Connections and uploads are of several files each. It works with fewer, for fewer at once.
    drop(process::raise_open_files());
    // Makes the directories, and says early when they cannot be written.
    drop(store.hold()?);
    let server = Arc::new(Server::new(store, options)?);
    let tls = options
        .tls
        .as_ref()
        .map(|(chain, key)| acceptor(chain, key))
        .transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.explain(|| "cannot start network input and output".into())?;
    runtime.block_on(async {
        let address = options.address;
        let cannot = || format!("cannot serve at {address}");
        let listener = TcpListener::bind(address).await.explain(cannot)?;
        ready(listener.local_addr().explain(cannot)?)?;
        let sweeper = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                sweeper.forget_stale();
            }
        });
        let permits = Arc::new(tokio::sync::Semaphore::new(options.connections));
        let places = Places::new(options.connections);
        loop {
            // What is more waits to be accepted. The semaphore is never closed, so this cannot fail.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            // A connection that is gone before it was accepted is nobody's failure.
            let Ok((stream, peer)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            // Who has its share is hung up on: waiting, it would be in the way of others.
            let Some(place) = places.take(peer.ip()) else {
                continue;
            };
            let (server, tls) = (Arc::clone(&server), tls.clone());
            tokio::spawn(async move {
                converse(server, stream, tls).await;
                drop((permit, place));
            });
        }
    })
}

fn acceptor(chain: &Path, key: &Path) -> Result<TlsAcceptor> {
    let read =
        |path: &Path| std::fs::read(path).explain(|| format!("cannot read {}", path.display()));
    let unusable = |path: &Path, reason: String| {
        Error::new(Class::Invalid, format!("cannot use {}", path.display())).caused_by(reason)
    };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(chain)?)
        .filter_map(Result::ok)
        .collect();
    if certificates.is_empty() {
        return Err(unusable(chain, "it has no certificate".into()));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| unusable(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(chain, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certificates, private);
    let mut config = config.map_err(|error| unusable(chain, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn converse(server: Arc<Server>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    // Small answers must not wait for more.
    stream.set_nodelay(true).ok();
    match tls {
        None => speak(server, stream).await,
        Some(acceptor) => {
            let greeted = tokio::time::timeout(server.patience, acceptor.accept(stream));
            if let Ok(Ok(stream)) = greeted.await {
                speak(server, stream).await;
            }
        }
    }
}

async fn speak(server: Arc<Server>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let patience = server.patience;
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(patience);
    // A client that breaks off knows it already.
    drop(
        builder
            .serve_connection(TokioIo::new(Patient::new(stream, patience)), service)
            .await,
    );
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let is_head = request.method() == Method::HEAD;
        let sends = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        let reply = match self.admit(&request).await {
            Ok(()) => self
                .dispatch(request)
                .await
                .unwrap_or_else(|refusal| refusal.reply()),
            Err(refusal) => {
                let realm = "Basic realm=\"berth\", charset=\"UTF-8\"";
                header(refusal.reply(), WWW_AUTHENTICATE, realm)
            }
        };
        let mut reply = header(reply, VERSION, "registry/2.0");
        if sends && reply.status().is_client_error() {
            // What the client still sends, nobody reads: it must not ask its next question behind that.
            reply = header(reply, CONNECTION, "close");
        }
        if is_head {
            // The headers stay, and with them the length of what GET would send.
            *reply.body_mut() = super::reply::Body::Bytes(None);
        }
        reply
    }

    async fn admit(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        let Some(passwords) = &self.passwords else {
            return Ok(());
        };
        let header = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        match header {
            Some(header) if passwords.admit(header).await => Ok(()),
            _ => Err(Refusal::new(
                Code::Unauthorized,
                "a name and a password are needed",
            )),
        }
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Result<Reply, Refusal> {
        let (parts, body) = request.into_parts();
        let body = Sent::new(body, self.patience);
        let (method, headers) = (parts.method, parts.headers);
        let text = parts.uri.query().unwrap_or_default();
        let query = query(text);
        let route = Route::parse(parts.uri.path(), &self.home).map_err(|reason| match reason {
            Unroutable::Unknown => Refusal::new(Code::NameUnknown, "there is nothing here"),
            Unroutable::Name => Refusal::new(Code::NameInvalid, "that is no repository's name"),
            Unroutable::Digest => Refusal::new(Code::DigestInvalid, NO_DIGEST),
            Unroutable::Tag => Refusal::new(Code::TagInvalid, "that is no tag"),
        })?;
        if self.read_only && is_write(&method) {
            return Err(Refusal::new(Code::Denied, "this registry is read only"));
        }
        match method {
            Method::GET | Method::HEAD => {
                if let (true, Route::Blob(name, digest)) = (method == Method::HEAD, &route)
                    && let Some(reply) = self.blob_elsewhere(name, digest).await?
                {
                    return Ok(reply);
                }
                self.read(route, &query, &headers).await
            }
            Method::DELETE => self.delete(route).await,
            _ => match (route, method.as_str()) {
                (Route::Manifest(name), "PUT") => {
                    let tags = every(text, "tag");
                    self.put_manifest(&name, &tags, &headers, body).await
                }
                (route, _) => self.write(&method, route, (&query, &headers), body).await,
            },
        }
    }

    async fn read(
        &self,
        route: Route,
        query: &HashMap<String, String>,
        headers: &HeaderMap,
    ) -> Result<Reply, Refusal> {
        match route {
            Route::Version => Ok(empty(StatusCode::OK)),
            Route::Catalog => self.catalog(query),
            Route::Tags(name) => self.tags(&name, query).await,
            Route::Referrers(name, digest) => self.referrers(&name, &digest, query),
            Route::Blob(name, digest) => self.blob(&name, &digest, headers).await,
            Route::Manifest(name) => self.manifest(&name).await,
            Route::Upload(name, id) => self.upload_status(&name, &id).await,
            Route::NewUpload(_) => Err(unsupported(&Method::GET)),
        }
    }

    async fn delete(&self, route: Route) -> Result<Reply, Refusal> {
        match route {
            Route::Blob(_, digest) => self.delete_blob(&digest).await,
            Route::Manifest(name) => self.delete_manifest(&name),
            Route::Upload(name, id) => self.cancel_upload(&name, &id),
            _ => Err(unsupported(&Method::DELETE)),
        }
    }

    async fn write(
        &self,
        method: &Method,
        route: Route,
        (query, headers): (&HashMap<String, String>, &HeaderMap),
        body: Sent,
    ) -> Result<Reply, Refusal> {
        match (route, method.as_str()) {
            (Route::NewUpload(name), "POST") => self.new_upload(&name, query, body).await,
            (Route::Upload(name, id), "PATCH") => self.append(&name, &id, headers, body).await,
            (Route::Upload(name, id), "PUT") => {
                self.finish_upload(&name, (&id, query), headers, body).await
            }
            _ => Err(unsupported(method)),
        }
    }
}

fn unsupported(method: &Method) -> Refusal {
    Refusal::new(Code::Unsupported, format!("{method} means nothing here"))
}

/// The parameters of a query, decoded; the first of equals counts.
fn query(text: &str) -> HashMap<String, String> {
    let mut parameters = HashMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .or_insert_with(|| value.into_owned());
    }
    parameters
}

/// All values of one parameter of a query, decoded.
fn every(text: &str, wanted: &str) -> Vec<String> {
    let all = form_urlencoded::parse(text.as_bytes());
    let own = all.filter(|(name, _)| name == wanted);
    own.map(|(_, value)| value.into_owned()).collect()
}
