//! Indexes of strangers: what they say about the manifests of others costs nobody anything.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use berth_contract::{Class, Digest};
use berth_image::{ArtifactFile, ArtifactWish, NoContainers, Platform, Removed, Store, install};
use serde_json::{Value, json};

use crate::{digest, image, name, store};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Puts a document into the store as a pull would; the descriptor that names it.
fn put(data: &Path, kind: &str, document: &Value) -> Value {
    let bytes = document.to_string();
    let digest = digest(bytes.as_bytes());
    let hex = digest.strip_prefix("sha256:").unwrap();
    std::fs::write(data.join("oci/blobs/sha256").join(hex), &bytes).unwrap();
    json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
}

fn index(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
}

/// Gives a document a name that is looked at before all others.
fn call(data: &Path, name: &str, entry: &Value) {
    let path = data.join("oci/index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut entry = entry.clone();
    entry["annotations"] = json!({"io.containerd.image.name": name});
    let entries = index["manifests"].as_array_mut().unwrap();
    entries.insert(0, entry);
    std::fs::write(&path, index.to_string()).unwrap();
}

fn is_whole(store: &Store, text: &str) {
    let image = store.find(text, None).unwrap();
    assert!(image.layers()[0].is_dir());
    assert!(store.check(Default::default()).unwrap().is_empty());
}

#[test]
fn what_an_index_calls_the_manifest_of_another_image_is_no_matter() {
    let (data, store) = store();
    install(&store, &name("victim"), &[image("victim")]).unwrap();
    install(&store, &name("own"), &[image("own")]).unwrap();
    let manifest = |text: &str| store.find(text, None).unwrap().manifest_digest().clone();
    let entry =
        |kind: &str, digest: &Digest| json!({"mediaType": kind, "digest": digest, "size": 1});
    let lies = [
        entry(MANIFEST, &manifest("own")),
        entry(INDEX, &manifest("victim")),
    ];
    let evil = put(data.path(), INDEX, &index(&lies));
    call(data.path(), "docker.io/library/evil:1", &evil);
    store.collect(&NoContainers).unwrap();
    is_whole(&store, "victim");
}

/// A list is bare, and goes like one, when only registries have what is in it; an index of artifacts or of indexes is
/// not, and neither is one that speaks about something.
#[test]
fn a_list_with_something_here_is_not_bare() {
    let (data, store) = store();
    install(&store, &name("own"), &[image("own")]).unwrap();
    let away = json!({"mediaType": MANIFEST, "digest": digest(b"away"), "size": 4});
    let config = put(data.path(), "application/vnd.oci.empty.v1+json", &json!({}));
    let artifact = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "a/b",
                          "config": &config, "layers": [config]});
    let artifact = put(data.path(), MANIFEST, &artifact);
    let mut about = index(std::slice::from_ref(&away));
    about["subject"] = artifact.clone();
    for (list, is_bare) in [
        (index(std::slice::from_ref(&away)), true),
        (index(&[]), true),
        (index(&[artifact, away.clone()]), false),
        (about, false),
    ] {
        let entry = put(data.path(), INDEX, &list);
        call(data.path(), "docker.io/library/list:1", &entry);
        let lists = store.list().unwrap().lists;
        let digest = entry["digest"].as_str().unwrap();
        let found = lists.iter().find(|one| one.digest().as_str() == digest);
        assert_eq!(found.is_some(), is_bare, "{list}");
        if let Some(found) = found {
            assert!(!store.unlist_bare(found).unwrap().is_empty());
        }
    }
    // What was bare when it was looked at may not be any more.
    let entry = put(data.path(), INDEX, &index(&[away]));
    call(data.path(), "docker.io/library/late:1", &entry);
    let lists = store.list().unwrap().lists;
    std::fs::write(
        data.path()
            .join("oci/blobs/sha256")
            .join(&digest(b"away")[7..]),
        "away",
    )
    .unwrap();
    assert!(store.unlist_bare(&lists[0]).unwrap().is_empty());
}

#[test]
fn indexes_keep_what_they_lead_to_however_deep() {
    let (data, store) = store();
    install(&store, &name("inner"), &[image("inner")]).unwrap();
    let inner = store.find("inner", None).unwrap();
    let mut top = json!({
        "mediaType": MANIFEST,
        "digest": inner.manifest_digest(),
        "size": 1,
    });
    let mut indexes = Vec::new();
    for _ in 0..100 {
        top = put(data.path(), INDEX, &index(&[top]));
        indexes.push(top.clone());
    }
    call(data.path(), "docker.io/library/deep:1", &top);
    // Of these the second is met at the end of the first, and has a name of its own.
    call(data.path(), "docker.io/library/half:1", &indexes[50]);
    store.untag(&name("inner")).unwrap();
    store
        .remove(inner.id().short(), true, &NoContainers)
        .unwrap();
    store.collect(&NoContainers).unwrap();
    assert!(inner.layers()[0].is_dir());
    // All that is left belongs to the first.
    let survey = store.survey(&|_| true, &[]).unwrap();
    assert_eq!(survey.images.len(), 2);
    let blobs = std::fs::read_dir(data.path().join("oci/blobs/sha256")).unwrap();
    let allocated = blobs.map(|blob| blob.unwrap().metadata().unwrap().blocks() * 512);
    let contents = survey.images.iter().map(|image| image.content);
    assert_eq!(contents.max(), Some(allocated.sum()));
}

#[test]
fn a_part_of_a_list_that_is_an_image_of_its_own_stays() {
    let (_data, store) = store();
    let arm: Platform = "linux/arm64".parse().unwrap();
    let mut other = image("arm");
    other.platform = arm.clone();
    install(&store, &name("app:host"), &[image("host")]).unwrap();
    install(&store, &name("app:arm64"), &[other]).unwrap();
    let multi = name("app:multi");
    store.create_list(&multi, false).unwrap();
    for part in ["app:host", "app:arm64"] {
        store
            .add_to_list(&multi, part, false, &Default::default())
            .unwrap();
    }
    let remove = || {
        let platforms = std::slice::from_ref(&arm);
        store.remove_platforms("app:multi", platforms, false, &NoContainers)
    };
    let error = remove().unwrap_err();
    assert_eq!(error.class(), Class::Conflict);
    assert_eq!(error.hints(), ["berth rmi app:arm64"]);
    is_whole(&store, "app:arm64");
    let id = store.find("app:arm64", None).unwrap().id().clone();
    store.remove("app:arm64", false, &NoContainers).unwrap();
    {
        // Whoever is at work may count on it.
        let _hold = store.hold().unwrap();
        assert_eq!(remove().unwrap_err().class(), Class::Conflict);
        assert!(store.find("app:multi", Some(&arm)).is_ok());
    }
    assert_eq!(remove().unwrap(), [Removed::Deleted(id)]);
    assert!(store.find("app:multi", Some(&arm)).is_err());
    is_whole(&store, "app:host");
}

#[test]
fn what_could_not_be_read_back_is_not_made() {
    let (_data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let written = |number: usize| {
        let path = files.path().join(number.to_string());
        std::fs::write(&path, number.to_string()).unwrap();
        path
    };
    let wish = ArtifactWish::default();
    let few: Vec<_> = (0..2).map(written).collect();
    let all: Vec<_> = (2..2001).map(written).collect();
    let before = store.add_artifact(&name("a"), &few, &wish).unwrap();
    let append = ArtifactWish {
        append: true,
        ..wish.clone()
    };
    let error = store.add_artifact(&name("a"), &all, &append).unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
    assert!(error.to_string().contains("artifact a"), "{error}");
    assert_eq!(store.find_artifact("a").unwrap().digest, before);
    let noted = ArtifactWish {
        annotations: [("note".to_owned(), "x".repeat(3 << 20))].into(),
        ..wish
    };
    assert!(store.add_artifact(&name("b"), &few, &noted).is_err());
    assert!(store.artifacts().unwrap().damaged.is_empty());
    // Nothing of what was refused stays.
    let kept = store.find_artifact("a").unwrap();
    assert_eq!(
        (
            kept.manifest.layers.len(),
            store.artifacts().unwrap().artifacts.len()
        ),
        (2, 1)
    );
}

#[test]
fn what_is_added_to_a_list_at_once_is_all_in_it() {
    let (_data, store) = store();
    let list = name("list");
    let images: Vec<String> = (0..8).map(|number| format!("image:{number}")).collect();
    for text in &images {
        install(&store, &name(text), &[image(text)]).unwrap();
    }
    store.create_list(&list, false).unwrap();
    std::thread::scope(|scope| {
        for text in &images {
            let (store, list) = (&store, &list);
            scope.spawn(move || {
                store
                    .add_to_list(list, text, false, &Default::default())
                    .unwrap();
            });
        }
    });
    assert_eq!(store.list_named(&list).unwrap().manifests.len(), 8);
    std::thread::scope(|scope| {
        for text in &images[..4] {
            let (store, list) = (&store, &list);
            scope.spawn(move || store.remove_from_list(list, text).unwrap());
        }
    });
    assert_eq!(store.list_named(&list).unwrap().manifests.len(), 4);
}

#[test]
fn files_of_strangers_replace_no_other_and_follow_no_link() {
    const TITLE: &str = "org.opencontainers.image.title";
    let (data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let written = |name: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, name).unwrap();
        path
    };
    let wish = ArtifactWish::default();
    let two = [written("a.txt"), written("b.txt")];
    store.add_artifact(&name("a"), &two, &wish).unwrap();
    let out = tempfile::tempdir().unwrap();
    let outside = written("outside");
    std::os::unix::fs::symlink(&outside, out.path().join("a.txt")).unwrap();
    let extract = |text: &str| {
        let artifact = store.find_artifact(text).unwrap();
        store.extract_artifact(&artifact, ArtifactFile::All, out.path())
    };
    extract("a").unwrap();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&outside), "outside");
    assert_eq!(read(&out.path().join("a.txt")), "a.txt");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 2);

    let digest = store.find_artifact("a").unwrap().digest;
    let blob = data.path().join("oci/blobs/sha256").join(digest.hex());
    let mut manifest: Value = serde_json::from_str(&read(&blob)).unwrap();
    manifest["layers"][1]["annotations"][TITLE] = "a.txt".into();
    let same = put(data.path(), MANIFEST, &manifest);
    call(data.path(), "docker.io/library/same:latest", &same);
    std::fs::write(out.path().join("a.txt"), "before").unwrap();
    let error = extract("same").unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
    assert_eq!(read(&out.path().join("a.txt")), "before");
}
