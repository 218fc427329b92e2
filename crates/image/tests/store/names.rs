//! Names, ids, and images that lose theirs.

use berth_contract::Class;
use berth_image::{NoContainers, Reference, install};

use crate::{image, name, store};

#[test]
fn images_are_found_by_every_name_they_have() {
    let (_data, store) = store();
    assert_eq!(
        store.find("nothing", None).unwrap_err().class(),
        Class::NotFound
    );
    install(&store, &name("app:1"), &[image("a")]).unwrap();
    let found = store.find("app:1", None).unwrap();
    let id = found.id().clone();
    let pinned = format!("app@{}", found.target());
    for text in [
        "app:1",
        "docker.io/library/app:1",
        id.as_str(),
        id.hex(),
        id.short(),
        &id.hex()[..1],
        &pinned,
    ] {
        assert_eq!(store.find(text, None).unwrap().id(), &id, "{text}");
    }
    for text in [
        "app",
        "app:2",
        "other@sha256:",
        "",
        "UPPER",
        &format!("other@{}", found.target()),
    ] {
        assert!(store.find(text, None).is_err(), "{text}");
    }
    store
        .tag(found.target(), &name("localhost:5000/me/app:2"))
        .unwrap();
    let names: Vec<String> = store
        .find("app:1", None)
        .unwrap()
        .names()
        .iter()
        .map(Reference::familiar)
        .collect();
    assert_eq!(names, ["app:1", "localhost:5000/me/app:2"]);
}

#[test]
fn an_ambiguous_beginning_is_refused() {
    let (_data, store) = store();
    let mut first: Vec<u8> = Vec::new();
    for number in 0..40 {
        install(
            &store,
            &name(&format!("x:{number}")),
            &[image(&number.to_string())],
        )
        .unwrap();
        let letter = store
            .find(&format!("x:{number}"), None)
            .unwrap()
            .id()
            .hex()
            .as_bytes()[0];
        if first.contains(&letter) {
            let error = store
                .find(&char::from(letter).to_string(), None)
                .unwrap_err();
            assert_eq!(error.class(), Class::Invalid);
            return;
        }
        first.push(letter);
    }
    panic!("forty ids with sixteen first letters");
}

#[test]
fn a_name_that_moves_leaves_a_dangling_image() {
    let (_data, store) = store();
    install(&store, &name("app"), &[image("old")]).unwrap();
    let old = store.find("app", None).unwrap();
    install(&store, &name("app"), &[image("new")]).unwrap();
    assert_ne!(store.find("app", None).unwrap().id(), old.id());
    let dangling = store.find(old.id().short(), None).unwrap();
    assert!(dangling.names().is_empty());
    assert_eq!(
        dangling.digests()[0].familiar(),
        format!("app@{}", old.target())
    );
    assert_eq!(store.collect(&NoContainers).unwrap(), 0);
    store.tag(dangling.target(), &name("saved")).unwrap();
    assert_eq!(store.list().unwrap().images.len(), 2);
    assert_eq!(store.find("saved", None).unwrap().id(), old.id());
}
