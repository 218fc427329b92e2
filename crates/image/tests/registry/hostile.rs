//! Registries that mean harm: each ends with a sentence, soon, with nothing kept and nothing told to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use berth_contract::{Class, Report};
use berth_image::{CheckOptions, PullOptions, Reference, Silent, Store, pull};

use crate::closure::{Answer, Request, serve};
use crate::content::{Content, me};

/// What a test waits at most where a registry is patient for nobody.
const SOON: Duration = Duration::from_secs(20);

fn options(patience: Duration) -> PullOptions {
    let mut options = PullOptions::default();
    options.access.attempts = 2;
    options.access.patience = patience;
    options
}

/// Where the registry is quick, and this machine may be busy.
fn quick() -> PullOptions {
    options(Duration::from_secs(5))
}

/// Pulls into a store that holds an image already; the failure, after a look at the store.
fn refused(address: &str, options: &PullOptions) -> (Class, String) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let image = [crate::native()];
    berth_image::install(&store, &Reference::parse("here").unwrap(), &image).unwrap();
    let reference = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let begun = Instant::now();
    let error = pull(&store, &reference, options, &Silent).unwrap_err();
    assert!(begun.elapsed() < SOON, "{error:?}");
    let findings = store.check(CheckOptions::default()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(store.list().unwrap().images.len(), 1);
    (error.class(), Report::from(&error).line())
}

fn is_manifest(request: &Request) -> bool {
    request.path.contains("/manifests/")
}

#[test]
fn bodies_without_an_end_are_left() {
    type Chosen = fn(&Request, &Content) -> bool;
    let cases: [(&str, Chosen); 3] = [
        ("a manifest", |request, _| {
            is_manifest(request) && request.method == "GET"
        }),
        ("a layer", |request, content| {
            request.path.ends_with(&content.largest())
        }),
        ("a config", |request, content| {
            request.path.contains("/blobs/") && !request.path.ends_with(&content.largest())
        }),
    ];
    for (what, chosen) in cases {
        let content = Content::new();
        let address = serve(move |request| {
            let mut answer = content.answer(request);
            answer.endless = chosen(request, &content);
            answer
        });
        let (class, line) = refused(&address, &quick());
        assert!(
            matches!(class, Class::Unavailable | Class::Invalid),
            "{what}: {line}"
        );
        assert!(line.contains("larger than"), "{what}: {line}");
    }
    // The words of an error, and a token.
    let address = serve(|_| Answer {
        endless: true,
        ..Answer::new(404, b"")
    });
    assert_eq!(refused(&address, &quick()).0, Class::NotFound);
    let address = serve(|request| {
        if request.path.starts_with("/token") {
            return Answer {
                endless: true,
                ..Answer::new(200, b"{")
            };
        }
        Answer::challenge(request, "")
    });
    let (_, line) = refused(&address, &quick());
    assert!(line.contains("larger than"), "{line}");
}

#[test]
fn a_registry_that_trickles_is_left() {
    type Chosen = fn(&Request) -> bool;
    let cases: [Chosen; 2] = [is_manifest, |request| request.path.contains("/blobs/")];
    for chosen in cases {
        let content = Content::new();
        let address = serve(move |request| {
            let mut answer = content.answer(request);
            answer.pace = chosen(request).then_some(Duration::from_millis(20));
            answer
        });
        let (class, line) = refused(&address, &options(Duration::from_millis(300)));
        assert_eq!(class, Class::Unavailable, "{line}");
        assert!(line.contains("stalled"), "{line}");
    }
}

#[test]
fn redirects_end_and_lead_nowhere_secret() {
    let leaked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&leaked);
    let elsewhere = serve(move |request| {
        // A name and password in the redirect itself are the redirecting host's to give.
        let login = request.headers.get("authorization");
        let told = login.is_some_and(|login| login != "Basic eW91OmVsc2U=")
            || request.headers.contains_key("x-mirror");
        count.fetch_add(usize::from(told), Ordering::SeqCst);
        // It asks for a login of its own, which is not what it is given.
        Answer::new(401, b"").header("www-authenticate", "Basic realm=\"mine\"")
    });
    let round = Arc::new(AtomicUsize::new(0));
    let turns = Arc::clone(&round);
    let targets: [(&str, String); 5] = [
        (
            "another host",
            format!("http://{elsewhere}/v2/team/app/manifests/1"),
        ),
        ("itself", "/v2/team/app/manifests/1".into()),
        ("a file", "file:///etc/passwd".into()),
        ("nothing", "http://".into()),
        (
            "a name and password",
            format!("http://you:else@{elsewhere}/"),
        ),
    ];
    for (what, target) in targets {
        let turns = Arc::clone(&turns);
        let address = serve(move |request| {
            turns.fetch_add(1, Ordering::SeqCst);
            if !request.headers.contains_key("authorization") {
                return Answer::new(401, b"").header("www-authenticate", "Basic realm=\"r\"");
            }
            Answer::new(307, b"").header("location", target.clone())
        });
        let mut options = quick();
        options.access.credentials.insert(&address, me());
        options.access.headers = vec![("x-mirror".into(), "secret".into())];
        let (class, line) = refused(&address, &options);
        assert!(
            class != Class::Internal && !line.contains("secret"),
            "{what}: {line}"
        );
    }
    assert_eq!(leaked.load(Ordering::SeqCst), 0);
    assert!(
        round.load(Ordering::SeqCst) < 200,
        "it goes round and round"
    );
}

#[test]
fn documents_that_cannot_be_meant_are_refused() {
    let content = Content::new();
    let manifest = String::from_utf8(content.blobs[&content.manifest].clone()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        json.to_string()
    };
    let layer = json["layers"][0].clone();
    let nested =
        |open: &str, close: &str| format!("{}{}", open.repeat(400_000), close.repeat(400_000));
    let documents = [
        (
            "both kinds at once",
            changed(&|json| json["manifests"] = serde_json::json!([])),
        ),
        (
            "too many layers",
            changed(&|json| json["layers"] = vec![layer.clone(); 20_000].into()),
        ),
        (
            "a layer of any size",
            changed(&|json| json["layers"][0]["size"] = u64::MAX.into()),
        ),
        (
            "a negative size",
            changed(&|json| json["layers"][0]["size"] = (-1).into()),
        ),
        (
            "a digest that is a path",
            changed(&|json| json["layers"][0]["digest"] = "sha256:../../x".into()),
        ),
        (
            "a config that is a layer",
            changed(&|json| json["config"] = layer.clone()),
        ),
        ("deep lists", nested("[", "]")),
        ("deep objects", nested("{\"a\":", "}")),
        (
            "deep lists in a field",
            format!("{{\"layers\":{}}}", nested("[", "]")),
        ),
        (
            "a number without end",
            format!("{{\"schemaVersion\":{}}}", "9".repeat(1 << 20)),
        ),
        ("nothing", String::new()),
        ("no text", "\u{0}\u{1}\u{2}".into()),
    ];
    for (what, text) in documents {
        let content = Content::new();
        let address = serve(move |request| {
            if !is_manifest(request) {
                return content.answer(request);
            }
            Answer::new(200, text.as_bytes())
                .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        });
        let (class, line) = refused(&address, &quick());
        assert!(
            !matches!(class, Class::Internal | Class::NotFound),
            "{what}: {line}"
        );
    }
}

#[test]
fn lengths_that_are_lies_are_found_out() {
    for (what, add) in [("too short", -1_i64), ("too long", 1), ("absurd", i64::MAX)] {
        let content = Content::new();
        let largest = content.largest();
        let address = serve(move |request| {
            let mut answer = content.answer(request);
            if request.path.ends_with(&largest) && request.method == "GET" {
                let length = i64::try_from(answer.body.len())
                    .unwrap()
                    .saturating_add(add);
                let told = usize::try_from(length).unwrap_or(0).min(answer.body.len());
                answer.breaks_after = Some(told);
                return answer.header("content-length", length.to_string());
            }
            answer
        });
        let (class, line) = refused(&address, &quick());
        assert!(
            matches!(class, Class::Unavailable | Class::Invalid),
            "{what}: {line}"
        );
    }
}
