//! `hosts.toml`: what is asked of which host.

use std::path::Path;
use std::sync::{Arc, Mutex};

use berth_contract::{Class, Report};
use berth_image::{Access, PullOptions, PushOptions, Reference, Silent, Store, install, push};

use crate::closure::{Answer, Request, serve};
use crate::content::{Content, pull_from};
use crate::served::Served;

/// `certs.d` with a file for one registry.
fn configured(registry: &str, text: &str) -> (tempfile::TempDir, Access) {
    let place = tempfile::tempdir().unwrap();
    let mut access = Access {
        attempts: 1,
        ..Access::default()
    };
    write(place.path(), registry, text);
    access.registries.add_hosts(place.path().to_owned());
    (place, access)
}

fn write(place: &Path, registry: &str, text: &str) {
    let directory = place.join(registry);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("hosts.toml"), text).unwrap();
}

type Asked = Arc<Mutex<Vec<String>>>;

/// A registry that notes what it was asked, and answers what `has` lets it.
fn noting(
    content: &Arc<Content>,
    has: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> (String, Asked) {
    let asked = Asked::default();
    let (content, log) = (Arc::clone(content), Arc::clone(&asked));
    let address = serve(move |request| {
        let mark = request.headers.get("x-mark").map_or("-", String::as_str);
        let line = format!("{} {} {mark}", request.method, request.path);
        log.lock().unwrap().push(line);
        let path = request.path.split('?').next().unwrap().to_owned();
        let plain = Request {
            method: request.method.clone(),
            path,
            headers: request.headers.clone(),
            body: Vec::new(),
        };
        match has(&plain) {
            true => content.answer(&plain),
            false => Answer::new(404, b"{}"),
        }
    });
    (address, asked)
}

fn options(access: Access) -> PullOptions {
    PullOptions {
        access,
        ..PullOptions::default()
    }
}

#[test]
fn who_may_not_tell_what_a_tag_leads_to_is_asked_by_digest() {
    let content = Arc::new(Content::new());
    let (mirror, of_mirror) = noting(&content, |_| true);
    let (server, of_server) = noting(&content, |_| true);
    let text = format!(
        "server = \"http://{server}\"\n[host.\"http://{mirror}/depot\"]\ncapabilities = [\"pull\"]\n\
         [host.\"http://{mirror}/depot\".header]\nx-mark = \"berth\"\n"
    );
    let (_place, access) = configured("registry.test", &text);
    pull_from("registry.test", &options(access)).unwrap();
    let told = std::mem::take(&mut *of_server.lock().unwrap());
    assert_eq!(told, ["HEAD /v2/team/app/manifests/1?ns=registry.test -"]);
    let asked = of_mirror.lock().unwrap();
    assert!(asked.len() >= 3, "{asked:?}");
    for line in asked.iter() {
        assert!(line.starts_with("GET /depot/v2/team/app/"), "{line}");
        assert!(line.ends_with("?ns=registry.test berth"), "{line}");
        assert!(!line.contains("/manifests/1?"), "{line}");
    }
}

#[test]
fn what_a_host_does_not_have_the_next_one_has() {
    let content = Arc::new(Content::new());
    let (empty, of_empty) = noting(&content, |_| false);
    let (server, _) = noting(&content, |_| true);
    let text = format!("server = \"http://{server}\"\n[host.\"http://{empty}\"]\n");
    let (_place, access) = configured("registry.test", &text);
    pull_from("registry.test", &options(access)).unwrap();
    assert!(!of_empty.lock().unwrap().is_empty());
    // An interface that lies elsewhere, without the usual path.
    let (odd, asked) = noting(&content, |_| true);
    let text = format!("server = \"http://{odd}/v2/upstream\"\noverride_path = true\n");
    let (_place, access) = configured("registry.test", &text);
    pull_from("registry.test", &options(access)).unwrap();
    let first = asked.lock().unwrap().first().cloned().unwrap();
    assert!(
        first.contains(" /v2/upstream/team/app/manifests/1?"),
        "{first}"
    );
}

#[test]
fn nobody_tells_a_tag_if_nobody_may() {
    let content = Arc::new(Content::new());
    let (server, asked) = noting(&content, |_| true);
    let text = format!("server = \"http://{server}\"\ncapabilities = [\"pull\"]\n");
    let (_place, access) = configured("registry.test", &text);
    let error = pull_from("registry.test", &options(access)).unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    let line = Report::from(&error).line();
    assert!(line.contains("hosts.toml lets no host tell"), "{line}");
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn images_go_to_the_host_that_takes_them() {
    let (mirror, depot) = (Served::start(), Served::start());
    let text = format!(
        "[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n[host.\"http://{}\"]\n",
        mirror.address, depot.address
    );
    let (_place, access) = configured("registry.test", &text);
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    install(
        &store,
        &Reference::parse("own").unwrap(),
        &[crate::native()],
    )
    .unwrap();
    let there = Reference::parse("registry.test/team/app:1").unwrap();
    let how = PushOptions {
        access: access.clone(),
        ..PushOptions::default()
    };
    push(&store, "own", &there, &how, &Silent).unwrap();
    let here = depot.store().find("team/app:1", None);
    assert!(here.is_ok(), "{here:?}");
    assert!(mirror.store().list().unwrap().images.is_empty());
    pull_from("registry.test", &options(access)).unwrap();
}
