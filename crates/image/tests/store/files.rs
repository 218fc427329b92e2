//! The files of an image: read, copied into volumes, mounted.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use berth_contract::{Class, Rootfs};
use berth_image::{Image, Merged, Store, copy_tree, install, prepare_overlay};

use crate::{image, name, store};

fn native(store: &Store) -> Image {
    install(store, &name("files"), &[image("tool")]).unwrap();
    store.find("files", None).unwrap()
}

#[test]
fn files_are_read_within_the_image() {
    let (_data, store) = store();
    let image = native(&store);
    let files = image.files().unwrap();
    assert_eq!(files.read(Path::new("/sh"), 100).unwrap().unwrap(), b"tool");
    assert_eq!(image.read_head(Path::new("sh/../sh")).unwrap(), None);
    assert_eq!(
        image
            .read_head(Path::new("../../bin/tool"))
            .unwrap()
            .unwrap(),
        b"tool"
    );
    assert!(files.open_file(Path::new("/loop")).is_err());
    // The link leads to the image's own /etc/passwd, which is not there.
    assert!(files.open_file(Path::new("/out")).unwrap().is_none());
    assert!(files.open_file(Path::new("/bin")).unwrap().is_none());
    assert_eq!(
        files.read(Path::new("/sh"), 2).unwrap_err().class(),
        Class::Invalid
    );
}

#[test]
fn merged_layers_look_as_overlayfs_shows_them() {
    let (data, store) = store();
    let image = native(&store);
    let upper = data.path().join("upper");
    std::fs::create_dir_all(upper.join("bin")).unwrap();
    let status = std::process::Command::new("mknod")
        .arg(upper.join("bin/tool"))
        .args(["c", "0", "0"])
        .status();
    assert!(status.unwrap().success());
    std::fs::write(upper.join("bin/new"), "new").unwrap();
    let mut layers = vec![upper];
    layers.extend(image.layers());
    let merged = Merged::open(&layers).unwrap();
    assert!(merged.open_file(Path::new("/bin/tool")).unwrap().is_none());
    assert!(merged.open_file(Path::new("/sh")).unwrap().is_none());
    assert_eq!(
        merged.read(Path::new("/bin/new"), 9).unwrap().unwrap(),
        b"new"
    );
    let volume = data.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    assert!(copy_tree(&merged, Path::new("/"), &volume).unwrap());
    let copied: Vec<_> = std::fs::read_dir(volume.join("bin"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(copied, ["new"]);
    assert_eq!(
        std::fs::read_link(volume.join("out")).unwrap(),
        Path::new("../../../../etc/passwd")
    );
}

#[test]
fn a_volume_gets_content_from_within_the_image_only() {
    let (data, store) = store();
    let image = native(&store);
    let files = image.files().unwrap();
    let volume = data.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    for nothing in ["/../../etc", "/out", "/missing", "/bin/tool"] {
        assert!(
            !copy_tree(&files, Path::new(nothing), &volume).unwrap(),
            "{nothing}"
        );
    }
    assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 0);
    assert!(copy_tree(&files, Path::new("/bin"), &volume).unwrap());
    let tool = volume.join("tool").metadata().unwrap();
    assert_eq!((tool.mode() & 0o7777, tool.mtime()), (0o755, 0));
}

#[test]
fn an_overlay_is_prepared_with_the_roots_own_attributes() {
    let (data, store) = store();
    let image = native(&store);
    std::fs::set_permissions(&image.layers()[0], std::fs::Permissions::from_mode(0o751)).unwrap();
    let container = data.path().join("container");
    std::fs::create_dir(&container).unwrap();
    let rootfs = prepare_overlay(image.layers(), &container, true).unwrap();
    let Rootfs::Overlay {
        lowers,
        upper,
        work,
        volatile,
    } = rootfs
    else {
        panic!()
    };
    assert_eq!(
        (lowers, volatile, work.is_dir()),
        (image.layers(), true, true)
    );
    assert_eq!(upper.metadata().unwrap().mode() & 0o7777, 0o751);
}
