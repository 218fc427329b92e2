//! Pulling from a real registry (Debian's `docker-registry`) that skopeo filled, and from one that misbehaves.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "what a test needs in order to begin"
)]

mod artifacts;
mod closure;
mod compose;
mod conformance;
mod content;
mod faulty;
mod foreign;
mod hostile;
mod hosts;
mod lists;
mod push;
mod search;
mod secure;
mod served;
mod server;
mod shares;
mod signatures;
mod sweeping;
mod through;
mod tokens;

use std::io::Read as _;
use std::path::Path;

use berth_contract::Class;
use berth_image::{
    Credentials, FileEntry, ImageBuilder, LoadOptions, Login, NoContainers, Platform, PullOptions,
    PullPolicy, Reference, Silent, Store, install, load, pull,
};
use server::{Registry, skopeo};

pub(crate) fn file(path: &str, mode: u32, content: &[u8]) -> FileEntry {
    FileEntry::File {
        path: path.into(),
        mode,
        content: content.to_vec(),
    }
}

pub(crate) fn native() -> ImageBuilder {
    let mut image = ImageBuilder::new(Platform::host());
    image.config.entrypoint = Some(vec!["/bin/hello".into()]);
    image.files = vec![
        file("bin/hello", 0o4755, b"\x7fELF native"),
        file("etc/name", 0o600, b"native\n"),
        file("pad", 0o644, &[7; 20_000]),
    ];
    image
}

pub(crate) fn wasm() -> ImageBuilder {
    let mut image = ImageBuilder::new(Platform::new("wasip1", "wasm"));
    image.module = Some(b"\0asm\x01\0\0\0".to_vec());
    image
}

/// A store with both kinds under one name, and a registry that skopeo copied them to.
fn published(
    registry: &Registry,
    name: &str,
    images: &[ImageBuilder],
) -> (tempfile::TempDir, Reference) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let local = Reference::parse("source:latest").unwrap();
    install(&store, &local, images).unwrap();
    let source = format!("oci:{}:latest", data.path().join("oci").display());
    let target = format!("docker://{}/{name}", registry.address);
    skopeo(&[
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        &source,
        &target,
    ]);
    (
        data,
        Reference::parse(&format!("{}/{name}", registry.address)).unwrap(),
    )
}

pub(crate) fn read(image: &berth_image::Image, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    image
        .open_file(Path::new(path))
        .unwrap()
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

#[test]
fn an_index_gives_the_native_image_and_on_request_the_wasm_one() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let (source, reference) = published(&registry, "team/app:1", &[native(), wasm()]);
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let pulled = pull(&store, &reference, &PullOptions::default(), &Silent).unwrap();
    assert!(pulled.updated);
    assert_eq!(read(&pulled.image, "/etc/name"), b"native\n");
    let original = Store::open(source.path()).find("source", None).unwrap();
    assert_eq!(pulled.image.id(), original.id());
    assert_eq!(pulled.image.target(), original.target());
    let again = pull(&store, &reference, &PullOptions::default(), &Silent).unwrap();
    assert!(!again.updated);
    let wasm_platform: Platform = "wasi/wasm".parse().unwrap();
    assert_eq!(
        store
            .find(&reference.to_string(), Some(&wasm_platform))
            .unwrap_err()
            .class(),
        Class::NotFound
    );
    let options = PullOptions {
        platform: Some(wasm_platform),
        ..PullOptions::default()
    };
    let module = pull(&store, &reference, &options, &Silent).unwrap().image;
    assert_eq!(
        std::fs::read(module.module().unwrap()).unwrap(),
        b"\0asm\x01\0\0\0"
    );
    assert!(module.check_runnable().is_ok());
    // Both stay, and without a wish the native one is meant.
    assert_eq!(store.list().unwrap().images.len(), 2);
    assert!(
        store
            .find(&reference.familiar(), None)
            .unwrap()
            .module()
            .is_none()
    );
    let missing: Platform = "linux/s390x".parse().unwrap();
    let options = PullOptions {
        platform: Some(missing),
        ..PullOptions::default()
    };
    assert_eq!(
        pull(&store, &reference, &options, &Silent)
            .unwrap_err()
            .class(),
        Class::NotFound
    );
}

#[test]
fn dockers_documents_and_compressed_layers_pull_too() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let (source, _) = published(&registry, "plain:1", &[native()]);
    let layout = format!("oci:{}:latest", source.path().join("oci").display());
    for (name, arguments) in [
        ("v2s2", &["--format", "v2s2"][..]),
        (
            "zstd",
            &["--dest-compress-format", "zstd", "--dest-compress"],
        ),
        (
            "gzip",
            &["--dest-compress-format", "gzip", "--dest-compress"],
        ),
    ] {
        let target = format!("docker://{}/converted:{name}", registry.address);
        let mut all = vec!["copy", "--dest-tls-verify=false"];
        all.extend(arguments);
        all.extend([layout.as_str(), target.as_str()]);
        skopeo(&all);
        let data = tempfile::tempdir().unwrap();
        let reference =
            Reference::parse(&format!("{}/converted:{name}", registry.address)).unwrap();
        let image = pull(
            &Store::open(data.path()),
            &reference,
            &PullOptions::default(),
            &Silent,
        )
        .unwrap()
        .image;
        assert_eq!(read(&image, "etc/name"), b"native\n", "{name}");
    }
}

#[test]
fn what_is_missing_is_told_in_the_registrys_words() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let reference = Reference::parse(&format!("{}/nothing:1", registry.address)).unwrap();
    let error = pull(&store, &reference, &PullOptions::default(), &Silent).unwrap_err();
    assert_eq!(error.class(), Class::NotFound);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("GET http://127.0.0.1") && cause.contains("MANIFEST_UNKNOWN"),
        "{cause}"
    );
    let never = PullOptions {
        policy: PullPolicy::Never,
        ..PullOptions::default()
    };
    assert_eq!(
        pull(&store, &reference, &never, &Silent)
            .unwrap_err()
            .class(),
        Class::NotFound
    );
    assert!(store.list().unwrap().images.is_empty());
}

#[test]
fn https_is_spoken_where_it_is_offered() {
    let Some(registry) = Registry::start_secure() else {
        return;
    };
    let (_source, reference) = published(&registry, "secure:1", &[native()]);
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let pulled = pull(&store, &reference, &PullOptions::default(), &Silent).unwrap();
    assert_eq!(read(&pulled.image, "etc/name"), b"native\n");
}

#[test]
fn basic_authentication() {
    let Some(registry) = Registry::start(true) else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let source = Store::open(data.path());
    install(&source, &Reference::parse("source").unwrap(), &[native()]).unwrap();
    let layout = format!("oci:{}:latest", data.path().join("oci").display());
    let target = format!("docker://{}/private:1", registry.address);
    skopeo(&[
        "copy",
        "--dest-tls-verify=false",
        "--dest-creds",
        "me:secret",
        &layout,
        &target,
    ]);
    let reference = Reference::parse(&format!("{}/private:1", registry.address)).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let store = Store::open(fresh.path());
    let error = pull(&store, &reference, &PullOptions::default(), &Silent).unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    let mut options = PullOptions::default();
    let login = |password: &str| Login::Password {
        username: "me".into(),
        password: password.into(),
    };
    options
        .access
        .credentials
        .insert(&registry.address, login("wrong"));
    assert_eq!(
        pull(&store, &reference, &options, &Silent)
            .unwrap_err()
            .class(),
        Class::Denied
    );
    options.access.credentials = Credentials::default();
    options
        .access
        .credentials
        .insert(&registry.address, login("secret"));
    assert!(pull(&store, &reference, &options, &Silent).unwrap().updated);
}

#[test]
fn two_pulls_at_once_of_the_same_image() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let (_source, reference) = published(&registry, "twice:1", &[native()]);
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| pull(&store, &reference, &PullOptions::default(), &Silent).unwrap())
            })
            .collect();
        for pulled in pulls {
            assert_eq!(read(&pulled.join().unwrap().image, "etc/name"), b"native\n");
        }
    });
    assert_eq!(store.list().unwrap().images.len(), 1);
    let leftovers: Vec<_> = std::fs::read_dir(data.path().join("ingest"))
        .unwrap()
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn a_corrupted_blob_is_refused_and_nothing_is_kept() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let (_source, reference) = published(&registry, "damaged:1", &[native()]);
    registry.corrupt_largest_blob();
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let error = pull(&store, &reference, &PullOptions::default(), &Silent).unwrap_err();
    assert_eq!(error.class(), Class::Invalid, "{error:?}");
    assert!(store.list().unwrap().images.is_empty());
    assert_eq!(
        std::fs::read_dir(data.path().join("ingest"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(
        std::fs::read_dir(data.path().join("layers"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn archives_made_by_skopeo_load_and_damaged_ones_do_not() {
    let data = tempfile::tempdir().unwrap();
    install(
        &Store::open(data.path()),
        &Reference::parse("source").unwrap(),
        &[native()],
    )
    .unwrap();
    let layout = format!("oci:{}:latest", data.path().join("oci").display());
    for kind in ["docker-archive", "oci-archive"] {
        let archive = data.path().join(kind);
        if !skopeo(&[
            "copy",
            &layout,
            &format!("{kind}:{}:made/up:7", archive.display()),
        ]) {
            return;
        }
        let bytes = std::fs::read(&archive).unwrap();
        let compressed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        for bytes in [bytes.clone(), compressed] {
            let fresh = tempfile::tempdir().unwrap();
            let store = Store::open(fresh.path());
            let loaded = load(&store, bytes.as_slice(), &LoadOptions::default(), &Silent).unwrap();
            let names: Vec<String> = loaded[0].names.iter().map(Reference::familiar).collect();
            assert_eq!(
                (loaded.len(), names),
                (1, vec!["made/up:7".to_owned()]),
                "{kind}"
            );
            assert_eq!(
                read(&store.find("made/up:7", None).unwrap(), "etc/name"),
                b"native\n"
            );
            store.remove("made/up:7", false, &NoContainers).unwrap();
            assert_eq!(
                std::fs::read_dir(fresh.path().join("oci/blobs/sha256"))
                    .unwrap()
                    .count(),
                0
            );
        }
        let mut damaged = bytes.clone();
        let needle = b"native\n";
        let compressed = !damaged.windows(needle.len()).any(|window| window == needle);
        let at = if compressed {
            1024
        } else {
            damaged
                .windows(needle.len())
                .position(|window| window == needle)
                .unwrap()
        };
        damaged[at] ^= 1;
        let fresh = tempfile::tempdir().unwrap();
        let store = Store::open(fresh.path());
        assert!(
            load(&store, damaged.as_slice(), &LoadOptions::default(), &Silent).is_err(),
            "{kind}"
        );
        let half = &bytes[..bytes.len() / 2];
        assert!(
            load(&store, half, &LoadOptions::default(), &Silent).is_err(),
            "{kind}"
        );
        assert!(store.list().unwrap().images.is_empty());
        assert_eq!(
            std::fs::read_dir(fresh.path().join("ingest"))
                .unwrap()
                .count(),
            0
        );
    }
}
