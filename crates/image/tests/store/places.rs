//! Places outside of registries that images are pushed to.

use berth_image::{
    ArchiveFormat, Destination, LoadOptions, SaveOptions, Silent, install, load_directory, save,
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
