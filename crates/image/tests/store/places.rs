//! Places outside of registries that images are pushed to.

use berth_contract::Class;
use berth_image::{
    ArchiveFormat, Descriptor, Destination, LoadOptions, SaveOptions, Silent, install,
    load_directory, save, write_layout,
};

use crate::{image, name, store};

#[test]
fn a_layout_keeps_what_it_has_under_other_names() {
    let (_data, store) = store();
    install(&store, &name("one"), &[image("one")]).unwrap();
    install(&store, &name("two"), &[image("two")]).unwrap();
    let place = tempfile::tempdir().unwrap();
    let push = |what: &str, called: &str| {
        let options = SaveOptions {
            format: ArchiveFormat::OciDirectory,
            name: Some(called.into()),
            ..SaveOptions::default()
        };
        let names = [what.to_owned()];
        save(
            &store,
            &names,
            &options,
            Destination::Directory(place.path()),
        )
        .unwrap();
    };
    push("one", "v1");
    push("two", "v2");
    push("two", "v1");
    push("one", "v3");
    let text = std::fs::read_to_string(place.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let called = |entry: &serde_json::Value| {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str();
        (
            name.unwrap().to_owned(),
            entry["digest"].as_str().unwrap().to_owned(),
        )
    };
    let digest = |what: &str| store.find(what, None).unwrap().target().to_string();
    let entries: Vec<_> = entries.iter().map(called).collect();
    let wanted = [("v2", "two"), ("v1", "two"), ("v3", "one")];
    assert_eq!(
        entries,
        wanted.map(|(name, what)| (name.to_owned(), digest(what)))
    );
    let (_other, other) = crate::store();
    load_directory(&other, place.path(), &LoadOptions::default(), &Silent).unwrap();
    assert_eq!(other.list().unwrap().images.len(), 2);
}

/// A layout whose index lists this many images that are not there.
fn layout_of(entries: usize) -> (tempfile::TempDir, String) {
    let place = tempfile::tempdir().unwrap();
    let entry = |number: usize| {
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{number:064x}"),
            "size": 1,
        })
    };
    let entries: Vec<_> = (0..entries).map(entry).collect();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": entries}).to_string();
    std::fs::write(place.path().join("index.json"), &index).unwrap();
    (place, index)
}

#[test]
fn a_layout_that_cannot_be_read_is_not_replaced() {
    let (_data, store) = store();
    install(&store, &name("one"), &[image("one")]).unwrap();
    let options = SaveOptions {
        format: ArchiveFormat::OciDirectory,
        name: Some("v1".into()),
        ..SaveOptions::default()
    };
    let one = store.find("one", None).unwrap();
    let target = Descriptor::new("", one.target().clone(), 0);
    // With the last of these there is no room for one more.
    for (place, before) in [layout_of(2001), layout_of(2000)] {
        let to = Destination::Directory(place.path());
        let saved = save(&store, &["one".into()], &options, to).unwrap_err();
        let written = write_layout(&store, &target, place.path(), "v1").unwrap_err();
        for error in [saved, written] {
            assert_eq!(error.class(), Class::Invalid, "{error}");
            assert!(error.to_string().contains("layout"), "{error}");
        }
        let after = std::fs::read_to_string(place.path().join("index.json")).unwrap();
        assert!(after == before);
    }
}

#[test]
fn what_is_pushed_to_a_layout_at_once_is_all_there() {
    let (_data, store) = store();
    install(&store, &name("one"), &[image("one")]).unwrap();
    let one = store.find("one", None).unwrap();
    let target = Descriptor::new("", one.target().clone(), 0);
    let place = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (store, place, target) = (&store, place.path(), &target);
            let tag = format!("v{number}");
            scope.spawn(move || {
                if number % 2 == 0 {
                    return write_layout(store, target, place, &tag).unwrap();
                }
                let options = SaveOptions {
                    format: ArchiveFormat::OciDirectory,
                    name: Some(tag),
                    ..SaveOptions::default()
                };
                save(
                    store,
                    &["one".into()],
                    &options,
                    Destination::Directory(place),
                )
                .unwrap();
            });
        }
    });
    let text = std::fs::read_to_string(place.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 8);
    // Nothing is left of what was written aside.
    for directory in ["", "blobs/sha256"] {
        for entry in std::fs::read_dir(place.path().join(directory)).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().starts_with('.'), "{name:?}");
        }
    }
}
