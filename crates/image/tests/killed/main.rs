//! `kill -9` at every step of adding and removing: nothing stays that a collection cannot free.
//!
//! The test runs itself once more as the process that dies; a program of its own, because a child that is
//! being started holds the locks of all tests beside it until it executes.

#![expect(clippy::unwrap_used, reason = "what a test needs in order to begin")]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use berth_image::{
    CheckOptions, FileEntry, ImageBuilder, NoContainers, Platform, Reference, Store, install,
};

const POINT: &str = "BERTH_TEST_FAULT_POINT";
const DATA: &str = "BERTH_TEST_DATA";

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn image(content: &str) -> ImageBuilder {
    let mut image = ImageBuilder::new(Platform::host());
    image.files = vec![FileEntry::File {
        path: "file".into(),
        mode: 0o644,
        content: content.into(),
    }];
    image
}

/// What the process that dies does; nothing when nobody asks it to.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how the process that dies is told where"
)]
fn victim() {
    let (Some(point), Some(data)) = (std::env::var_os(POINT), std::env::var_os(DATA)) else {
        return;
    };
    berth_sys::fault::arm(&point.to_string_lossy());
    let store = Store::open(Path::new(&data));
    install(&store, &name("new"), &[image("new")]).unwrap();
    store.remove("old", true, &NoContainers).unwrap();
    store.empty_trash();
}

fn names(data: &Path, folder: &str) -> usize {
    std::fs::read_dir(data.join(folder)).unwrap().count()
}

#[test]
fn nothing_is_left_wherever_it_strikes() {
    for point in [
        "publish-begin",
        "publish-layer-size",
        "publish-layers",
        "publish-blob",
        "publish-complete",
        "index-aside",
        "index-replaced",
        "remove-unnamed",
        "collect-discarding",
        "trash-deleting",
    ] {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path());
        install(&store, &name("old"), &[image("old")]).unwrap();
        install(&store, &name("kept"), &[image("kept")]).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim"])
            .env(POINT, point)
            .env(DATA, data.path())
            .stdout(std::process::Stdio::null())
            .status();
        assert_eq!(
            status.unwrap().signal(),
            Some(9),
            "{point} is a place where it can die"
        );
        // What is visible is complete, whatever it is.
        let findings = store.check(CheckOptions::default()).unwrap();
        assert!(findings.is_empty(), "{point}: {findings:?}");
        assert!(store.find("kept", None).is_ok(), "{point}");
        for image in store.list().unwrap().images {
            let text = image.id().to_string();
            store.remove(&text, true, &NoContainers).unwrap();
        }
        store.collect(&NoContainers).unwrap();
        store.empty_trash();
        let left: Vec<usize> = ["oci/blobs/sha256", "ingest", "trash"]
            .iter()
            .map(|folder| names(data.path(), folder))
            .collect();
        assert_eq!(left, [0, 0, 0], "{point}");
        assert_eq!(
            names(data.path(), "layers"),
            1,
            "{point}: the empty layer alone"
        );
        // The index, the layout file and the blobs; nothing half-written beside them.
        assert_eq!(names(data.path(), "oci"), 3, "{point}");
    }
}
