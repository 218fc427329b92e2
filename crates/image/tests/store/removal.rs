//! Removing images, and collecting what nothing leads to.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use berth_contract::{Class, Digest, Result};
use berth_image::{Containers, NoContainers, Removed, Use, install};

use crate::{Using, count, image, name, store};

#[test]
fn removing_follows_dockers_rules() {
    let (data, store) = store();
    install(&store, &name("a:1"), &[image("a")]).unwrap();
    let found = store.find("a:1", None).unwrap();
    let id = found.id().clone();
    store.tag(found.target(), &name("b:1")).unwrap();
    // One of several names goes, the image stays.
    assert_eq!(
        store.remove("b:1", false, &NoContainers).unwrap(),
        [Removed::Untagged("b:1".into())]
    );
    store.tag(found.target(), &name("b:1")).unwrap();
    // By id it has to be forced.
    assert_eq!(
        store
            .remove(id.short(), false, &NoContainers)
            .unwrap_err()
            .class(),
        Class::Conflict
    );
    store.remove("b:1", false, &NoContainers).unwrap();
    let stopped = Using(id.clone(), false, found.layers());
    assert_eq!(
        store.remove("a:1", false, &stopped).unwrap_err().class(),
        Class::Conflict
    );
    let running = Using(id.clone(), true, found.layers());
    assert_eq!(
        store
            .remove(id.short(), true, &running)
            .unwrap_err()
            .class(),
        Class::Conflict
    );
    // Forced by name, a running container's image stays without a name.
    store.remove("a:1", true, &running).unwrap();
    assert!(store.find(id.short(), None).unwrap().names().is_empty());
    assert_eq!(store.list().unwrap().images.len(), 1);
    // Forced by id with a stopped container, the image goes and the container's layers stay.
    let removed = store.remove(id.short(), true, &stopped).unwrap();
    assert!(removed.contains(&Removed::Deleted(id)));
    assert!(found.layers()[0].exists());
    assert_eq!(count(&data, "oci/blobs/sha256"), 0);
    store.collect(&NoContainers).unwrap();
    assert!(!found.layers()[0].exists());
    assert!(store.has_trash());
    store.empty_trash();
    assert_eq!((count(&data, "layers"), count(&data, "trash")), (1, 0));
}

#[test]
fn equal_layers_are_kept_once_and_until_their_last_image_goes() {
    let (data, store) = store();
    let mut other = image("same");
    other.config.cmd = Some(vec!["x".into()]);
    install(&store, &name("a"), &[image("same")]).unwrap();
    install(&store, &name("b"), &[other]).unwrap();
    // The layer, its size, and the empty one.
    assert_eq!(count(&data, "layers"), 3);
    store.remove("a", false, &NoContainers).unwrap();
    let left = store.find("b", None).unwrap();
    assert_eq!((left.layers()[0].exists(), left.size()), (true, 4));
    for private in ["layers", "oci", "ingest"] {
        assert_eq!(
            data.path().join(private).metadata().unwrap().mode() & 0o077,
            0,
            "{private}"
        );
    }
}

#[test]
fn unfinished_downloads_survive_a_removal_but_not_a_collection() {
    let (data, store) = store();
    install(&store, &name("a"), &[image("a")]).unwrap();
    let partial = data
        .path()
        .join("ingest")
        .join(format!("{}.partial", "0".repeat(64)));
    std::fs::write(&partial, "half").unwrap();
    store.remove("a", false, &NoContainers).unwrap();
    assert!(partial.exists());
    assert!(store.collect(&NoContainers).unwrap() > 0);
    assert!(!partial.exists());
}

#[test]
fn what_a_killed_process_left_is_swept() {
    let (data, store) = store();
    install(&store, &name("a"), &[image("a")]).unwrap();
    let left = data.path().join("ingest/new-0123456789abcdef/layer-1");
    std::fs::create_dir_all(&left).unwrap();
    {
        // While somebody is at work nothing is swept.
        let _hold = store.hold().unwrap();
        install(&store, &name("b"), &[image("b")]).unwrap();
        assert!(left.exists());
        assert_eq!(store.collect(&NoContainers).unwrap(), 0);
    }
    install(&store, &name("c"), &[image("c")]).unwrap();
    assert!(!left.exists());
    assert_eq!(count(&data, "ingest"), 0);
}

/// A container that is recorded at the last moment at which nobody holds the store's lock.
struct JustMade {
    lock: PathBuf,
    layers: Vec<PathBuf>,
}

impl Containers for JustMade {
    fn using(&self, _image: &Digest) -> Result<Vec<Use>> {
        Ok(Vec::new())
    }

    fn layers(&self) -> Result<Vec<PathBuf>> {
        let lock = File::open(&self.lock).unwrap();
        // Before the store has its lock there is no such container.
        Ok(match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => self.layers.clone(),
            _ => Vec::new(),
        })
    }
}

#[test]
fn containers_are_asked_beneath_the_lock() {
    let (data, store) = store();
    install(&store, &name("a"), &[image("a")]).unwrap();
    let layers = store.find("a", None).unwrap().layers();
    let made = JustMade {
        lock: data.path().join("images.lock"),
        layers: layers.clone(),
    };
    store.remove("a", true, &made).unwrap();
    assert!(layers[0].is_dir());
    store.collect(&made).unwrap();
    assert!(layers[0].is_dir());
}
