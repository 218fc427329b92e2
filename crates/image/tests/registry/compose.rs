//! Images made in registries of what registries have: within a repository, across two, across two registries.

use std::collections::HashMap;

use berth_contract::Class;
use berth_image::{
    Access, Composition, ImageBuilder, Platform, PullOptions, PushOptions, Reference, Silent,
    Source, Store, compose, install, pull, push,
};

use sha2::{Digest as _, Sha256};

use crate::closure::{Answer, serve};
use crate::served::Served;
use crate::server::{Registry, skopeo};
use crate::{native, read, wasm};

/// Pushes one image there, and gives the store it came from.
pub(crate) fn pushed(image: ImageBuilder, there: &Reference) -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    install(&store, &Reference::parse("source").unwrap(), &[image]).unwrap();
    push(&store, "source", there, &PushOptions::default(), &Silent).unwrap();
    (data, store)
}

fn composed(sources: &[Reference], targets: &[Reference], prefer_index: bool) {
    let sources: Vec<Source> = sources
        .iter()
        .map(|reference| Source {
            reference: reference.clone(),
            descriptor: None,
        })
        .collect();
    let composition = Composition {
        sources: &sources,
        platforms: &[],
        annotations: &[],
        entry_annotations: &[],
        prefer_index,
        access: &Access::default(),
    };
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let made = compose(&store, &composition, targets, &Silent).unwrap();
    // Nothing is kept here.
    assert!(store.list().unwrap().images.is_empty());
    assert!(
        std::fs::read_dir(data.path().join("ingest"))
            .unwrap()
            .next()
            .is_none()
    );
    for target in targets {
        let remote = berth_image::remote_document(target, &Access::default()).unwrap();
        assert_eq!(remote.bytes, made.bytes);
    }
}

/// What each platform gets from there.
pub(crate) fn both(there: &Reference) {
    for (platform, file, content) in [
        (Platform::host(), Some("etc/name"), &b"native\n"[..]),
        (Platform::new("wasip1", "wasm"), None, b""),
    ] {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path());
        let options = PullOptions {
            platform: Some(platform),
            ..PullOptions::default()
        };
        let image = pull(&store, there, &options, &Silent).unwrap().image;
        match file {
            Some(file) => assert_eq!(read(&image, file), content),
            None => assert!(image.module().is_some()),
        }
    }
}

#[test]
fn images_become_one_wherever_they_are() {
    let served = Served::start();
    let (one, two) = (served.name("app:native"), served.name("other:wasm"));
    let _kept = (pushed(native(), &one), pushed(wasm(), &two));
    let targets = [served.name("app:1"), served.name("third/app:latest")];
    composed(&[one.clone(), two], &targets, true);
    targets.iter().for_each(both);

    let Some(registry) = Registry::start(false) else {
        return;
    };
    let there = Reference::parse(&format!("{}/far/app:1", registry.address)).unwrap();
    // A list is taken as it is, with all it lists.
    composed(&targets[..1], std::slice::from_ref(&there), true);
    both(&there);
    let single = Reference::parse(&format!("{}/near/app:2", registry.address)).unwrap();
    composed(&[one], std::slice::from_ref(&single), false);
    let seen = format!("docker://{single}");
    assert!(skopeo(&["inspect", "--tls-verify=false", &seen]));
}

/// Why no image is made of these.
fn refused(sources: &[Source], target: &Reference) -> berth_contract::Error {
    let composition = Composition {
        sources,
        platforms: &[],
        annotations: &[],
        entry_annotations: &[],
        prefer_index: true,
        access: &Access::default(),
    };
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let targets = std::slice::from_ref(target);
    compose(&store, &composition, targets, &Silent).unwrap_err()
}

#[test]
fn what_is_not_there_makes_nothing() {
    let served = Served::start();
    let target = served.name("app:1");
    let sources = [Source {
        reference: served.name("absent:1"),
        descriptor: None,
    }];
    let error = refused(&sources, &target);
    assert_eq!(error.class(), Class::NotFound);
    assert!(berth_image::remote_document(&target, &Access::default()).is_err());
}

#[test]
fn indexes_of_indexes_without_end_are_refused() {
    let mut documents = HashMap::new();
    let mut inner = r#"{"schemaVersion":2,"manifests":[]}"#.to_owned();
    let kind = "application/vnd.oci.image.index.v1+json";
    let digest = |text: &str| {
        let hex = Sha256::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        format!("sha256:{hex}")
    };
    for _ in 0..20 {
        let (name, size) = (digest(&inner), inner.len());
        let entry = format!(r#"{{"mediaType":"{kind}","digest":"{name}","size":{size}}}"#);
        documents.insert(name, inner);
        inner = format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[{entry}]}}"#);
    }
    documents.insert("1".to_owned(), inner);
    let address = serve(move |request| {
        let name = request.path.rsplit('/').next().unwrap();
        match documents.get(name) {
            Some(text) => Answer::new(200, text.as_bytes()).header("content-type", kind),
            None => Answer::new(404, b"{}"),
        }
    });
    let served = Served::start();
    let sources = [Source {
        reference: Reference::parse(&format!("{address}/x:1")).unwrap(),
        descriptor: None,
    }];
    let error = refused(&sources, &served.name("app:1"));
    assert_eq!(
        error.to_string(),
        "cannot push an index of too many indexes"
    );
}
