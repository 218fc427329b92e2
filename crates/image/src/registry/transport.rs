//! The HTTP client: TLS with ring, certificate authorities of the system and of the host's own directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::access::Access;
use super::configuration::Host;
use super::public::PublicOnly;

/// Where distributions keep their bundle: Debian and Alpine, Fedora, openSUSE, others.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
pub(super) const REDIRECT_LIMIT: usize = 10;

/// Makes a client for a host; `unverified` accepts any certificate. Redirects are left to the caller.
pub(super) fn client(
    access: &Access,
    host: &str,
    unverified: bool,
    special: Option<&Host>,
) -> Result<reqwest::Client> {
    // How long an answer may take depends on what was asked (`sending.rs`).
    let builder = builder(access, host, unverified, special)?;
    let builder = builder.redirect(reqwest::redirect::Policy::none());
    builder.build().map_err(cannot_make_client)
}

/// Makes a client for files of the web, which nobody is logged in for; it follows redirects that keep TLS.
pub(crate) fn following_client(access: &Access, host: &str) -> Result<reqwest::Client> {
    let policy = reqwest::redirect::Policy::custom(|attempt| {
        let secure = attempt
            .previous()
            .last()
            .is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > REDIRECT_LIMIT {
            attempt.error("too many redirects")
        } else if secure && attempt.url().scheme() != "https" {
            attempt.error("it redirects from https to http")
        } else {
            attempt.follow()
        }
    });
    let builder = builder(access, host, access.insecure, None)?
        .redirect(policy)
        .read_timeout(access.patience);
    builder.build().map_err(cannot_make_client)
}

fn builder(
    access: &Access,
    host: &str,
    unverified: bool,
    special: Option<&Host>,
) -> Result<reqwest::ClientBuilder> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(cannot_make_client)?;
    let own = Certificates::of_host(access, host, special)?;
    let builder = if unverified {
        let anyone = Arc::new(Anyone(provider));
        builder.dangerous().with_custom_certificate_verifier(anyone)
    } else {
        builder.with_root_certificates(roots(&access.authorities, &own.authorities)?)
    };
    let mut tls = match own.identity {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(cannot_make_client)?,
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(
            special
                .and_then(|special| special.dial_timeout)
                .unwrap_or_else(|| access.patience.min(Duration::from_secs(15))),
        )
        .no_proxy();
    if access.public_only {
        let resolver = PublicOnly::new(&access.proxy).map_err(cannot_make_client)?;
        builder = builder.dns_resolver(resolver);
    }
    if let Some(proxy) = special.and_then(|special| special.proxy.as_ref()) {
        let proxy = reqwest::Proxy::all(proxy).map_err(cannot_make_client)?;
        return Ok(builder.proxy(proxy));
    }
    let Some(none) = direct(access.proxy.none.as_deref().unwrap_or_default(), host) else {
        return Ok(builder);
    };
    let none = reqwest::NoProxy::from_string(&none);
    if let Some(url) = &access.proxy.http {
        let proxy = reqwest::Proxy::http(url).map_err(cannot_make_client)?;
        builder = builder.proxy(proxy.no_proxy(none.clone()));
    }
    if let Some(url) = &access.proxy.https {
        let proxy = reqwest::Proxy::https(url).map_err(cannot_make_client)?;
        builder = builder.proxy(proxy.no_proxy(none));
    }
    Ok(builder)
}

/// Which hosts are reached without a proxy, `None` for all: `NO_PROXY` as Docker and Podman read it. This
/// machine always is; `*` is everything, addresses too; an entry may have a port.
fn direct(none: &str, host: &str) -> Option<String> {
    let mut entries = vec!["localhost", "127.0.0.0/8", "::1"];
    for entry in none.split(',').map(str::trim) {
        if entry == "*" || entry == host {
            return None;
        }
        entries.push(entry);
    }
    Some(entries.join(","))
}

/// The runtime that all network input and output of one operation happens on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.explain(|| "cannot start network input and output".into())
}

fn cannot_make_client(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Class::Invalid, "cannot set up connections to registries").caused_by(error)
}

/// What a directory of certificates holds for one host (Docker's `certs.d`, containers-certs.d(5)).
#[derive(Default)]
struct Certificates {
    /// `*.crt`: whom to believe.
    authorities: Vec<PathBuf>,
    /// `*.cert` with its `*.key`: who to be.
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Certificates {
    fn of_host(access: &Access, host: &str, special: Option<&Host>) -> Result<Self> {
        let mut own = Self::default();
        if let Some(special) = special {
            own.authorities.clone_from(&special.authorities);
            let identity = special.identity.as_ref();
            let identity = identity.map(|(chain, key)| identity_of(chain, key));
            own.identity = identity.transpose()?;
        }
        let further = special.and_then(|special| special.directory.clone());
        let named = access
            .certificates
            .iter()
            .map(|directory| directory.join(host));
        for directory in named
            .chain(access.certificate_directory.clone())
            .chain(further)
        {
            let Ok(entries) = std::fs::read_dir(&directory) else {
                continue;
            };
            let mut paths: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect();
            paths.sort();
            for path in paths {
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => own.authorities.push(path),
                    Some("cert") if own.identity.is_none() => {
                        own.identity = Some(identity_of(&path, &path.with_extension("key"))?);
                    }
                    _ => {}
                }
            }
        }
        Ok(own)
    }
}

fn identity_of(
    path: &Path,
    key_path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let read =
        |path: &Path| std::fs::read(path).explain(|| format!("cannot read {}", path.display()));
    let chain = CertificateDer::pem_slice_iter(&read(path)?)
        .filter_map(Result::ok)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(&read(key_path)?).map_err(|error| {
        let message = format!("{} has no private key", key_path.display());
        Error::new(Class::Invalid, message).caused_by(error.to_string())
    })?;
    Ok((chain, key))
}

fn roots(authorities: &[PathBuf], of_host: &[PathBuf]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for path in authorities.iter().chain(of_host) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_left_out_as_gos_programs_do() {
        let host = "registry.test:5000";
        for all in [
            "*",
            "example.com, *",
            "registry.test:5000",
            " registry.test:5000 ,x",
        ] {
            assert_eq!(direct(all, host), None, "{all}");
        }
        let some = direct("example.com,10.0.0.0/8", host).unwrap();
        assert_eq!(some, "localhost,127.0.0.0/8,::1,example.com,10.0.0.0/8");
        assert!(direct("registry.test:80", host).is_some());
    }
}
