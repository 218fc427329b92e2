//! Requests that components send: over our own name look-up, without TLS.

#![expect(
    clippy::map_err_ignore,
    reason = "WASI tells guests codes and no causes"
)]

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use tokio::net::TcpStream;
use tokio::time::timeout;
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
    if request.uri().scheme() == Some(&Scheme::HTTPS) {
        return Err(Error::InternalError(Some(
            "berth sends no https requests for components yet".to_owned(),
        )));
    }
    let patience = options.connect_timeout.unwrap_or(PATIENCE);
    let stream = timeout(patience, connect(request.uri()))
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
    let handshake = http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = timeout(patience, handshake)
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
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

async fn connect(uri: &Uri) -> Result<TcpStream, Error> {
    let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
    let port = uri.port_u16().unwrap_or(80);
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
