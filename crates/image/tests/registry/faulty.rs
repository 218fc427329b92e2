//! Broken connections, overload, silence, lies.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_contract::Class;
use berth_image::{
    Access, Event, Login, Progress, PullOptions, PushOptions, Reference, Silent, Store, install,
    pull, push,
};

use crate::closure::{Answer, Request, serve};
use crate::content::{Content, pull_from};

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
fn a_list_of_tags_without_an_end_is_left() {
    let page = |request: &Request| {
        let last = request.path.rsplit('=').next().unwrap();
        let next = last.parse::<u32>().unwrap_or(0) + 1;
        let body = format!(r#"{{"name":"app","tags":["t{next}"]}}"#);
        let link = format!("</v2/app/tags/list?last={next}>; rel=\"next\"");
        Answer::new(200, body.as_bytes()).header("link", link)
    };
    let name = Reference::parse(&format!("{}/app", serve(page))).unwrap();
    let error = berth_image::tags(&name, &Access::default()).unwrap_err();
    let report = berth_contract::Report::from(&error);
    let mut causes = report.causes.iter();
    assert!(causes.any(|cause| cause.contains("pages")), "{report:?}");
}

#[test]
fn a_web_page_is_no_registry() {
    let page = b"<!doctype html>\n<html><body>Welcome</body></html>";
    let address = serve(move |_| Answer::new(200, page).header("content-type", "text/html"));
    let name = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let source = Reference::parse("source").unwrap();
    install(&store, &source, &[crate::native()]).unwrap();
    let access = Access::default();
    let pushed = push(&store, "source", &name, &PushOptions::default(), &Silent);
    let login = Login::Password {
        username: "me".into(),
        password: "secret".into(),
    };
    for error in [
        pull(&store, &name, &PullOptions::default(), &Silent).unwrap_err(),
        pushed.unwrap_err(),
        berth_image::tags(&name, &access).unwrap_err(),
        berth_image::login(&address, &login, &access).unwrap_err(),
        berth_image::search(&format!("{address}/app"), 1, &access).unwrap_err(),
        berth_image::remote_document(&name, &access).unwrap_err(),
    ] {
        let report = berth_contract::Report::from(&error);
        let told = report
            .causes
            .iter()
            .any(|cause| cause.contains("a web page came"));
        assert!(told, "{report:?}");
    }
}

/// Hears what registries want to be known.
#[derive(Default)]
struct Warned(Mutex<Vec<(String, String)>>);

impl Progress for Warned {
    fn event(&self, event: &Event<'_>) {
        if let Event::Warned { registry, text } = event {
            let said = ((*registry).to_owned(), (*text).to_owned());
            self.0.lock().unwrap().push(said);
        }
    }
}

#[test]
fn what_a_registry_wants_to_be_known_is_told_once() {
    let content = Content::new();
    let address = serve(move |request| {
        let answer = content.answer(request);
        let warning = r#"299 - "This tag goes in May.", 299 - "Use HTTPS.""#;
        answer.header("warning", warning)
    });
    let name = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let heard = Warned::default();
    pull(
        &Store::open(data.path()),
        &name,
        &PullOptions::default(),
        &heard,
    )
    .unwrap();
    let said = ["This tag goes in May.", "Use HTTPS."];
    let said = said.map(|text| (address.clone(), text.to_owned()));
    assert_eq!(*heard.0.lock().unwrap(), said);
}
