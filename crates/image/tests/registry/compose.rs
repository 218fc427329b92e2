//! Images made in registries of what registries have: within a repository, across two, across two registries.

use berth_contract::Class;
use berth_image::{
    Access, Composition, ImageBuilder, Platform, PullOptions, PushOptions, Reference, Silent,
    Source, Store, compose, install, pull, push,
};

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

#[test]
fn what_is_not_there_makes_nothing() {
    let served = Served::start();
    let target = served.name("app:1");
    let sources = [Source {
        reference: served.name("absent:1"),
        descriptor: None,
    }];
    let composition = Composition {
        sources: &sources,
        platforms: &[],
        annotations: &[],
        entry_annotations: &[],
        prefer_index: true,
        access: &Access::default(),
    };
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let targets = std::slice::from_ref(&target);
    let error = compose(&store, &composition, targets, &Silent).unwrap_err();
    assert_eq!(error.class(), Class::NotFound);
    assert!(berth_image::remote_document(&target, &Access::default()).is_err());
}
