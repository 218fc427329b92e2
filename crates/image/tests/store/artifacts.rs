//! Artifacts: made of files, added to, taken apart, removed, and told when damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest};
use berth_image::{ArtifactFile, ArtifactWish, Descriptor, NoContainers, Store, install};

use crate::{Using, count, digest, image, name, store};

fn wish() -> ArtifactWish {
    ArtifactWish {
        created: "2026-01-02T03:04:05Z".into(),
        ..ArtifactWish::default()
    }
}

fn append() -> ArtifactWish {
    ArtifactWish {
        append: true,
        ..wish()
    }
}

fn written(directory: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn titles(layers: &[Descriptor]) -> Vec<&str> {
    let title = |layer| -> &str {
        let layer: &Descriptor = layer;
        &layer.annotations["org.opencontainers.image.title"]
    };
    layers.iter().map(title).collect()
}

#[test]
fn files_become_an_artifact_that_can_be_added_to() {
    let (_data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let text = written(files.path(), "notes.txt", b"hello\n");
    let module = written(files.path(), "app.wasm", b"\0asm\x01\0\0\0");
    let made = ArtifactWish {
        kind: Some("application/vnd.example.thing".into()),
        annotations: BTreeMap::from([("stage".into(), "test".into())]),
        ..wish()
    };
    let first = store
        .add_artifact(&name("team/thing:1"), &[text], &made)
        .unwrap();
    let artifact = store.find_artifact("team/thing:1").unwrap();
    assert_eq!(artifact.digest, first);
    assert_eq!(artifact.created(), Some("2026-01-02T03:04:05Z"));
    let manifest = &artifact.manifest;
    assert_eq!(
        manifest.artifact_type.as_deref(),
        Some("application/vnd.example.thing")
    );
    assert_eq!(manifest.layers[0].media_type, "text/plain; charset=utf-8");
    assert_eq!(manifest.layers[0].digest.as_str(), digest(b"hello\n"));
    assert_eq!(manifest.layers[0].annotations["stage"], "test");
    // An image-spec reader knows an empty config by its bytes.
    assert_eq!(manifest.config.digest.as_str(), digest(b"{}"));

    let second = store
        .add_artifact(&name("team/thing:1"), &[module], &append())
        .unwrap();
    assert_ne!(first, second);
    let artifact = store.find_artifact(second.hex()).unwrap();
    assert_eq!(titles(&artifact.manifest.layers), ["notes.txt", "app.wasm"]);
    assert_eq!(artifact.manifest.layers[1].media_type, "application/wasm");
    assert_eq!(store.artifacts().unwrap().artifacts.len(), 1);
    assert!(store.find_artifact(first.hex()).is_err());
}

#[test]
fn files_of_an_artifact_are_files_again() {
    let (_data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let text = written(files.path(), "notes.txt", b"hello\n");
    let module = written(files.path(), "app.wasm", b"\0asm\x01\0\0\0");
    store
        .add_artifact(&name("a"), &[text, module], &wish())
        .unwrap();
    let artifact = store.find_artifact("a").unwrap();
    let out = tempfile::tempdir().unwrap();
    let extract = |which, to: &str| {
        let target = out.path().join(to);
        store.extract_artifact(&artifact, which, &target)
    };
    extract(ArtifactFile::All, "").unwrap();
    assert_eq!(
        std::fs::read(out.path().join("notes.txt")).unwrap(),
        b"hello\n"
    );
    extract(ArtifactFile::Title("app.wasm"), "one").unwrap();
    assert_eq!(
        std::fs::read(out.path().join("one")).unwrap(),
        b"\0asm\x01\0\0\0"
    );
    let layer = artifact.manifest.layers[0].digest.clone();
    extract(ArtifactFile::Digest(layer.hex()), "").unwrap();
    let by_digest = layer.as_str().replace(':', "-");
    assert!(out.path().join(by_digest).is_file());
    let several = extract(ArtifactFile::All, "two").unwrap_err();
    assert_eq!(several.class(), Class::Invalid);
    let none = extract(ArtifactFile::Title("app"), "three").unwrap_err();
    assert_eq!(none.class(), Class::NotFound);
    assert!(!out.path().join("two").exists() && !out.path().join("three").exists());
}

#[test]
fn names_that_are_taken_stay_whose_they_are() {
    let (_data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let one = written(files.path(), "one", b"1");
    let add = |to: &str, file: &PathBuf, wish: &ArtifactWish| {
        store.add_artifact(&name(to), std::slice::from_ref(file), wish)
    };
    install(&store, &name("app"), &[image("x")]).unwrap();
    for wish in [
        wish(),
        ArtifactWish {
            replace: true,
            ..wish()
        },
        append(),
    ] {
        let error = add("app", &one, &wish).unwrap_err();
        assert_eq!(error.class(), Class::Conflict, "{error}");
    }
    assert!(store.find("app", None).is_ok());
    let first = add("a", &one, &wish()).unwrap();
    assert_eq!(
        add("a", &one, &wish()).unwrap_err().class(),
        Class::Conflict
    );
    // Two files of one name could not be told apart.
    assert_eq!(
        add("a", &one, &append()).unwrap_err().class(),
        Class::Conflict
    );
    assert_eq!(
        add("b", &one, &append()).unwrap_err().class(),
        Class::NotFound
    );
    assert_eq!(store.find_artifact("a").unwrap().digest, first);
    let two = written(files.path(), "two", b"2");
    let replacing = ArtifactWish {
        replace: true,
        ..wish()
    };
    let second = add("a", &two, &replacing).unwrap();
    assert_eq!(store.find_artifact("a").unwrap().digest, second);
    assert!(store.find_artifact(first.hex()).is_err());
    for bad in [files.path().to_owned(), files.path().join("absent")] {
        assert!(add("c", &bad, &wish()).is_err());
    }
    assert!(store.find_artifact("c").is_err());
}

#[test]
fn nothing_that_is_added_at_once_is_lost() {
    let (_data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let file = |number: usize| {
        let content = number.to_string();
        written(files.path(), &format!("file-{number}"), content.as_bytes())
    };
    let to = name("many");
    store.add_artifact(&to, &[file(0)], &wish()).unwrap();
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let (store, to, file) = (&store, &to, file(number));
            scope.spawn(move || store.add_artifact(to, &[file], &append()).unwrap());
        }
    });
    let artifact = store.find_artifact("many").unwrap();
    let mut titles = titles(&artifact.manifest.layers);
    titles.sort_unstable();
    let wanted: Vec<String> = (0..=8).map(|number| format!("file-{number}")).collect();
    assert_eq!(titles, wanted);
}

#[test]
fn removal_frees_what_only_the_artifact_had() {
    let (data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let shared = written(files.path(), "shared", b"s");
    let own = written(files.path(), "own", b"o");
    let keeping = store
        .add_artifact(&name("keep"), std::slice::from_ref(&shared), &wish())
        .unwrap();
    let before = count(&data, "oci/blobs/sha256");
    let going = store
        .add_artifact(&name("go"), &[shared, own], &wish())
        .unwrap();
    // Collecting what nothing leads to spares it.
    store.collect(&NoContainers).unwrap();
    assert!(store.survey(&|_| false, &[]).unwrap().artifacts > 0);
    assert_eq!(store.survey(&|_| false, &[]).unwrap().reclaimable, 0);
    let removed = store.unlist_artifact("go", false, &NoContainers).unwrap();
    store.tidy(&NoContainers).unwrap();
    assert_eq!(removed, going);
    assert_eq!(count(&data, "oci/blobs/sha256"), before);
    let out = tempfile::tempdir().unwrap();
    let kept = store.find_artifact(keeping.short()).unwrap();
    store
        .extract_artifact(&kept, ArtifactFile::All, out.path())
        .unwrap();
    let again = store.unlist_artifact("go", true, &NoContainers);
    assert_eq!(again.unwrap_err().class(), Class::NotFound);
}

#[test]
fn a_wasm_artifact_is_an_image_that_containers_keep() {
    let (_data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let module = written(files.path(), "app.wasm", b"\0asm\x01\0\0\0");
    store
        .add_artifact(&name("app"), &[module], &wish())
        .unwrap();
    let image = store.find("app", None).unwrap();
    assert!(image.module().is_some());
    let remove = |force, running| {
        let users = Using(image.id().clone(), running, Vec::new());
        store.unlist_artifact("app", force, &users)
    };
    assert_eq!(remove(false, false).unwrap_err().class(), Class::Conflict);
    remove(true, false).unwrap();
    assert!(store.find_artifact("app").is_err());
}

fn blob(data: &tempfile::TempDir, digest: &Digest) -> PathBuf {
    data.path().join("oci/blobs/sha256").join(digest.hex())
}

#[test]
fn damage_is_told_and_never_handed_out() {
    let (data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let one = written(files.path(), "one", b"content");
    let add = |to: &str| {
        store
            .add_artifact(&name(to), std::slice::from_ref(&one), &wish())
            .unwrap();
        store.find_artifact(to).unwrap()
    };
    let artifact = add("a");
    let layer = artifact.manifest.layers[0].digest.clone();
    std::fs::write(blob(&data, &layer), b"other..").unwrap();
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("out");
    let error = store
        .extract_artifact(&artifact, ArtifactFile::All, &target)
        .unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(!target.exists());

    let other = ArtifactWish {
        kind: Some("a/b".into()),
        ..wish()
    };
    let second = store.add_artifact(&name("b"), &[one], &other).unwrap();
    std::fs::write(blob(&data, &second), b"{}").unwrap();
    let listing = store.artifacts().unwrap();
    assert_eq!(listing.artifacts.len(), 1);
    assert_eq!(listing.damaged.len(), 1);
    let told = listing.damaged[0].to_string();
    assert!(told.contains('b'), "{told}");
}

#[test]
fn stores_of_other_tools_may_hold_titles_that_lead_out() {
    let (data, store) = store();
    let files = tempfile::tempdir().unwrap();
    let one = written(files.path(), "one", b"1");
    let evil = ArtifactWish {
        annotations: BTreeMap::from([(
            "org.opencontainers.image.title".into(),
            "../../etc/evil".into(),
        )]),
        ..wish()
    };
    let made: Store = store;
    made.add_artifact(&name("evil"), &[one], &evil).unwrap();
    let artifact = made.find_artifact("evil").unwrap();
    let error = made
        .extract_artifact(&artifact, ArtifactFile::All, data.path())
        .unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
    assert!(error.to_string().contains("etc/evil"), "{error}");
}
