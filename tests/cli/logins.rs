//! To whom a login of the command line is shown.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use berth_testkit::Sandbox;

use crate::imagetools::Served;

/// A registry that nobody may enter, and that writes down who tried: the `Authorization` of each request.
struct Gate {
    address: String,
    seen: Arc<Mutex<Vec<Option<String>>>>,
}

impl Gate {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut line = String::new();
                // A greeting of TLS is no line.
                if stream.read_line(&mut line).is_err() || !line.contains(" HTTP/1.1") {
                    continue;
                }
                let mut shown = None;
                while line.trim_end() != "" {
                    if let Some(value) = line.strip_prefix("authorization: ") {
                        shown = Some(value.trim_end().to_owned());
                    }
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                }
                log.lock().unwrap().push(shown);
                let denied = "HTTP/1.1 401 X\r\nwww-authenticate: Basic realm=\"x\"\r\n\
                    content-length: 0\r\nconnection: close\r\n\r\n";
                drop(stream.get_mut().write_all(denied.as_bytes()));
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Option<String>>> {
        self.seen.lock().unwrap()
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

/// The answer to whoever asks a registry for a manifest, whatever its repository is called.
fn manifest_from(address: &str, repository: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET /v2/{repository}/manifests/1 HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const CREDS: [&str; 2] = ["--creds", "me:secret"];

#[test]
fn a_login_is_shown_to_the_registry_that_is_named_alone() {
    let sandbox = Sandbox::with_busybox();
    let (home, other) = (Gate::start(), Gate::start());
    let berth = |words: &[&str], rest: &[&str]| sandbox.berth(&[words, &CREDS, rest].concat());

    assert_eq!(berth(&["pull"], &[&home.image("app:1")]).status, 1);
    let shown = home.seen().drain(..).flatten().next();
    assert_eq!(shown.as_deref(), Some("Basic bWU6c2VjcmV0"));

    let target = home.image("app:1");
    let create = ["buildx", "imagetools", "create", "-t", &target];
    assert_eq!(berth(&create, &[&other.image("x:1")]).status, 1);
    // Nor a mirror of the registry that is named.
    let mirrors = sandbox.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"{0}\"\nlocation = \"{0}\"\n[[registry.mirror]]\nlocation = \"{1}\"\n",
        home.address, other.address
    );
    std::fs::write(&mirrors, text).unwrap();
    let mut pull = sandbox.command(&[&["pull"], &CREDS[..], &[&home.image("app:1")]].concat());
    pull.env("CONTAINERS_REGISTRIES_CONF", &mirrors);
    assert!(!pull.output().unwrap().status.success());
    // Nor what a Dockerfile names.
    let context = sandbox.path().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(
        context.join("Dockerfile"),
        format!("FROM {}\n", other.image("x:1")),
    )
    .unwrap();
    let context = context.display().to_string();
    assert_eq!(
        berth(&["build", "-q", "-t", &target], &[&context]).status,
        1
    );
    let seen = other.seen();
    assert!(seen.len() >= 3, "{seen:?}");
    assert!(seen.iter().all(Option::is_none), "{seen:?}");
}

#[test]
fn a_login_for_no_registry_or_for_several_is_refused() {
    let sandbox = Sandbox::new();
    let (one, two) = (Gate::start(), Gate::start());
    let (first, second) = (one.image("a"), two.image("b"));
    let both = sandbox.berth(&[&["pull"], &CREDS[..], &[&first, &second]].concat());
    assert!(
        both.stderr
            .starts_with("error: cannot tell which registry --creds is for\n"),
        "{both}"
    );
    assert!(both.stderr.contains(&one.address) && both.stderr.contains(&two.address));
    assert_eq!(both.status, 1);
    let context = sandbox.path().display().to_string();
    let none = sandbox.berth(&[&["build"], &CREDS[..], &[&context]].concat());
    insta::assert_snapshot!(none, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot tell which registry --creds is for
    caused by: the command names no registry

    hint: berth login REGISTRY
    ");
    let searched = sandbox.path().join("registries.conf");
    let text = format!(
        "unqualified-search-registries = [{:?}, {:?}]\n",
        one.address, two.address
    );
    std::fs::write(&searched, text).unwrap();
    let mut pull = sandbox.command(&[&["pull"], &CREDS[..], &["a"]].concat());
    pull.env("CONTAINERS_REGISTRIES_CONF", &searched);
    assert!(!pull.output().unwrap().status.success());
    assert!(one.seen().is_empty() && two.seen().is_empty());
}

#[test]
fn pulling_through_asks_the_registries_it_was_told_of_alone() {
    let sandbox = Sandbox::new();
    let (home, other) = (Gate::start(), Gate::start());
    let through = format!("--pull-through={}", home.address);
    let served = Served::with(&sandbox, &[&[through.as_str()], &CREDS[..]].concat());
    assert!(!manifest_from(&served.address, &other.image("x")).contains("200 OK"));
    assert!(other.seen().is_empty());
    assert!(!manifest_from(&served.address, "x").contains("200 OK"));
    assert!(home.seen().iter().any(Option::is_some));
    drop(served);

    // Without a value, any is asked that is public, or that somebody configured; the login is none for it.
    let anywhere = ["--pull-through", &through, "--creds", "me:secret"];
    let served = Served::with(&sandbox, &anywhere);
    assert!(manifest_from(&served.address, &other.image("x")).contains("403 "));
    assert!(other.seen().is_empty());
    drop(served);
    let place = sandbox.path().join(".config/containers");
    std::fs::create_dir_all(&place).unwrap();
    let text = format!("[[registry]]\nlocation = \"{}\"\n", other.address);
    std::fs::write(place.join("registries.conf"), text).unwrap();
    let served = Served::with(&sandbox, &anywhere);
    assert!(!manifest_from(&served.address, &other.image("x")).contains("200 OK"));
    assert!(!other.seen().is_empty() && other.seen().iter().all(Option::is_none));

    let public = ["serve", "registry", "--listen", "0.0.0.0:0", "--read-only"];
    let open = sandbox.berth(&[&public[..], &["--pull-through"]].concat());
    insta::assert_snapshot!(open, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot fetch from any host for everybody who reaches 0.0.0.0:0

    hint: name the registries, as in --pull-through=docker.io, or add --htpasswd FILE
    ");
}
