//! The store served as a registry: to skopeo, and to berth.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use berth_contract::Class;
use berth_image::{
    Access, Login, PullOptions, PullThrough, PushOptions, Reference, Registries, ServeOptions,
    Silent, Store, install, pull, push, search, serve, tags,
};

use crate::server::{Registry, certificate, skopeo};
use crate::{native, read, wasm};

/// A served store; its thread ends with the test process.
pub(crate) struct Served {
    pub(crate) address: String,
    data: tempfile::TempDir,
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ServeOptions)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut options = ServeOptions {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            htpasswd: None,
            tls: None,
            read_only: false,
            patience: Duration::from_secs(30),
            connections: 1024,
            pull_through: None,
        };
        change(&mut options);
        let store = Store::open(data.path());
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            serve(&store, &options, &mut |address| {
                sender.send(address).unwrap();
                Ok(())
            })
        });
        let address = receiver.recv().unwrap().to_string();
        Self { address, data }
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.path())
    }

    pub(crate) fn path(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn name(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.address)).unwrap()
    }
}

/// Puts an index there, whatever it lists.
pub(crate) fn put(there: &Reference, index: &serde_json::Value) {
    let kind = index["mediaType"].as_str().unwrap();
    assert_eq!(try_put(there, kind, index.to_string()), 201);
}

/// Puts a document there; the status that was answered.
pub(crate) fn try_put(there: &Reference, kind: &str, document: String) -> u16 {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let url = format!(
        "http://{}/v2/{}/manifests/{}",
        there.registry(),
        there.repository(),
        there.tag().unwrap()
    );
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = http.put(url).header("content-type", kind).body(document);
    runtime.block_on(put.send()).unwrap().status().as_u16()
}

fn source() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    install(
        &store,
        &Reference::parse("source").unwrap(),
        &[native(), wasm()],
    )
    .unwrap();
    (data, store)
}

#[test]
fn what_is_pushed_here_can_be_run_here_and_pulled_by_anybody() {
    let served = Served::start();
    let (_data, store) = source();
    let target = store.find("source", None).unwrap().target().clone();
    let there = served.name("team/app:1");
    let pushed = push(&store, "source", &there, &PushOptions::default(), &Silent).unwrap();
    assert_eq!((&pushed.digest, pushed.partial), (&target, false));
    let own = served.store().find("team/app:1", None).unwrap();
    assert!(own.size() > 0, "before anything of it was unpacked");
    own.ensure_unpacked().unwrap();
    assert_eq!(read(&own, "etc/name"), b"native\n");
    // Parts of an index are no images of their own.
    assert_eq!(served.store().list().unwrap().images.len(), 2);

    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("copy");
    let (from, to) = (
        format!("docker://{there}"),
        format!("oci:{}:x", copy.display()),
    );
    if !skopeo(&[
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        &from,
        &to,
    ]) {
        return;
    }
    let back = format!("docker://{}", served.name("back/app:2"));
    skopeo(&[
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        &to,
        &back,
    ]);
    assert_eq!(
        *served.store().find("back/app:2", None).unwrap().target(),
        target
    );
    let access = Access::default();
    assert_eq!(tags(&served.name("back/app"), &access).unwrap(), ["2"]);
    let found = search(&format!("{}/app", served.address), 10, &access).unwrap();
    let found: Vec<_> = found.into_iter().map(|found| found.name).collect();
    assert_eq!(
        found,
        [served.name("back/app"), served.name("team/app")].map(|n| n.name())
    );
}

#[test]
fn tls_of_a_private_authority_and_passwords() {
    let place = tempfile::tempdir().unwrap();
    let Some((chain, key)) = certificate(place.path(), "DNS:registry.test") else {
        return;
    };
    let passwords = place.path().join("htpasswd");
    std::fs::write(
        &passwords,
        format!("me:{}\n", bcrypt::hash("secret", 4).unwrap()),
    )
    .unwrap();
    let tls = (chain, key);
    let served = Served::with(|options| {
        options.htpasswd = Some(passwords);
        options.tls = Some(tls);
    });
    let (_data, store) = source();
    let there = served.name("app:1");
    let mut options = PushOptions::default();
    let denied = push(&store, "source", &there, &options, &Silent).unwrap_err();
    assert_eq!(denied.class(), Class::Denied, "{denied:?}");
    let me = |password: &str| Login::Password {
        username: "me".into(),
        password: password.into(),
    };
    let access = Access::default();
    assert!(berth_image::login(&served.address, &me("secret"), &access).is_ok());
    let wrong = berth_image::login(&served.address, &me("wrong"), &access).unwrap_err();
    assert_eq!(wrong.class(), Class::Denied);
    options
        .access
        .credentials
        .insert(&served.address, me("secret"));
    push(&store, "source", &there, &options, &Silent).unwrap();
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_itself_last() {
    let served = Served::start();
    let (_data, store) = source();
    let there = served.name("library/tool:1");
    push(&store, "source", &there, &PushOptions::default(), &Silent).unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"{0}\"\n\
         [[registry.mirror]]\nlocation = \"127.0.0.1:9\"\n[[registry.mirror]]\nlocation = \"{0}\"\n",
        served.address
    );
    std::fs::write(&file, text).unwrap();
    let mut options = PullOptions::default();
    let mut registries = Registries::default();
    registries.add_file(&file).unwrap();
    options.access.registries = registries;
    let fresh = Store::open(place.path());
    let tool = Reference::parse("tool:1").unwrap();
    let pulled = pull(&fresh, &tool, &options, &Silent).unwrap();
    assert_eq!(read(&pulled.image, "etc/name"), b"native\n");
    assert!(
        fresh.find("tool:1", None).is_ok(),
        "it keeps the name it was asked for by"
    );
    assert!(fresh.find(&there.to_string(), None).is_err());
}

#[test]
fn what_is_not_here_is_fetched_once_and_kept() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let (_data, store) = source();
    let origin = Reference::parse(&format!("{}/app:1", registry.address)).unwrap();
    push(&store, "source", &origin, &PushOptions::default(), &Silent).unwrap();
    let home = registry.address.clone();
    let served = Served::with(|options| {
        let access = Access {
            attempts: 1,
            ..Access::default()
        };
        options.pull_through = Some(PullThrough {
            registries: vec![home],
            any: false,
            access,
        });
    });
    let fresh = tempfile::tempdir().unwrap();
    let through = served.name("app:1");
    let pulled = pull(
        &Store::open(fresh.path()),
        &through,
        &PullOptions::default(),
        &Silent,
    );
    assert_eq!(read(&pulled.unwrap().image, "etc/name"), b"native\n");
    let here = served.store().find(&origin.to_string(), None);
    assert!(here.is_err(), "nobody called anything so here");
    drop(registry);
    // The registry is gone; what went through is still here.
    let fresh = tempfile::tempdir().unwrap();
    let pulled = pull(
        &Store::open(fresh.path()),
        &through,
        &PullOptions::default(),
        &Silent,
    );
    assert_eq!(read(&pulled.unwrap().image, "etc/name"), b"native\n");
    let error = pull(
        &Store::open(fresh.path()),
        &served.name("other:1"),
        &PullOptions::default(),
        &Silent,
    );
    assert!(error.is_err());
}

#[test]
fn beside_a_digest_a_tag_is_no_name() {
    let served = Served::start();
    let (_data, store) = source();
    let there = served.name("app:1");
    let pushed = push(&store, "source", &there, &PushOptions::default(), &Silent).unwrap();
    let place = tempfile::tempdir().unwrap();
    let fresh = Store::open(place.path());
    let both = Reference::parse(&format!("{there}@{}", pushed.digest)).unwrap();
    let pinned = there.at(&pushed.digest);
    for name in [&both, &pinned, &both] {
        pull(&fresh, name, &PullOptions::default(), &Silent).unwrap();
        for asked in [&both, &pinned] {
            let image = fresh.find(&asked.to_string(), None).unwrap();
            assert!(image.names().is_empty());
            assert_eq!(image.digests(), std::slice::from_ref(&pinned));
        }
    }
    let removed = fresh.remove(&both.to_string(), false, &berth_image::NoContainers);
    assert!(removed.is_ok(), "{removed:?}");
    assert!(fresh.list().unwrap().images.is_empty());
}

#[test]
fn who_says_nothing_holds_no_connection() {
    let served = Served::with(|options| options.patience = Duration::from_millis(200));
    let silent: Vec<_> = (0..3)
        .map(|number| {
            let mut stream = TcpStream::connect(&served.address).unwrap();
            let wait = Some(Duration::from_secs(60));
            stream.set_read_timeout(wait).unwrap();
            // Nothing, half of a beginning, and a body that does not come.
            let body = "POST /v2/x/blobs/uploads/?digest=sha256:0 HTTP/1.1\r\nhost: x\r\n\
                        content-length: 9\r\n\r\n123";
            let said = ["", "PRI * HT", body][number];
            stream.write_all(said.as_bytes()).unwrap();
            stream
        })
        .collect();
    for mut stream in silent {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
    }
}

#[test]
fn who_is_refused_while_sending_can_read_why() {
    let served = Served::with(|options| options.read_only = true);
    let body = vec![b'x'; 1 << 20];
    for path in ["/v2/a/manifests/1", "/v2/a/blobs/uploads/?digest=sha256:0"] {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        let method = if path.contains("uploads") {
            "POST"
        } else {
            "PUT"
        };
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        stream.write_all(&body).unwrap();
    }
}
