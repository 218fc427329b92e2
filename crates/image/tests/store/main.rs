//! The promises of the store: names, ids, removal, collection, damage, volumes, archives.

#![expect(clippy::unwrap_used, reason = "what a test needs in order to begin")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Rootfs};
use berth_image::{
    ContainerConfig, Containers, FileEntry, Image, ImageBuilder, ImportOptions, LoadOptions,
    Merged, NoContainers, Platform, Reference, Removed, Silent, Store, Use, copy_tree, import,
    install, load, prepare_overlay,
};

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn image(content: &str) -> ImageBuilder {
    let mut image = ImageBuilder::new(Platform::host());
    image.files = vec![
        FileEntry::Directory {
            path: "bin".into(),
            mode: 0o755,
        },
        FileEntry::File {
            path: "bin/tool".into(),
            mode: 0o755,
            content: content.into(),
        },
        FileEntry::Symlink {
            path: "sh".into(),
            target: "/bin/../bin/tool".into(),
        },
        FileEntry::Symlink {
            path: "loop".into(),
            target: "loop".into(),
        },
        FileEntry::Symlink {
            path: "out".into(),
            target: "../../../../etc/passwd".into(),
        },
    ];
    image
}

fn store() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    (data, store)
}

fn count(data: &tempfile::TempDir, directory: &str) -> usize {
    std::fs::read_dir(data.path().join(directory))
        .unwrap()
        .count()
}

/// Containers that use one image.
struct Using(Digest, bool, Vec<PathBuf>);

impl Containers for Using {
    fn using(&self, image: &Digest) -> Vec<Use> {
        let user = Use {
            container: "abc".into(),
            running: self.1,
        };
        if *image == self.0 {
            vec![user]
        } else {
            Vec::new()
        }
    }

    fn layers(&self) -> Vec<PathBuf> {
        self.2.clone()
    }
}

#[test]
fn images_are_found_by_every_name_they_have() {
    let (_data, store) = store();
    assert_eq!(
        store.find("nothing", None).unwrap_err().class(),
        Class::NotFound
    );
    install(&store, &name("app:1"), &[image("a")]).unwrap();
    let found = store.find("app:1", None).unwrap();
    let id = found.id().clone();
    let pinned = format!("app@{}", found.target());
    for text in [
        "app:1",
        "docker.io/library/app:1",
        id.as_str(),
        id.hex(),
        id.short(),
        &id.hex()[..1],
        &pinned,
    ] {
        assert_eq!(store.find(text, None).unwrap().id(), &id, "{text}");
    }
    for text in [
        "app",
        "app:2",
        "other@sha256:",
        "",
        "UPPER",
        &format!("other@{}", found.target()),
    ] {
        assert!(store.find(text, None).is_err(), "{text}");
    }
    store.tag(&found, &name("localhost:5000/me/app:2")).unwrap();
    let names: Vec<String> = store
        .find("app:1", None)
        .unwrap()
        .names()
        .iter()
        .map(Reference::familiar)
        .collect();
    assert_eq!(names, ["app:1", "localhost:5000/me/app:2"]);
}

#[test]
fn an_ambiguous_beginning_is_refused() {
    let (_data, store) = store();
    let mut first: Vec<u8> = Vec::new();
    for number in 0..40 {
        install(
            &store,
            &name(&format!("x:{number}")),
            &[image(&number.to_string())],
        )
        .unwrap();
        let letter = store
            .find(&format!("x:{number}"), None)
            .unwrap()
            .id()
            .hex()
            .as_bytes()[0];
        if first.contains(&letter) {
            let error = store
                .find(&char::from(letter).to_string(), None)
                .unwrap_err();
            assert_eq!(error.class(), Class::Invalid);
            return;
        }
        first.push(letter);
    }
    panic!("forty ids with sixteen first letters");
}

#[test]
fn removing_follows_dockers_rules() {
    let (data, store) = store();
    install(&store, &name("a:1"), &[image("a")]).unwrap();
    let found = store.find("a:1", None).unwrap();
    let id = found.id().clone();
    store.tag(&found, &name("b:1")).unwrap();
    // One of several names goes, the image stays.
    assert_eq!(
        store.remove("b:1", false, &NoContainers).unwrap(),
        [Removed::Untagged("b:1".into())]
    );
    store.tag(&found, &name("b:1")).unwrap();
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
    assert_eq!((count(&data, "layers"), count(&data, "trash")), (1, 0));
}

#[test]
fn a_name_that_moves_leaves_a_dangling_image() {
    let (_data, store) = store();
    install(&store, &name("app"), &[image("old")]).unwrap();
    let old = store.find("app", None).unwrap();
    install(&store, &name("app"), &[image("new")]).unwrap();
    assert_ne!(store.find("app", None).unwrap().id(), old.id());
    let dangling = store.find(old.id().short(), None).unwrap();
    assert!(dangling.names().is_empty());
    assert_eq!(
        dangling.digests()[0].familiar(),
        format!("app@{}", old.target())
    );
    assert_eq!(store.collect(&NoContainers).unwrap(), 0);
    store.tag(&dangling, &name("saved")).unwrap();
    assert_eq!(store.list().unwrap().images.len(), 2);
    assert_eq!(store.find("saved", None).unwrap().id(), old.id());
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

fn tar(entries: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, link, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        match link {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target).unwrap();
            }
            None => builder.append_data(&mut header, path, *content).unwrap(),
        }
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_root_file_system_is_imported_with_its_changes() {
    let (_data, store) = store();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tar(&[("etc/hostname", None, b"box")])).unwrap();
    let config = ContainerConfig {
        cmd: Some(vec!["sh".into()]),
        ..ContainerConfig::default()
    };
    let options = ImportOptions {
        name: Some(name("rootfs:1")),
        message: Some("from debootstrap".into()),
        config,
        ..ImportOptions::default()
    };
    let image = import(&store, gzip.finish().unwrap().as_slice(), &options).unwrap();
    assert_eq!(image.names()[0].familiar(), "rootfs:1");
    assert_eq!(image.config().config.cmd.as_deref().unwrap(), ["sh"]);
    assert_eq!(
        image.config().history[0].comment.as_deref(),
        Some("from debootstrap")
    );
    assert!(image.manifest().layers[0].media_type.ends_with("gzip"));
    assert_eq!(
        image
            .read_head(Path::new("/etc/hostname"))
            .unwrap()
            .unwrap(),
        b"box"
    );
    let nothing = import(&store, &b""[..], &ImportOptions::default());
    assert_eq!(nothing.unwrap_err().class(), Class::Invalid);
    assert!(import(&store, &b"not a tar"[..], &ImportOptions::default()).is_err());
    assert_eq!(store.list().unwrap().images.len(), 1);
}

#[test]
fn old_docker_archives_with_linked_layers_load() {
    let (_data, store) = store();
    let layer = tar(&[("file", None, b"x")]);
    let diff = digest(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff}","{diff}"]}}}}"#
    );
    let config_name = format!(
        "{}.json",
        digest(config.as_bytes()).strip_prefix("sha256:").unwrap()
    );
    let manifest = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["old:1","old:2"],"Layers":["a/layer.tar","b/layer.tar"]}},
            {{"Config":"{config_name}","RepoTags":null,"Layers":["a/layer.tar","b/layer.tar"]}}]"#
    );
    let entries: Vec<(&str, Option<&str>, &[u8])> = vec![
        ("a/layer.tar", None, &layer),
        ("b/layer.tar", Some("../a/layer.tar"), b""),
        (&config_name, None, config.as_bytes()),
        ("manifest.json", None, manifest.as_bytes()),
    ];
    let loaded = load(
        &store,
        tar(&entries).as_slice(),
        &LoadOptions::default(),
        &Silent,
    )
    .unwrap();
    assert_eq!(loaded[0].names, [name("old:1"), name("old:2")]);
    assert_eq!(store.find("old:2", None).unwrap().layers().len(), 2);
    let wrong = tar(&[
        entries[0],
        entries[1],
        (&config_name, None, b"{}"),
        entries[3],
    ]);
    let error = load(&store, wrong.as_slice(), &LoadOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    for archive in [
        tar(&[("x", None, b"")]),
        tar(&[entries[3]]),
        tar(&[("manifest.json", Some("manifest.json"), b"")]),
    ] {
        assert_eq!(
            load(&store, archive.as_slice(), &LoadOptions::default(), &Silent)
                .unwrap_err()
                .class(),
            Class::Invalid
        );
    }
}

/// The digest of some bytes, by way of a program that is not ours.
fn digest(bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let output = std::process::Command::new("sha256sum")
        .arg(file.path())
        .output()
        .unwrap();
    format!(
        "sha256:{}",
        &String::from_utf8(output.stdout).unwrap()[..64]
    )
}

#[test]
fn directories_nobody_described_are_open_to_all() {
    let (data, store) = store();
    let archive = tar(&[("deep/er/file", None, b"x")]);
    let image = import(&store, archive.as_slice(), &ImportOptions::default()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!(mode(&image.layers()[0]), 0o755);
    assert_eq!(mode(&image.layers()[0].join("deep/er")), 0o755);
    assert_eq!(mode(&data.path().join("layers/empty")), 0o755);
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
