//! The HTTP client: TLS with ring, certificate authorities of the system, redirects that never weaken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Proxy;

/// Where distributions keep their bundle: Debian and Alpine, Fedora, openSUSE, others.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const REDIRECT_LIMIT: usize = 10;

/// Makes a client; `unverified` accepts any certificate.
pub(crate) fn client(
    authorities: &[PathBuf],
    proxy: &Proxy,
    unverified: bool,
) -> Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(cannot_make_client)?;
    let mut tls = if unverified {
        let anyone = Arc::new(Anyone(provider));
        builder
            .dangerous()
            .with_custom_certificate_verifier(anyone)
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(roots(authorities)?)
            .with_no_client_auth()
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(15))
        .read_timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::custom(redirect))
        .no_proxy();
    let none = proxy
        .none
        .as_deref()
        .and_then(reqwest::NoProxy::from_string);
    if let Some(url) = &proxy.http {
        let proxy = reqwest::Proxy::http(url).map_err(cannot_make_client)?;
        builder = builder.proxy(proxy.no_proxy(none.clone()));
    }
    if let Some(url) = &proxy.https {
        let proxy = reqwest::Proxy::https(url).map_err(cannot_make_client)?;
        builder = builder.proxy(proxy.no_proxy(none));
    }
    builder.build().map_err(cannot_make_client)
}

fn cannot_make_client(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Class::Invalid, "cannot set up connections to registries").caused_by(error)
}

/// Registries send blobs from elsewhere. reqwest drops `Authorization` when the host or port changes
/// (CVE-2020-15157); a step from HTTPS down to HTTP is refused.
fn redirect(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let secure = attempt
        .previous()
        .last()
        .is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > REDIRECT_LIMIT {
        attempt.error("too many redirects")
    } else if secure && attempt.url().scheme() != "https" {
        attempt.error("the registry redirects from https to http")
    } else {
        attempt.follow()
    }
}

fn roots(authorities: &[PathBuf]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for path in authorities {
        let bytes = std::fs::read(path).explain(|| format!("cannot read {}", path.display()))?;
        if add(&mut roots, &bytes) == 0 {
            let message = format!("{} has no certificate", path.display());
            return Err(Error::new(Class::Invalid, message).hint("give a file in PEM format"));
        }
    }
    let system = BUNDLES
        .iter()
        .filter_map(|path| std::fs::read(Path::new(path)).ok());
    let found = system
        .map(|bytes| add(&mut roots, &bytes))
        .find(|count| *count > 0);
    if found.is_none() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

/// Adds the certificates of a PEM file; those that do not parse are left out, as every TLS library does.
fn add(roots: &mut RootCertStore, pem: &[u8]) -> usize {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    roots.add_parsable_certificates(certificates).0
}

/// Accepts every certificate: `insecure` registries.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
