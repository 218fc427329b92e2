//! What a builder made before a power cut: never trusted unless it was synced.

use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest};
use berth_image::{Assembly, DocumentStyle, Interrupt, Layer, NoContainers, Store, install};

use crate::damage::Unknown;
use crate::{count, image, name, store};

/// Makes a layer of one file.
fn layer(assembly: &Assembly, content: &[u8]) -> Layer {
    let directory = assembly.directory().unwrap();
    std::fs::write(directory.join("file"), content).unwrap();
    assembly.layer(&directory, &[], Some(0)).unwrap()
}

fn blob(data: &Path, digest: &Digest) -> PathBuf {
    data.join("oci/blobs/sha256").join(digest.hex())
}

/// Of a stack of one layer, the chain is its diff id.
fn extracted(data: &Path, layer: &Layer) -> PathBuf {
    data.join("layers").join(layer.diff_id.hex())
}

fn marks(data: &Path) -> usize {
    let entries = std::fs::read_dir(data.join("ingest")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("unsynced-"))
        .count()
}

/// Names what a power cut leaves: the files have names, and no content.
fn cut(data: &Path, layer: &Layer) {
    std::fs::write(blob(data, &layer.descriptor.digest), b"").unwrap();
    std::fs::write(extracted(data, layer).join("file"), b"").unwrap();
}

#[test]
fn what_a_power_cut_left_is_made_again() {
    let (data, store) = store();
    let assembly = store.assembly().unwrap();
    let made = layer(&assembly, b"content");
    // Nobody takes away what somebody is at work with.
    Store::open(data.path()).recover(&NoContainers).unwrap();
    assert!(extracted(data.path(), &made).is_dir());
    drop(assembly);
    assert_eq!(marks(data.path()), 1);
    cut(data.path(), &made);

    let after = Store::open(data.path());
    after.recover(&NoContainers).unwrap();
    assert_eq!(marks(data.path()), 0);
    assert!(!blob(data.path(), &made.descriptor.digest).exists());
    let assembly = after.assembly().unwrap();
    let again = layer(&assembly, b"content");
    assert_eq!(again, made);
    let file = extracted(data.path(), &made).join("file");
    assert_eq!(std::fs::read(file).unwrap(), b"content");
    let (target, _) = assembly
        .image(
            &Default::default(),
            &[again],
            &Default::default(),
            DocumentStyle::Oci,
        )
        .unwrap();
    assembly.name(&[name("made")], &target).unwrap();
    drop(assembly);
    assert!(after.check(Default::default()).unwrap().is_empty());
}

#[test]
fn no_layer_is_written_that_nobody_wants() {
    let (data, store) = store();
    let interrupt = Interrupt::default();
    let assembly = store.assembly().unwrap().ended_by(&interrupt);
    drop(layer(&assembly, b"content"));
    interrupt.ask();
    let directory = assembly.directory().unwrap();
    std::fs::write(directory.join("file"), b"other").unwrap();
    assert!(assembly.layer(&directory, &[], None).is_err());
    assert_eq!(count(&data, "oci/blobs/sha256"), 1);
}

#[test]
fn what_was_synced_stays() {
    let (data, store) = store();
    let assembly = store.assembly().unwrap();
    let made = layer(&assembly, b"content");
    assert_eq!(marks(data.path()), 1);
    let (target, _) = assembly
        .image(
            &Default::default(),
            std::slice::from_ref(&made),
            &Default::default(),
            DocumentStyle::Oci,
        )
        .unwrap();
    assembly.name(&[name("made")], &target).unwrap();
    assert_eq!(marks(data.path()), 0);
    // What is made after that is marked again, and the named image outlives its loss.
    let lost = layer(&assembly, b"other");
    assert_eq!(marks(data.path()), 1);
    drop(assembly);
    cut(data.path(), &lost);
    let blobs = count(&data, "oci/blobs/sha256");
    store.recover(&NoContainers).unwrap();
    assert_eq!(count(&data, "oci/blobs/sha256"), blobs - 1);
    assert!(!extracted(data.path(), &lost).exists());
    assert!(extracted(data.path(), &made).is_dir());
    assert!(store.check(Default::default()).unwrap().is_empty());
}

#[test]
fn at_once_every_rename_has_its_mark() {
    let (data, store) = store();
    let assembly = store.assembly().unwrap();
    std::thread::scope(|scope| {
        for number in 0..4_u8 {
            let assembly = &assembly;
            scope.spawn(move || {
                for round in 0..8_u8 {
                    layer(assembly, &[number, round]);
                    if round % 2 == 0 {
                        assembly.sync().unwrap();
                    }
                }
            });
        }
    });
    assembly.sync().unwrap();
    assert_eq!(marks(data.path()), 0);
    assert_eq!(count(&data, "oci/blobs/sha256"), 32);
}

#[test]
fn nothing_is_built_on_what_a_power_cut_left() {
    let (data, store) = store();
    let assembly = store.assembly().unwrap();
    let made = layer(&assembly, b"content");
    drop(assembly);
    // The builder was killed, and the system runs on: all it made is whole.
    assert!(store.recover(&Unknown).is_err());
    install(&store, &name("app"), &[image("app")]).unwrap();
    // The system went down, and which layers containers stand on cannot be told.
    for mark in std::fs::read_dir(data.path().join("ingest")).unwrap() {
        std::fs::write(mark.unwrap().path(), "another run of the system").unwrap();
    }
    cut(data.path(), &made);
    assert!(store.recover(&Unknown).is_err());
    for error in [
        install(&store, &name("app"), &[image("app")]).unwrap_err(),
        store.assembly().unwrap_err(),
    ] {
        assert_eq!(error.class(), Class::Conflict);
        assert_eq!(error.hints(), ["berth system check --repair"]);
    }
    // What has a name was written to disk before it had it.
    assert!(store.find("app", None).unwrap().layers()[0].is_dir());
    store.recover(&NoContainers).unwrap();
    install(&store, &name("other"), &[image("other")]).unwrap();
}
