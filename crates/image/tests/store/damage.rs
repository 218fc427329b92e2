//! What is damaged, and what is no image that can be run.

use berth_contract::Class;
use berth_image::{ImageBuilder, Platform, install};

use crate::{image, name, store};

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
    std::fs::write(data.path().join("oci/index.json"), "{\"manifests\":").unwrap();
    let error = store.find("good", None).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(
        store.find("good", None).unwrap_err().class(),
        Class::NotFound
    );
    install(&store, &name("good"), &[image("good")]).unwrap();
    assert!(store.find("good", None).is_ok());
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
