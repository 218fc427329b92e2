//! Pull-through: blobs reach the client while they come, once, and never damaged.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_image::{Access, CheckOptions, NoContainers, PullThrough, Reference, install};
use reqwest::{Client, Response};

use crate::closure::serve;
use crate::content::Content;
use crate::served::Served;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the first connection breaks; the second one waits for a word.
const FIRST: usize = 100_000;

/// A registry whose largest blob comes in two parts, the second only when the receiver hears of it, and
/// what counts how often the blob is asked for.
fn two_parts(content: Content, go_on: Receiver<()>, lie: bool) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, go_on) = (Arc::clone(&asked), Mutex::new(go_on));
    let layer = content.largest();
    let address = serve(move |request| {
        let mut answer = content.answer(request);
        if request.path.ends_with(&layer) && request.method == "GET" {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                answer.breaks_after = Some(FIRST);
            } else {
                // The test has ended when nobody sends any more.
                go_on.lock().unwrap().recv().ok();
                if lie && let Some(last) = answer.body.last_mut() {
                    *last ^= 1;
                }
            }
        }
        answer
    });
    (address, asked)
}

fn through(registry: String) -> Served {
    Served::with(|options| {
        options.pull_through = Some(PullThrough {
            registries: vec![registry],
            any: false,
            access: Access::default(),
        });
    })
}

/// Asks for the manifest, then for the blob; the answer's head has arrived.
async fn begun(http: &Client, served: &Served, layer: &str, range: Option<&str>) -> Response {
    let url = |rest: &str| format!("http://{}/v2/team/app/{rest}", served.address);
    let manifest = http.get(url("manifests/1")).send().await.unwrap();
    assert_eq!(manifest.status(), 200);
    let mut blob = http.get(url(&format!("blobs/{layer}")));
    if let Some(range) = range {
        blob = blob.header("range", range);
    }
    blob.send().await.unwrap()
}

/// Reads at least so many bytes, or to the end.
async fn read(response: &mut Response, least: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while bytes.len() < least {
        match response.chunk().await? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(bytes)
}

pub(crate) fn run(test: impl AsyncFnOnce(Client)) {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let http = Client::builder().no_proxy().timeout(PATIENCE).build();
    runtime.block_on(test(http.unwrap()));
}

#[test]
fn a_blob_reaches_all_who_ask_while_it_comes() {
    let content = Content::new();
    let layer = content.largest();
    let whole = content.blobs[&layer].clone();
    let (sender, receiver) = channel();
    let (registry, asked) = two_parts(content, receiver, false);
    let served = through(registry);
    run(async |http| {
        let mut one = begun(&http, &served, &layer, None).await;
        assert_eq!(one.content_length(), Some(whole.len() as u64));
        // A connection that breaks may take along what was not read yet.
        let mut first = read(&mut one, 1).await.unwrap();
        assert!(!first.is_empty() && first.len() <= FIRST);
        // A second client, which wants another part, does not make it come twice.
        let mut two = begun(&http, &served, &layer, Some("bytes=50000-")).await;
        assert_eq!(two.status(), 206);
        sender.send(()).unwrap();
        first.extend(read(&mut one, usize::MAX).await.unwrap());
        let second = read(&mut two, usize::MAX).await.unwrap();
        assert_eq!(first, whole);
        assert_eq!(second, whole[50_000..]);
        let mut stored = begun(&http, &served, &layer, None).await;
        assert_eq!(read(&mut stored, usize::MAX).await.unwrap(), whole);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_damaged_blob_never_arrives_whole() {
    let content = Content::new();
    let layer = content.largest();
    let whole = content.blobs[&layer].clone();
    let (sender, receiver) = channel();
    let (registry, _) = two_parts(content, receiver, true);
    let served = through(registry);
    run(async |http| {
        let mut blob = begun(&http, &served, &layer, None).await;
        let first = read(&mut blob, 1).await.unwrap();
        sender.send(()).unwrap();
        let rest = read(&mut blob, whole.len() - first.len()).await;
        assert!(rest.is_err());
    });
    let hex = layer.strip_prefix("sha256:").unwrap();
    assert!(!served.path().join("oci/blobs/sha256").join(hex).exists());
}

#[test]
fn a_blob_that_is_not_there_is_told_as_such() {
    let content = Content::new();
    let layer = content.largest();
    let absent = layer.clone();
    let registry = serve(move |request| match request.path.ends_with(&absent) {
        true => crate::closure::Answer::new(404, b"{}"),
        false => content.answer(request),
    });
    let served = through(registry);
    run(async |http| {
        let blob = begun(&http, &served, &layer, None).await;
        assert_eq!(blob.status(), 404);
        assert!(blob.text().await.unwrap().contains("BLOB_UNKNOWN"));
    });
}

#[test]
fn looking_for_a_blob_makes_nothing_come() {
    let content = Content::new();
    let layer = content.largest();
    let size = content.blobs[&layer].len() as u64;
    let there = Arc::new(Mutex::new(true));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (now, seen) = (Arc::clone(&there), Arc::clone(&asked));
    let registry = serve(move |request| {
        if request.path.contains("/blobs/") {
            seen.lock().unwrap().push(request.method.clone());
            if !*now.lock().unwrap() {
                return crate::closure::Answer::new(404, b"{}");
            }
        }
        content.answer(request)
    });
    let served = through(registry);
    run(async |http| {
        let url = |rest: &str| format!("http://{}/v2/team/app/{rest}", served.address);
        let manifest = http.get(url("manifests/1")).send().await.unwrap();
        assert_eq!(manifest.status(), 200);
        asked.lock().unwrap().clear();
        let blob = url(&format!("blobs/{layer}"));
        let head = http.head(&blob).send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["content-length"], size.to_string().as_str());
        assert_eq!(head.headers()["docker-content-digest"], layer.as_str());
        *there.lock().unwrap() = false;
        assert_eq!(http.head(&blob).send().await.unwrap().status(), 404);
        let unnamed = url(&format!("blobs/sha256:{}", "a".repeat(64)));
        assert_eq!(http.head(&unnamed).send().await.unwrap().status(), 404);
    });
    assert_eq!(*asked.lock().unwrap(), ["HEAD", "HEAD"]);
    let hex = layer.strip_prefix("sha256:").unwrap();
    assert!(!served.path().join("oci/blobs/sha256").join(hex).exists());
}

#[test]
fn what_is_fetched_for_others_changes_no_image_of_this_machine() {
    let content = Content::new();
    let (manifest, blobs) = (content.manifest.clone(), content.blobs.clone());
    let healthy = Arc::new(Mutex::new(true));
    let state = Arc::clone(&healthy);
    let registry = serve(move |request| match *state.lock().unwrap() {
        true => content.answer(request),
        false => crate::closure::Answer::new(503, b"{}"),
    });
    let name = Reference::parse(&format!("{registry}/team/app:1")).unwrap();
    let served = Served::with(|options| {
        options.read_only = true;
        options.pull_through = Some(PullThrough {
            registries: vec![registry],
            any: false,
            access: Access {
                attempts: 1,
                ..Access::default()
            },
        });
    });
    let store = served.store();
    install(&store, &name, &[crate::native()]).unwrap();
    let own = store.find(&name.to_string(), None).unwrap();
    let unchanged = || {
        let found = store.find(&name.to_string(), None).unwrap();
        assert_eq!(found.target(), own.target());
        let listing = store.list().unwrap();
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        let named = listing.images.iter().filter(|one| !one.names().is_empty());
        assert_eq!(named.count(), 1);
        let check = store.check(CheckOptions::default()).unwrap();
        assert!(check.is_empty(), "{check:?}");
        listing.images.len()
    };
    run(async |http| {
        let url = |rest: &str| format!("http://{}/v2/team/app/{rest}", served.address);
        let fetched = async || {
            let answer = http.get(url("manifests/1")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["docker-content-digest"], manifest.as_str());
        };
        fetched().await;
        assert_eq!(unchanged(), 1, "a manifest alone is no image");
        for digest in blobs.keys().filter(|digest| **digest != manifest) {
            let blob = http.get(url(&format!("blobs/{digest}"))).send().await;
            assert_eq!(blob.unwrap().bytes().await.unwrap(), blobs[digest]);
        }
        assert_eq!(unchanged(), 2, "all of it is one without a name");
        let tags = http.get(url("tags/list")).send().await.unwrap();
        assert!(tags.text().await.unwrap().contains(r#""tags":["1"]"#));
        *healthy.lock().unwrap() = false;
        fetched().await;
        *healthy.lock().unwrap() = true;
        store.remove(&manifest, true, &NoContainers).unwrap();
        fetched().await;
    });
    // Parts are of no use here, and go when unused images do.
    let part = served.path().join("oci/blobs/sha256");
    let part = part.join(manifest.strip_prefix("sha256:").unwrap());
    assert!(part.exists());
    store.unlist_orphans().unwrap();
    store.collect(&NoContainers).unwrap();
    assert!(!part.exists());
    assert_eq!(unchanged(), 1);
}

#[test]
fn nobody_makes_it_ask_what_is_not_public() {
    let content = Content::new();
    let manifest = content.manifest.clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let registry = serve(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        content.answer(request)
    });
    let port = registry.rsplit_once(':').unwrap().1;
    let served = |configured: bool| {
        Served::with(|options| {
            let mut access = Access::default();
            if configured {
                let place = tempfile::tempdir().unwrap();
                let file = place.path().join("registries.conf");
                let text = format!("[[registry]]\nlocation = \"{registry}\"\n");
                std::fs::write(&file, text).unwrap();
                access.registries.add_file(&file).unwrap();
            }
            options.pull_through = Some(PullThrough {
                registries: vec!["docker.io".into()],
                any: true,
                access,
            });
        })
    };
    let (open, known) = (served(false), served(true));
    run(async |http| {
        let ask = async |served: &Served, host: &str| {
            let url = format!("http://{}/v2/{host}/team/app/manifests/1", served.address);
            let answer = http.get(url).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        for host in [
            registry.clone(),
            format!("localhost:{port}"),
            format!("127.1.2.3:{port}"),
            "169.254.169.254:80".into(),
        ] {
            let (status, text) = ask(&open, &host).await;
            assert_eq!(status, 403, "{host}: {text}");
            assert!(text.contains("no address of the public internet"), "{text}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        let (status, _) = ask(&known, &registry).await;
        assert_eq!(status, 200, "whoever set it up named it");
        let (status, _) = ask(&known, &format!("localhost:{port}")).await;
        assert_eq!(status, 403, "it names another host");
    });
    assert!(served_has(&known, &manifest));
}

fn served_has(served: &Served, digest: &str) -> bool {
    let blobs = served.path().join("oci/blobs/sha256");
    blobs.join(digest.strip_prefix("sha256:").unwrap()).exists()
}
