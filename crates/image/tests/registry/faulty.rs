//! A registry made of a closure: tokens, redirects, broken connections, lies.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_contract::Class;
use berth_image::{
    Access, Event, FileEntry, ImageBuilder, Login, Platform, Progress, PullOptions, Reference,
    Silent, Store, install, pull, search,
};

/// A request: method, path with query, headers in lower case.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An answer: status line, headers, body, and after how many bytes of it the connection breaks.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) breaks_after: Option<usize>,
    /// Goes on with blanks for as long as somebody listens.
    pub(crate) endless: bool,
    /// How long each byte of the body takes.
    pub(crate) pace: Option<Duration>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_vec(),
            breaks_after: None,
            endless: false,
            pace: None,
        }
    }

    pub(crate) fn header(mut self, key: &str, value: impl Into<String>) -> Self {
        self.headers.push((key.into(), value.into()));
        self
    }
}

/// Serves on loopback until the test process ends; the address.
pub(crate) fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    format!("{loopback}:{}", serve_at((loopback, 0), answer))
}

/// Serves until the test process ends; the port.
pub(crate) fn serve_at(
    address: (IpAddr, u16),
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || converse(stream.unwrap(), &*answer));
        }
    });
    port
}

/// Answers the requests of one connection.
pub(crate) fn converse(stream: impl Read + Write, answer: &dyn Fn(&Request) -> Answer) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        // A TLS client greets with bytes that are no line.
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return;
        };
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((key, value)) = line.trim().split_once(':') else {
                break;
            };
            headers.insert(key.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = Request {
            method,
            path,
            headers,
            body,
        };
        let answer = answer(&request);
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        if answer.endless {
            head.push_str("connection: close\r\n");
        } else if answer
            .headers
            .iter()
            .all(|(key, _)| key != "content-length")
        {
            head.push_str(&format!("content-length: {}\r\n", answer.body.len()));
        }
        for (key, value) in &answer.headers {
            head.push_str(&format!("{key}: {value}\r\n"));
        }
        let writer = reader.get_mut();
        writer.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let body = if request.method == "HEAD" {
            &[][..]
        } else {
            &answer.body
        };
        let until = answer.breaks_after.unwrap_or(body.len());
        let until = if answer.pace.is_some() { 0 } else { until };
        // The client may have hung up on purpose.
        if writer.write_all(&body[..until]).is_err() || answer.breaks_after.is_some() {
            return;
        }
        if let Some(pace) = answer.pace {
            // Nobody sends on this channel: it is a clock.
            let (_sender, clock) = channel::<()>();
            for byte in body {
                clock.recv_timeout(pace).unwrap_err();
                if writer.write_all(&[*byte]).is_err() {
                    return;
                }
            }
            continue;
        }
        if answer.endless {
            while writer.write_all(&[b' '; 64 << 10]).is_ok() {}
            return;
        }
        drop(writer.flush());
    }
}

/// An image's documents and blobs by digest.
pub(crate) struct Content {
    _data: tempfile::TempDir,
    pub(crate) manifest: String,
    pub(crate) blobs: HashMap<String, Vec<u8>>,
}

impl Content {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path());
        let mut image = ImageBuilder::new(Platform::host());
        let noise: Vec<u8> = (0_u32..60_000)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        image.files = vec![FileEntry::File {
            path: "noise".into(),
            mode: 0o644,
            content: noise,
        }];
        install(&store, &Reference::parse("x").unwrap(), &[image]).unwrap();
        let manifest = store.find("x", None).unwrap().target().to_string();
        let blobs = std::fs::read_dir(data.path().join("oci/blobs/sha256"))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let hex = path.file_name().unwrap().to_str().unwrap();
                (format!("sha256:{hex}"), std::fs::read(&path).unwrap())
            });
        Self {
            blobs: blobs.collect(),
            _data: data,
            manifest,
        }
    }

    /// What an honest registry answers.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let name = request.path.rsplit('/').next().unwrap();
        let name = if request.path.contains("/manifests/") && !name.contains(':') {
            &self.manifest
        } else {
            name
        };
        if request.path == "/v2/" {
            return Answer::new(200, b"{}");
        }
        let Some(body) = self.blobs.get(name) else {
            return Answer::new(
                404,
                br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no"}]}"#,
            );
        };
        let kind = if request.path.contains("/manifests/") {
            "application/vnd.oci.image.manifest.v1+json"
        } else {
            "application/octet-stream"
        };
        let from = request.headers.get("range").and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
        let answer = match from {
            Some(from) => Answer::new(206, &body[from..]).header(
                "content-range",
                format!("bytes {from}-{}/{}", body.len() - 1, body.len()),
            ),
            None => Answer::new(200, body),
        };
        answer
            .header("content-type", kind)
            .header("docker-content-digest", name)
    }

    pub(crate) fn largest(&self) -> String {
        self.blobs
            .iter()
            .max_by_key(|(_, body)| body.len())
            .unwrap()
            .0
            .clone()
    }
}

pub(crate) fn pull_from(
    address: &str,
    options: &PullOptions,
) -> berth_contract::Result<(tempfile::TempDir, bool)> {
    let data = tempfile::tempdir().unwrap();
    let reference = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let pulled = pull(&Store::open(data.path()), &reference, options, &Silent)?;
    Ok((data, pulled.updated))
}

pub(crate) fn me() -> Login {
    Login::Password {
        username: "me".into(),
        password: "secret".into(),
    }
}

#[test]
fn bearer_tokens_are_fetched_with_the_scope_asked_for() {
    let content = Content::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let own = Arc::new(Mutex::new(String::new()));
    let own_address = Arc::clone(&own);
    let address = serve(move |request| {
        if request.path.starts_with("/token") {
            let login = request
                .headers
                .get("authorization")
                .cloned()
                .unwrap_or_default();
            seen.lock().unwrap().push((
                request.path.clone(),
                login,
                String::from_utf8(request.body.clone()).unwrap(),
            ));
            return Answer::new(200, br#"{"token":"abc","expires_in":300}"#);
        }
        if request
            .headers
            .get("authorization")
            .is_some_and(|value| value == "Bearer abc")
        {
            return content.answer(request);
        }
        let realm = format!(
            r#"Bearer realm="http://{}/token",service="s",scope="repository:team/app:pull""#,
            own_address.lock().unwrap()
        );
        Answer::new(401, b"").header("www-authenticate", realm)
    });
    own.lock().unwrap().clone_from(&address);
    assert!(pull_from(&address, &PullOptions::default()).unwrap().1);
    let mut options = PullOptions::default();
    options.access.credentials.insert(&address, me());
    pull_from(&address, &options).unwrap();
    options.access.credentials.insert(
        &address,
        Login::IdentityToken {
            username: "me".into(),
            token: "refresh".into(),
        },
    );
    pull_from(&address, &options).unwrap();
    let asked = asked.lock().unwrap();
    // One token serves all requests of a pull.
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(
        asked[0].0.contains("scope=repository%3Ateam%2Fapp%3Apull"),
        "{asked:?}"
    );
    assert_eq!(asked[0].1, "");
    assert_eq!(asked[1].1, "Basic bWU6c2VjcmV0");
    assert!(
        asked[2].2.contains("grant_type=refresh_token")
            && asked[2].2.contains("refresh_token=refresh")
    );
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let content = Arc::new(Content::new());
    let leaked = Arc::new(AtomicUsize::new(0));
    let (theirs, count) = (Arc::clone(&content), Arc::clone(&leaked));
    let elsewhere = serve(move |request| {
        count.fetch_add(
            usize::from(request.headers.contains_key("authorization")),
            Ordering::SeqCst,
        );
        theirs.answer(request)
    });
    let address = serve(move |request| {
        if !request.headers.contains_key("authorization") {
            return Answer::new(401, b"").header("www-authenticate", "Basic realm=\"r\"");
        }
        if request.path.contains("/blobs/") {
            let location = format!("http://{elsewhere}{}", request.path);
            return Answer::new(307, b"").header("location", location);
        }
        content.answer(request)
    });
    let mut options = PullOptions::default();
    options.access.credentials.insert(&address, me());
    pull_from(&address, &options).unwrap();
    assert_eq!(leaked.load(Ordering::SeqCst), 0);
}

#[test]
fn broken_connections_are_resumed_and_overload_is_waited_out() {
    let content = Content::new();
    let layer = content.largest();
    let size = content.blobs[&layer].len();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    let address = serve(move |request| {
        let mut answer = content.answer(request);
        if request.path.ends_with(&layer) {
            let mut log = log.lock().unwrap();
            log.push(request.headers.get("range").cloned().unwrap_or_default());
            match log.len() {
                1 => answer.breaks_after = Some(100_000),
                2 => return Answer::new(503, b"").header("retry-after", "0"),
                _ => {}
            }
        }
        answer
    });
    assert!(pull_from(&address, &PullOptions::default()).unwrap().1);
    let requests = requests.lock().unwrap();
    assert!(size > 100_000);
    assert_eq!(*requests, ["", "bytes=100000-", "bytes=100000-"]);
}

#[test]
fn an_interrupted_pull_is_resumed_by_the_next_one() {
    let content = Content::new();
    let layer = content.largest();
    let healthy = Arc::new(AtomicUsize::new(0));
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let (state, log) = (Arc::clone(&healthy), Arc::clone(&ranges));
    let address = serve(move |request| {
        let mut answer = content.answer(request);
        if request.path.ends_with(&layer) {
            let range = request.headers.get("range").cloned();
            log.lock().unwrap().push(range.clone());
            if state.load(Ordering::SeqCst) == 0 {
                if range.is_some() {
                    return Answer::new(403, b"");
                }
                answer.breaks_after = Some(50_000);
            }
        }
        answer
    });
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let reference = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    pull(&store, &reference, &PullOptions::default(), &Silent).unwrap_err();
    assert!(store.list().unwrap().images.is_empty());
    healthy.store(1, Ordering::SeqCst);
    pull(&store, &reference, &PullOptions::default(), &Silent).unwrap();
    assert_eq!(
        ranges.lock().unwrap().last().unwrap().as_deref(),
        Some("bytes=50000-")
    );
}

#[test]
fn lies_about_content_are_found_out() {
    type Lie = fn(&Request, Answer) -> Answer;
    let lies: [(&str, Lie); 4] = [
        (
            "a manifest that is not what its digest says",
            |request, mut answer| {
                if request.path.contains("/manifests/") {
                    answer.body.push(b' ');
                }
                answer
            },
        ),
        ("a manifest called an index", |request, mut answer| {
            if request.path.contains("/manifests/") {
                answer.headers.retain(|(key, _)| key != "content-type");
                return answer.header("content-type", "application/vnd.oci.image.index.v1+json");
            }
            answer
        }),
        ("a layer with other bytes", |request, mut answer| {
            if answer.body.len() > 100_000 && request.method == "GET" {
                answer.body[70_000] ^= 1;
            }
            answer
        }),
        ("an endless manifest", |request, mut answer| {
            if request.path.contains("/manifests/") {
                answer.body.resize(5 << 20, b' ');
            }
            answer
        }),
    ];
    for (what, lie) in lies {
        let content = Content::new();
        let address = serve(move |request| lie(request, content.answer(request)));
        let error = pull_from(&address, &PullOptions::default()).unwrap_err();
        assert_ne!(error.class(), Class::NotFound, "{what}: {error:?}");
    }
}

#[test]
fn a_registry_that_is_not_there_is_not_waited_for() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let started = std::time::Instant::now();
    let error = pull_from(&format!("127.0.0.1:{port}"), &PullOptions::default()).unwrap_err();
    assert_eq!(error.class(), Class::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_pull_that_is_cut_ten_times_fetches_nothing_twice() {
    let content = Content::new();
    let layer = content.largest();
    let size = content.blobs[&layer].len();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let address = serve(move |request| {
        let mut answer = content.answer(request);
        if request.path.ends_with(&layer) && request.method == "GET" {
            let piece = (size / 11 + 1).min(answer.body.len());
            count.fetch_add(piece, Ordering::SeqCst);
            if piece < answer.body.len() {
                answer.breaks_after = Some(piece);
            }
        }
        answer
    });
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let reference = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let mut options = PullOptions::default();
    // Each pull gives up at once, as if it had been killed.
    options.access.attempts = 1;
    let pulls = (1..).find(|_| pull(&store, &reference, &options, &Silent).is_ok());
    assert_eq!(pulls, Some(11));
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent * 100 <= size * 105, "{sent} of {size}");
}

#[test]
fn an_overloaded_registry_is_told_and_what_is_here_will_do() {
    struct Heard(Mutex<Vec<String>>);
    impl Progress for Heard {
        fn event(&self, event: &Event<'_>) {
            if let Event::Stale { reference, reason } = event {
                self.0
                    .lock()
                    .unwrap()
                    .push(format!("{reference}: {reason}"));
            }
        }
    }
    let content = Content::new();
    let healthy = Arc::new(AtomicUsize::new(1));
    let state = Arc::clone(&healthy);
    let address = serve(move |request| match state.load(Ordering::SeqCst) {
        0 => Answer::new(
            429,
            br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#,
        ),
        _ => content.answer(request),
    });
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let reference = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let mut options = PullOptions::default();
    options.access.attempts = 1;
    assert!(pull(&store, &reference, &options, &Silent).unwrap().updated);
    healthy.store(0, Ordering::SeqCst);
    let error = pull(&store, &reference, &options, &Silent).unwrap_err();
    assert_eq!(error.class(), Class::Unavailable);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("429 Too Many Requests"), "{cause}");
    options.stale_if_error = true;
    let heard = Heard(Mutex::default());
    let pulled = pull(&store, &reference, &options, &heard).unwrap();
    assert!(!pulled.updated);
    let heard = heard.0.into_inner().unwrap();
    assert!(heard.len() == 1 && heard[0].contains("429"), "{heard:?}");
    options.access.offline = true;
    assert!(!pull(&store, &reference, &options, &Silent).unwrap().updated);
}

#[test]
fn a_silent_registry_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        // It takes every connection, says how long its answer is, and says no more.
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"));
            open.push(stream);
        }
    });
    let mut options = PullOptions::default();
    options.access.attempts = 1;
    options.access.patience = Duration::from_secs(1);
    let error = pull_from(&address, &options).unwrap_err();
    assert_eq!(error.class(), Class::Unavailable, "{error:?}");
}

#[test]
fn a_token_that_ends_during_a_pull_is_renewed() {
    let content = Content::new();
    let own = Arc::new(Mutex::new(String::new()));
    let own_address = Arc::clone(&own);
    let issued = AtomicUsize::new(0);
    let address = serve(move |request| {
        if request.path.starts_with("/token") {
            let token = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Answer::new(200, format!(r#"{{"token":"t{token}"}}"#).as_bytes());
        }
        // Every token is good for one answer.
        let last = format!("Bearer t{}", issued.load(Ordering::SeqCst));
        let fresh = request.headers.get("authorization") == Some(&last);
        if fresh && issued.load(Ordering::SeqCst) % 2 == 1 {
            issued.fetch_add(1, Ordering::SeqCst);
            return content.answer(request);
        }
        let realm = format!(
            r#"Bearer realm="http://{}/token""#,
            own_address.lock().unwrap()
        );
        Answer::new(401, b"").header("www-authenticate", realm)
    });
    own.lock().unwrap().clone_from(&address);
    pull_from(&address, &PullOptions::default()).unwrap_or_else(|error| panic!("{error:?}"));
}

#[test]
fn a_token_server_that_speaks_oauth_alone_gets_the_password_by_post() {
    let content = Content::new();
    let own = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&own);
    let forms = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&forms);
    let address = serve(move |request| {
        if request.path.starts_with("/token") {
            if request.method == "GET" {
                return Answer::new(405, b"");
            }
            let kind = request.headers["content-type"].clone();
            let form = String::from_utf8(request.body.clone()).unwrap();
            seen.lock().unwrap().push((kind, form));
            return Answer::new(200, br#"{"access_token":"abc","expires_in":300}"#);
        }
        let admitted = "Bearer abc";
        if request
            .headers
            .get("authorization")
            .is_some_and(|value| value == admitted)
        {
            return content.answer(request);
        }
        let realm = format!(
            r#"Bearer realm="http://{}/token",service="s",scope="repository:team/app:pull""#,
            known.lock().unwrap()
        );
        Answer::new(401, b"").header("www-authenticate", realm)
    });
    own.lock().unwrap().clone_from(&address);
    let mut options = PullOptions::default();
    options.access.credentials.insert(&address, me());
    pull_from(&address, &options).unwrap();
    let forms = forms.lock().unwrap();
    assert_eq!(forms.len(), 1, "{forms:?}");
    assert_eq!(forms[0].0, "application/x-www-form-urlencoded");
    for field in [
        "grant_type=password",
        "username=me",
        "password=secret",
        "service=s",
        "client_id=berth",
        "scope=repository%3Ateam%2Fapp%3Apull",
    ] {
        assert!(
            forms[0].1.split('&').any(|part| part == field),
            "{field}: {forms:?}"
        );
    }
}

#[test]
fn docker_hubs_search_is_read_page_by_page() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let address = serve(move |request| {
        log.lock().unwrap().push(request.path.clone());
        let page = if request.path.ends_with("page=1") {
            0..100
        } else {
            100..130
        };
        // As index.docker.io writes it.
        let results: Vec<_> = page
            .map(|number| {
                serde_json::json!({
                    "name": format!("team/tool{number}"),
                    "description": if number % 2 == 0 { Some("it works") } else { None },
                    "is_automated": false, "is_trusted": false,
                    "is_official": number == 0, "star_count": 130 - number,
                })
            })
            .collect();
        let reply = serde_json::json!({
            "num_pages": 2, "num_results": 130, "page_size": 100, "page": 1, "query": "tool",
            "results": results,
        });
        Answer::new(200, reply.to_string().as_bytes())
    });
    let found = search(&format!("{address}/tool"), 120, &Access::default()).unwrap();
    assert_eq!(found.len(), 120);
    assert_eq!(found[0].name, format!("{address}/team/tool0"));
    assert_eq!((found[0].stars, found[0].official), (130, true));
    assert_eq!(
        (found[0].description.as_str(), found[1].description.as_str()),
        ("it works", "")
    );
    let asked = asked.lock().unwrap();
    assert_eq!(
        *asked,
        [
            "/v1/search?q=tool&n=100&page=1",
            "/v1/search?q=tool&n=100&page=2"
        ]
    );
}
