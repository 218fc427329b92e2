//! What is damaged, and what is no image that can be run.

use std::path::PathBuf;

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{CheckOptions, Containers, ImageBuilder, NoContainers, Platform, Use, install};

use crate::{count, image, name, store};

#[test]
fn damage_is_set_aside_and_does_not_stop_the_rest() {
    let (data, store) = store();
    install(&store, &name("good"), &[image("good")]).unwrap();
    install(&store, &name("bad"), &[image("bad")]).unwrap();
    let bad = store.find("bad", None).unwrap();
    let blob = data.path().join("oci/blobs/sha256").join(bad.id().hex());
    std::fs::write(&blob, "{}").unwrap();
    let listing = store.list().unwrap();
    assert_eq!((listing.images.len(), listing.damaged.len()), (1, 1));
    assert!(!blob.exists());
    let error = store.find("bad", None).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(store.find("good", None).is_ok());
}

#[test]
fn a_damaged_list_of_images_stays_visible_until_it_is_repaired() {
    for lost in [false, true] {
        let (data, store) = store();
        install(&store, &name("one"), &[image("one")]).unwrap();
        let digest = store.find("one", None).unwrap().manifest_digest().clone();
        let index = data.path().join("oci/index.json");
        if lost {
            std::fs::remove_file(&index).unwrap();
        } else {
            std::fs::write(&index, "garbage").unwrap();
        }
        let blobs = count(&data, "oci/blobs/sha256");
        for _ in 0..2 {
            let error = store.list().unwrap_err();
            assert!(error.to_string().contains("damaged"), "{error}");
            assert_eq!(error.hints(), ["berth system check --repair"]);
            assert!(store.collect(&NoContainers).is_err());
            assert!(install(&store, &name("two"), &[image("one")]).is_err());
        }
        assert_eq!(count(&data, "oci/blobs/sha256"), blobs);
        let found = store.check(CheckOptions::default()).unwrap();
        assert_eq!((found.len(), found[0].repaired), (1, None));
        let repair = CheckOptions {
            repair: true,
            ..CheckOptions::default()
        };
        let found = store.check(repair).unwrap();
        assert!(found[0].repaired.is_some(), "{found:?}");
        store.collect(&NoContainers).unwrap();
        let left = store.list().unwrap().images;
        assert_eq!((left.len(), left[0].manifest_digest()), (1, &digest));
        assert!(left[0].layers()[0].is_dir());
        assert!(store.check(repair).unwrap().is_empty());
    }
}

#[test]
fn what_cannot_be_read_keeps_everything() {
    let (data, store) = store();
    install(&store, &name("one"), &[image("one")]).unwrap();
    install(&store, &name("two"), &[image("two")]).unwrap();
    let one = store.find("one", None).unwrap();
    let blobs = data.path().join("oci/blobs/sha256");
    let before = (count(&data, "oci/blobs/sha256"), count(&data, "layers"));
    for digest in [one.manifest_digest(), one.id()] {
        // Opening a link to itself fails even for root, and says nothing of what the blob is.
        let (blob, aside) = (blobs.join(digest.hex()), data.path().join("aside"));
        std::fs::rename(&blob, &aside).unwrap();
        std::os::unix::fs::symlink(&blob, &blob).unwrap();
        assert!(store.collect(&NoContainers).is_err());
        assert!(store.remove("two", false, &Unknown).is_err());
        std::fs::remove_file(&blob).unwrap();
        std::fs::rename(&aside, &blob).unwrap();
        assert_eq!(
            (count(&data, "oci/blobs/sha256"), count(&data, "layers")),
            before
        );
    }
    // Nor is anything collected that a container might stand on.
    assert!(store.collect(&Unknown).is_err());
    assert_eq!(store.collect(&NoContainers).unwrap(), 0);
}

/// Containers nobody can tell anything of.
pub(crate) struct Unknown;

impl Containers for Unknown {
    fn using(&self, _image: &Digest) -> Result<Vec<Use>> {
        Err(Error::new(Class::Internal, "cannot list containers"))
    }

    fn layers(&self) -> Result<Vec<PathBuf>> {
        Err(Error::new(Class::Internal, "cannot list containers"))
    }
}

#[test]
fn modules_that_cannot_be_run_are_refused_by_name() {
    let (_data, store) = store();
    let mut package = ImageBuilder::new(Platform::new("wasip2", "wasm"));
    package.module = Some(b"\0asm\x0d\0\x01\0".to_vec());
    install(&store, &name("wit"), &[package]).unwrap();
    let found = store.find("wit", None).unwrap();
    assert!(found.layers()[0].ends_with("layers/empty"));
    let error = found.check_runnable().unwrap_err();
    assert_eq!(error.class(), Class::Unsupported);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("interface package"), "{cause}");
}
