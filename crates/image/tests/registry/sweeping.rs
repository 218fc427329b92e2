//! A served store that is swept while a manifest comes in.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use berth_image::{Reference, install};

use crate::native;
use crate::served::{Served, try_put};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Whether somebody in this process waits for the lock on a file (`/proc/locks`).
fn is_awaited(lock: &File) -> bool {
    let inode = format!(":{} ", lock.metadata().unwrap().ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let mut lines = locks.lines();
    lines.any(|line| line.contains(" -> ") && line.contains(&inode))
}

#[test]
fn a_manifest_whose_blobs_are_swept_meanwhile_is_refused() {
    let served = Served::start();
    let app = Reference::parse("app").unwrap();
    install(&served.store(), &app, &[native()]).unwrap();
    let digest = served.store().find("app", None).unwrap().target().clone();
    let blobs = served.path().join("oci/blobs/sha256");
    let manifest = std::fs::read_to_string(blobs.join(digest.hex())).unwrap();
    let lock = File::open(served.path().join("images.lock")).unwrap();
    lock.lock().unwrap();
    let again = served.name("again:1");
    let status = std::thread::scope(|scope| {
        let put = scope.spawn(|| try_put(&again, MANIFEST, manifest));
        while !is_awaited(&lock) {
            assert!(!put.is_finished(), "it did not wait for whoever sweeps");
            std::thread::yield_now();
        }
        // What a sweep does that nothing keeps from it.
        for blob in std::fs::read_dir(&blobs).unwrap() {
            std::fs::remove_file(blob.unwrap().path()).unwrap();
        }
        lock.unlock().unwrap();
        put.join().unwrap()
    });
    assert_eq!(status, 400, "its blobs are not known");
}
