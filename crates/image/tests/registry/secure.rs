//! Certificates and proxies: a registry with TLS behind a proxy, so that it is not this machine's own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use berth_contract::{Class, Report};
use berth_image::{Access, PullOptions};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::closure::{Answer, Request, converse, serve, serve_at};
use crate::content::{Content, pull_from};

/// What the registry is called: nobody but the proxy knows where it is.
const NAME: &str = "registry.test:5000";

/// An authority, and certificates by it for a server and a client.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new() -> Option<Self> {
        let made = Self(tempfile::tempdir().unwrap());
        let days = [
            "-days",
            "2",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ];
        let mut authority = vec!["req", "-x509", "-subj", "/CN=authority"];
        authority.extend(days);
        if !made.openssl(&authority, "ca.key", "ca.crt") {
            println!("SKIPPED: openssl is not installed");
            return None;
        }
        for (name, about) in [
            ("server", "subjectAltName=DNS:registry.test"),
            ("client", "extendedKeyUsage=clientAuth"),
        ] {
            let mut request = vec!["req", "-x509", "-CA", "ca.crt", "-CAkey", "ca.key"];
            request.extend(["-subj", "/CN=one", "-addext", about]);
            request.extend(["-addext", "basicConstraints=critical,CA:FALSE"]);
            request.extend(days);
            let (key, chain) = (format!("{name}.key"), format!("{name}.cert"));
            assert!(made.openssl(&request, &key, &chain));
        }
        Some(made)
    }

    fn openssl(&self, arguments: &[&str], key: &str, chain: &str) -> bool {
        let status = Command::new("openssl")
            .args(arguments)
            .args(["-keyout", key, "-out", chain])
            .current_dir(self.0.path())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_file(self.path(name)).unwrap()]
    }

    /// A registry with TLS on loopback, on request for those alone who have a certificate of ours.
    fn serve(&self, known_only: bool, content: Arc<Content>) -> String {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if known_only {
            let mut roots = RootCertStore::empty();
            roots.add(self.chain("ca.crt").remove(0)).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let config = builder
            .with_single_cert(self.chain("server.cert"), key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let content = Arc::clone(&content);
                std::thread::spawn(move || {
                    let stream = StreamOwned::new(connection, stream.unwrap());
                    converse(stream, &|request| content.answer(request));
                });
            }
        });
        address
    }
}

/// What a proxy was asked: the request lines, and who asked.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A proxy that leads every `CONNECT` to one address; without one it refuses them, and answers what is
/// asked in plain words itself.
fn proxy(target: Option<String>, content: Arc<Content>) -> (String, Asked) {
    let asked = Asked::default();
    let (log, listener) = (
        Arc::clone(&asked),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (log, target, content) = (Arc::clone(&log), target.clone(), Arc::clone(&content));
            std::thread::spawn(move || mediate(stream.unwrap(), target, &content, &log));
        }
    });
    (address, asked)
}

fn mediate(stream: TcpStream, target: Option<String>, content: &Content, log: &Asked) {
    let mut first = [0; 1];
    if !matches!(stream.peek(&mut first), Ok(1)) {
        return;
    }
    let note = |line: String, authorization: Option<String>| {
        log.lock().unwrap().push((line, authorization));
    };
    if first != *b"C" {
        let answer = |request: &Request| {
            let authorization = request.headers.get("proxy-authorization").cloned();
            note(
                format!("{} {}", request.method, request.path),
                authorization,
            );
            let path = request.path.splitn(4, '/').nth(3).unwrap();
            content.answer(&Request {
                method: request.method.clone(),
                path: format!("/{path}"),
                headers: request.headers.clone(),
                body: Vec::new(),
            })
        };
        return converse(stream, &answer);
    }
    let mut reader = BufReader::with_capacity(1, &stream);
    let (mut head, mut line) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        head.push_str(&line);
    }
    let authorization = head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case("proxy-authorization")
            .then(|| value.to_owned())
    });
    note(head.lines().next().unwrap().to_owned(), authorization);
    let Some(target) = target else {
        drop((&stream).write_all(b"HTTP/1.1 403 no\r\ncontent-length: 0\r\n\r\n"));
        return;
    };
    (&stream)
        .write_all(b"HTTP/1.1 200 connected\r\n\r\n")
        .unwrap();
    let there = TcpStream::connect(target).unwrap();
    let copies = [
        (stream.try_clone(), there.try_clone()),
        (Ok(there), Ok(stream)),
    ];
    let copies = copies.map(|(from, to)| {
        std::thread::spawn(move || {
            let (mut from, mut to) = (from.unwrap(), to.unwrap());
            // Whoever ends first ends the other.
            drop(std::io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        })
    });
    for copy in copies {
        copy.join().unwrap();
    }
}

/// An address of this machine that is not loopback; asking for it sends nothing.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip())
}

fn options(change: impl FnOnce(&mut Access)) -> PullOptions {
    let mut options = PullOptions::default();
    options.access.attempts = 1;
    change(&mut options.access);
    options
}

fn reason(options: &PullOptions) -> (Class, String) {
    let error = pull_from(NAME, options).unwrap_err();
    (error.class(), Report::from(&error).line())
}

/// `certs.d` with one host's directory of these files.
fn certificates(host: &str, files: &[PathBuf]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join(host);
    std::fs::create_dir(&directory).unwrap();
    for file in files {
        std::fs::copy(file, directory.join(file.file_name().unwrap())).unwrap();
    }
    place
}

#[test]
fn a_private_authority_is_believed_only_where_it_is_named() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let content = Arc::new(Content::new());
    let target = authority.serve(false, Arc::clone(&content));
    let (address, asked) = proxy(Some(target), content);
    let through = |change: &dyn Fn(&mut Access)| {
        options(|access| {
            access.proxy.https = Some(format!("http://{address}"));
            change(access);
        })
    };
    let (class, line) = reason(&through(&|_| {}));
    assert_eq!(class, Class::Unavailable, "{line}");
    assert!(line.contains("certificate"), "{line}");

    let own = certificates(NAME, &[authority.path("ca.crt")]);
    let named = |access: &mut Access| access.certificates = vec![own.path().to_owned()];
    pull_from(NAME, &through(&named)).unwrap();
    let others = certificates("other.test:5000", &[authority.path("ca.crt")]);
    let elsewhere = |access: &mut Access| access.certificates = vec![others.path().to_owned()];
    assert!(reason(&through(&elsewhere)).1.contains("certificate"));
    // SSL_CERT_FILE of the command line.
    let system = |access: &mut Access| access.authorities = vec![authority.path("ca.crt")];
    pull_from(NAME, &through(&system)).unwrap();
    let insecure = |access: &mut Access| access.insecure = true;
    pull_from(NAME, &through(&insecure)).unwrap();
    let nothing = |access: &mut Access| access.authorities = vec![authority.path("ca.key")];
    let (class, line) = reason(&through(&nothing));
    assert_eq!(class, Class::Invalid, "{line}");
    let asked = asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .all(|(line, _)| line == &format!("CONNECT {NAME} HTTP/1.1")),
        "{asked:?}"
    );
}

#[test]
fn a_client_shows_the_certificate_that_lies_beside_the_hosts() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let content = Arc::new(Content::new());
    let target = authority.serve(true, Arc::clone(&content));
    let (address, _) = proxy(Some(target), content);
    let with = |place: &Path| {
        options(|access| {
            access.proxy.https = Some(format!("http://{address}"));
            access.certificates = vec![place.to_owned()];
        })
    };
    let stranger = certificates(NAME, &[authority.path("ca.crt")]);
    let (class, line) = reason(&with(stranger.path()));
    assert_eq!(class, Class::Unavailable, "{line}");
    let files = ["ca.crt", "client.cert", "client.key"].map(|name| authority.path(name));
    let known = certificates(NAME, &files);
    pull_from(NAME, &with(known.path())).unwrap();
    // A key that is not there is told by name, before anybody is asked.
    let keyless = certificates(NAME, &files[..2]);
    let (class, line) = reason(&with(keyless.path()));
    assert!(
        class != Class::Unavailable && line.contains("client.key"),
        "{line}"
    );
}

#[test]
fn proxies_are_asked_for_others_and_not_for_those_left_out() {
    let content = Arc::new(Content::new());
    let (address, asked) = proxy(None, Arc::clone(&content));
    let taken = || std::mem::take(&mut *asked.lock().unwrap());
    let through = |none: Option<&str>| {
        options(|access| {
            let url = Some(format!("http://me:secret@{address}"));
            access.proxy.http.clone_from(&url);
            access.proxy.https = url;
            access.proxy.none = none.map(str::to_owned);
            access.insecure = true;
        })
    };
    pull_from("plain.test", &through(None)).unwrap();
    let lines = taken();
    assert_eq!(lines[0].0, "CONNECT plain.test:443 HTTP/1.1");
    assert!(
        lines[1]
            .0
            .ends_with(" http://plain.test/v2/team/app/manifests/1"),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .all(|(_, who)| who.as_deref() == Some("Basic bWU6c2VjcmV0")),
        "{lines:?}"
    );
    // What is left out is asked directly: by address, by network, with its port, by everything.
    let direct = |request: &Request, content: &Content| match request
        .headers
        .contains_key("proxy-authorization")
    {
        true => Answer::new(400, b""),
        false => content.answer(request),
    };
    let (own, there) = (Arc::clone(&content), Arc::clone(&content));
    let local = serve(move |request| direct(request, &own));
    pull_from(&local, &through(None)).unwrap();
    assert!(taken().is_empty(), "nobody proxies for this machine");
    if let Some(address) = outward() {
        let port = serve_at((address, 0), move |request| direct(request, &there));
        let (host, address) = (format!("{address}:{port}"), address.to_string());
        pull_from(&host, &through(None)).unwrap();
        assert!(!taken().is_empty());
        for none in [
            address.as_str(),
            "0.0.0.0/0",
            "*",
            &format!("example.com, {host}"),
        ] {
            let pulled = pull_from(&host, &through(Some(none)));
            pulled.unwrap_or_else(|error| panic!("{none}: {error:?}"));
            assert!(taken().is_empty(), "{none}");
        }
    }
    pull_from("plain.test", &through(Some("example.com,.other.test"))).unwrap();
    assert!(!taken().is_empty());
}

#[test]
fn hosts_toml_says_whom_to_believe_and_who_to_be() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let content = Arc::new(Content::new());
    let target = authority.serve(true, Arc::clone(&content));
    let (address, asked) = proxy(Some(target), content);
    let with = |text: &str| {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join(NAME);
        std::fs::create_dir(&directory).unwrap();
        for name in ["ca.crt", "client.cert", "client.key"] {
            std::fs::copy(authority.path(name), directory.join(name)).unwrap();
        }
        let text = format!("proxy = \"http://{address}\"\n{text}");
        std::fs::write(directory.join("hosts.toml"), text).unwrap();
        let options = options(|access| access.registries.add_hosts(place.path().to_owned()));
        pull_from(NAME, &options).map(drop)
    };
    let reason = |text: &str| Report::from(&with(text).unwrap_err()).line();
    let known = "client = [[\"client.cert\", \"client.key\"]]";
    with(&format!("ca = \"ca.crt\"\n{known}")).unwrap();
    with(&format!("skip_verify = true\n{known}")).unwrap();
    assert!(
        reason(known).contains("certificate"),
        "whom to believe is not said"
    );
    let stranger = reason("ca = \"ca.crt\"");
    assert!(stranger.contains("CertificateRequired"), "{stranger}");
    let absent = reason("ca = \"none.crt\"");
    assert!(absent.contains("none.crt"), "{absent}");
    assert!(
        !asked.lock().unwrap().is_empty(),
        "the file's proxy was asked"
    );
    // A directory without the file is one of certificates, as Docker has it.
    let place = certificates(
        NAME,
        &["ca.crt", "client.cert", "client.key"].map(|name| authority.path(name)),
    );
    let options = options(|access| {
        access.proxy.https = Some(format!("http://{address}"));
        access.registries.add_hosts(place.path().to_owned());
    });
    pull_from(NAME, &options).unwrap();
}
