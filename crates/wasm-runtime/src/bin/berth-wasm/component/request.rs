//! Requests that components send: over our own name look-up, with TLS where the scheme says so.

#![expect(
    clippy::map_err_ignore,
    reason = "WASI tells guests codes and no causes"
)]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{self, SendRequest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks,
};

use super::names::{self, Failure};

/// How long a step may take when the guest does not say.
const PATIENCE: Duration = Duration::from_secs(600);

/// What wasmtime asks of its embedder.
pub(super) struct Hooks;

type Ended = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Box<dyn Future<Output = Result<(Response<WasiBody>, Ended), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTP)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _ended: Ended,
    ) -> Sent {
        Box::new(send(request, options.unwrap_or_default()))
    }
}

async fn send(
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Ended), Error> {
    let patience = options.connect_timeout.unwrap_or(PATIENCE);
    let opened = timeout(patience, open(request.uri()));
    let (mut sender, connection) = opened.await.map_err(|_| Error::ConnectionTimeout)??;
    // Only proxies want scheme and authority in the request line.
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let connection = tokio::spawn(connection);
    let patience = options.first_byte_timeout.unwrap_or(PATIENCE);
    let response = timeout(patience, sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)??;
    let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
    let ended = async move {
        match connection.await {
            Ok(result) => result.map_err(Error::from),
            Err(_) => Err(Error::ConnectionTerminated),
        }
    };
    Ok((response, Box::new(ended)))
}

/// A connection, plain or encrypted, as hyper drives it.
type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

async fn open(uri: &Uri) -> Result<(SendRequest<WasiBody>, Connection), Error> {
    let stream = connect(uri).await?;
    if uri.scheme() != Some(&Scheme::HTTPS) {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        return Ok((sender, Box::pin(connection)));
    }
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let name = ServerName::try_from(host).map_err(|_| Error::HttpRequestUriInvalid)?;
    let stream = connector()?
        .connect(name, stream)
        .await
        .map_err(Error::Tls)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    Ok((sender, Box::pin(connection)))
}

/// Where Linux distributions keep the certificates they trust; a private authority's is put there.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// TLS with the roots browsers trust, since a wasm image has no certificate files, and with those that
/// the container has for all that.
fn connector() -> Result<TlsConnector, Error> {
    static SETTINGS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(settings) = SETTINGS.get() {
        return Ok(TlsConnector::from(Arc::clone(settings)));
    }
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.into(),
    };
    let own = CertificateDer::pem_file_iter(CERTIFICATES);
    roots.add_parsable_certificates(own.into_iter().flatten().flatten());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::TlsProtocolError)?;
    let settings = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    Ok(TlsConnector::from(Arc::clone(
        SETTINGS.get_or_init(|| settings),
    )))
}

async fn connect(uri: &Uri) -> Result<TcpStream, Error> {
    let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
    let default = if uri.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    let port = uri.port_u16().unwrap_or(default);
    let addresses = names::resolve(host)
        .await
        .map_err(|failure| match failure {
            Failure::Invalid => Error::HttpRequestUriInvalid,
            Failure::Unknown => Error::DestinationNotFound,
            Failure::Temporary => Error::DnsTimeout,
            Failure::Permanent => Error::DnsError {
                rcode: None,
                info_code: None,
            },
        })?;
    let mut failure = Error::DestinationNotFound;
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Error::Connect(error),
        }
    }
    Err(failure)
}
