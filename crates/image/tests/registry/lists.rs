//! Lists made here of images that only registries have.

use berth_contract::Class;
use berth_image::{
    Access, EntryChange, NoContainers, Platform, PushOptions, Reference, Silent, Store, push,
    remote_entries,
};

use crate::compose::{both, pushed};
use crate::served::Served;
use crate::server::Registry;
use crate::{native, wasm};

/// A store with an empty list, and the list's name.
fn empty(name: &str) -> (tempfile::TempDir, Store, Reference) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let list = Reference::parse(name).unwrap();
    store.create_list(&list, false).unwrap();
    (data, store, list)
}

fn add(store: &Store, list: &Reference, image: &Reference, all: bool) {
    let entries = remote_entries(image, None, all, &Access::default()).unwrap();
    let change = EntryChange::default();
    store.add_remote_to_list(list, &entries, &change).unwrap();
}

#[test]
fn a_list_of_remote_images_goes_to_any_registry() {
    let (one, two) = (Served::start(), Served::start());
    let images = [one.name("app:native"), two.name("other:wasm")];
    let _kept = (pushed(native(), &images[0]), pushed(wasm(), &images[1]));
    let (_data, store, list) = empty("both:1");
    images
        .iter()
        .for_each(|image| add(&store, &list, image, false));
    let entries = store.list_named(&list).unwrap().manifests;
    let platforms: Vec<String> = entries
        .iter()
        .map(|entry| entry.platform.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(
        platforms,
        [Platform::host().to_string(), "wasip1/wasm".to_owned()]
    );
    for (entry, image) in entries.iter().zip(&images) {
        let source = store.source_of(&list, &entry.digest).unwrap();
        assert_eq!(source.as_ref(), Some(image));
        // What is noted stays here.
        assert!(entry.annotations.is_empty());
    }
    store.collect(&NoContainers).unwrap();
    assert!(store.check(Default::default()).unwrap().is_empty());

    // Where one image is already, where the other one is, and where nothing is.
    let mut targets = vec![one.name("app:1"), two.name("third/app:1")];
    let registry = Registry::start(false);
    if let Some(registry) = &registry {
        targets.push(Reference::parse(&format!("{}/far/app:1", registry.address)).unwrap());
    }
    for target in &targets {
        let pushed = push(&store, "both:1", target, &PushOptions::default(), &Silent).unwrap();
        assert!(!pushed.partial);
        both(target);
    }
    assert!(
        store.list().unwrap().images.is_empty(),
        "nothing is kept here"
    );
    assert!(store.check(Default::default()).unwrap().is_empty());

    // All of another list, and none of it once more.
    let again = Reference::parse("again:1").unwrap();
    store.create_list(&again, false).unwrap();
    add(&store, &again, &targets[1], true);
    let listed = store.list_named(&again).unwrap().manifests;
    let digests = |entries: &[berth_image::Descriptor]| -> Vec<_> {
        entries.iter().map(|entry| entry.digest.clone()).collect()
    };
    assert_eq!(digests(&listed), digests(&entries));
    let unsure = store.annotate_list(&again, &targets[1].to_string(), &EntryChange::default());
    assert_eq!(
        unsure.unwrap_err().class(),
        Class::Invalid,
        "both are from there"
    );
}

#[test]
fn remote_entries_are_changed_and_removed_by_their_names() {
    let served = Served::start();
    let image = served.name("app:native");
    let _kept = pushed(native(), &image);
    let (_data, store, list) = empty("one:1");
    add(&store, &list, &image, false);
    let change = EntryChange {
        variant: Some("v9".into()),
        ..EntryChange::default()
    };
    store
        .annotate_list(&list, &image.to_string(), &change)
        .unwrap();
    let entry = store.list_named(&list).unwrap().manifests.remove(0);
    let platform = entry.platform.unwrap();
    assert_eq!(platform.variant.as_deref(), Some("v9"));
    let pinned = image.at(&entry.digest);
    store
        .annotate_list(&list, &pinned.to_string(), &change)
        .unwrap();
    let source = store.source_of(&list, &entry.digest).unwrap();
    assert_eq!(
        source,
        Some(image.clone()),
        "it is noted after a change too"
    );
    store.remove_from_list(&list, &image.to_string()).unwrap();
    assert!(store.list_named(&list).unwrap().manifests.is_empty());
    assert_eq!(store.source_of(&list, &entry.digest).unwrap(), None);
    let absent = store.remove_from_list(&list, &image.to_string());
    assert_eq!(absent.unwrap_err().class(), Class::NotFound);
}

#[test]
fn a_list_whose_images_are_gone_is_told_as_such() {
    let (one, two) = (Served::start(), Served::start());
    let image = one.name("app:native");
    let _kept = pushed(native(), &image);
    let (_data, store, list) = empty("one:1");
    add(&store, &list, &image, false);
    // What is a repository of the served store's own there.
    one.store()
        .remove("app:native", true, &NoContainers)
        .unwrap();
    for target in [one.name("other:1"), two.name("other:1"), one.name("app:2")] {
        let error = push(&store, "one:1", &target, &PushOptions::default(), &Silent);
        assert_eq!(error.unwrap_err().class(), Class::NotFound, "{target}");
        let there = berth_image::remote_document(&target, &Access::default());
        assert_eq!(there.unwrap_err().class(), Class::NotFound);
    }
    let absent = remote_entries(&image, None, false, &Access::default());
    assert_eq!(absent.unwrap_err().class(), Class::NotFound);
    let elsewhere = one.name("app:native");
    let _again = pushed(wasm(), &elsewhere);
    let wanted: Platform = "linux/s390x".parse().unwrap();
    // A single image is for what it is for; only of several can one be chosen.
    assert!(remote_entries(&elsewhere, Some(&wanted), false, &Access::default()).is_ok());
}
