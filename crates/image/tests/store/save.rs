//! What is saved loads again, with the same digests, in every format.

use std::collections::BTreeSet;
use std::path::Path;

use berth_contract::Class;
use berth_image::{
    ArchiveFormat, Compression, Conversion, Destination, DocumentStyle, ImageBuilder, LoadOptions,
    Platform, SaveOptions, Selector, Silent, Store, Transport, convert, install, load,
    load_directory, load_transport, save,
};

use crate::{image, name, store};

fn saved(store: &Store, names: &[&str], options: &SaveOptions) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut bytes = Vec::new();
    save(store, &names, options, Destination::Stream(&mut bytes)).unwrap();
    bytes
}

fn loaded(bytes: &[u8], options: &LoadOptions) -> (tempfile::TempDir, Store) {
    let (data, other) = store();
    load(&other, bytes, options, &Silent).unwrap();
    (data, other)
}

fn of(format: ArchiveFormat) -> SaveOptions {
    SaveOptions {
        format,
        ..SaveOptions::default()
    }
}

/// Every file of a tar by name.
fn listed(bytes: &[u8]) -> BTreeSet<String> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
        .collect()
}

/// A store with `both:1` for this host and for wasm, `app:1` and `app:2`.
fn full() -> (tempfile::TempDir, Store) {
    let (data, store) = store();
    let mut wasm = ImageBuilder::new(Platform::new("wasi", "wasm"));
    wasm.files = image("wasm").files;
    install(&store, &name("both:1"), &[image("native"), wasm]).unwrap();
    install(&store, &name("app:1"), &[image("one")]).unwrap();
    install(&store, &name("app:2"), &[image("two")]).unwrap();
    (data, store)
}

#[test]
fn one_archive_serves_docker_and_oci_tools() {
    let (_data, store) = full();
    let bytes = saved(&store, &["both:1", "app"], &SaveOptions::default());
    assert_eq!(
        bytes,
        saved(&store, &["both:1", "app"], &SaveOptions::default())
    );
    let names = listed(&bytes);
    for expected in [
        "oci-layout",
        "index.json",
        "manifest.json",
        "repositories",
        "blobs/sha256/",
    ] {
        assert!(names.contains(expected), "{expected} is in {names:?}");
    }
    let (_other, other) = loaded(&bytes, &LoadOptions::default());
    for text in ["both:1", "app:1", "app:2"] {
        let (before, after) = (
            store.find(text, None).unwrap(),
            other.find(text, None).unwrap(),
        );
        assert_eq!(before.target(), after.target(), "{text}");
        assert_eq!(before.id(), after.id(), "{text}");
        assert_eq!(before.size(), after.size(), "{text}");
    }
    let wasm = Platform::new("wasi", "wasm");
    assert!(
        other.find("both:1", Some(&wasm)).is_ok(),
        "both platforms are side by side"
    );
}

#[test]
fn names_and_ids_choose_what_is_saved() {
    let (_data, store) = full();
    let one = saved(&store, &["app:1"], &SaveOptions::default());
    let (_other, other) = loaded(&one, &LoadOptions::default());
    assert_eq!(other.list().unwrap().images.len(), 1);
    let id = store.find("app:2", None).unwrap().id().short().to_owned();
    let (_other, other) = loaded(
        &saved(&store, &[&id], &SaveOptions::default()),
        &LoadOptions::default(),
    );
    assert!(
        other.find(&id, None).unwrap().names().is_empty(),
        "an id saves no name"
    );
    let missing = ["nothing".to_owned()];
    let sink = &mut std::io::sink();
    let error = save(
        &store,
        &missing,
        &SaveOptions::default(),
        Destination::Stream(sink),
    );
    assert_eq!(error.unwrap_err().class(), Class::NotFound);
}

#[test]
fn one_platform_is_saved_and_loaded_alone() {
    let (_data, store) = full();
    let wasm = Platform::new("wasi", "wasm");
    let only = |platform: &str| SaveOptions {
        platforms: vec![platform.parse().unwrap()],
        ..SaveOptions::default()
    };
    let (_one, one) = loaded(
        &saved(&store, &["both:1"], &only("wasi/wasm")),
        &LoadOptions::default(),
    );
    assert_eq!(one.find("both:1", None).unwrap().platform(), &wasm);
    assert_eq!(one.list().unwrap().images.len(), 1);
    let sink = &mut std::io::sink();
    let absent = save(
        &store,
        &["both:1".into()],
        &only("linux/s390x"),
        Destination::Stream(sink),
    );
    assert_eq!(absent.unwrap_err().class(), Class::NotFound);
    let options = LoadOptions {
        platforms: vec![wasm],
        select: None,
    };
    let all = saved(&store, &["both:1"], &SaveOptions::default());
    let (_two, two) = loaded(&all, &options);
    assert_eq!(two.list().unwrap().images.len(), 1);
    let (_three, three) = crate::store();
    let options = LoadOptions {
        platforms: vec!["linux/s390x".parse().unwrap()],
        select: None,
    };
    let error = load(&three, all.as_slice(), &options, &Silent).unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
}

#[test]
fn every_format_comes_back_by_its_transport() {
    let (data, store) = full();
    let place = data.path().join("saved");
    std::fs::create_dir(&place).unwrap();
    let before = store.find("app:1", None).unwrap();
    for (transport, format) in [
        ("docker-archive", ArchiveFormat::DockerArchive),
        ("oci-archive", ArchiveFormat::OciArchive),
        ("oci", ArchiveFormat::OciDirectory),
        ("dir", ArchiveFormat::DockerDirectory),
    ] {
        let path = place.join(transport);
        if format.is_directory() {
            save(
                &store,
                &["app:1".into()],
                &of(format),
                Destination::Directory(&path),
            )
            .unwrap();
        } else {
            std::fs::write(&path, saved(&store, &["app:1"], &of(format))).unwrap();
        }
        let (_other, other) = crate::store();
        let text = format!("{transport}:{}", path.display());
        let found = Transport::parse(&text).unwrap().unwrap();
        let image = load_transport(&other, &found, Vec::new(), &Silent).unwrap();
        assert_eq!(&image.id, before.id(), "{transport}");
        let after = other.find(image.id.as_str(), None).unwrap();
        if format != ArchiveFormat::DockerArchive {
            assert_eq!(after.target(), before.target(), "{transport}");
        }
    }
    let two = place.join("two");
    std::fs::write(&two, saved(&store, &["app"], &SaveOptions::default())).unwrap();
    let transport = |select| Transport {
        format: ArchiveFormat::OciArchive,
        path: two.clone(),
        select,
    };
    let (_other, other) = crate::store();
    let several = load_transport(&other, &transport(None), Vec::new(), &Silent);
    assert_eq!(several.unwrap_err().class(), Class::Invalid);
    let chosen = transport(Some(Selector::Name("app:2".into())));
    let (_other, other) = crate::store();
    let chosen = load_transport(&other, &chosen, Vec::new(), &Silent).unwrap();
    assert_eq!(&chosen.id, store.find("app:2", None).unwrap().id());
    assert_eq!(other.list().unwrap().images.len(), 1);
    let missing = transport(Some(Selector::Position(7)));
    assert!(load_transport(&other, &missing, Vec::new(), &Silent).is_err());
    assert!(load_directory(&other, Path::new("/proc"), &LoadOptions::default(), &Silent).is_err());
}

#[test]
fn a_converted_image_is_the_same_image() {
    let (_data, store) = full();
    let source = store.find("app:1", None).unwrap();
    for (style, compression) in [
        (DocumentStyle::Docker, Compression::Gzip),
        (DocumentStyle::Oci, Compression::Zstd),
        (DocumentStyle::Oci, Compression::None),
    ] {
        let conversion = Conversion {
            style: Some(style),
            compression: Some(compression),
            ..Conversion::default()
        };
        convert(&store, "app:1", &name("converted"), &conversion).unwrap();
        let converted = store.find("converted", None).unwrap();
        assert_eq!(converted.id(), source.id(), "the config stays");
        assert_eq!(
            converted.layers(),
            source.layers(),
            "nothing is unpacked anew"
        );
        let bytes = saved(&store, &["converted"], &SaveOptions::default());
        let (_other, other) = loaded(&bytes, &LoadOptions::default());
        let after = other.find("converted", None).unwrap();
        assert_eq!(after.target(), converted.target());
        assert_eq!(after.size(), source.size());
    }
    let impossible = Conversion {
        style: Some(DocumentStyle::Docker),
        compression: Some(Compression::Zstd),
        ..Conversion::default()
    };
    assert!(convert(&store, "app:1", &name("x"), &impossible).is_err());
    // All platforms of an index are converted.
    let zstd = Conversion {
        compression: Some(Compression::Zstd),
        ..Conversion::default()
    };
    convert(&store, "both:1", &name("both:zstd"), &zstd).unwrap();
    let wasm = Platform::new("wasi", "wasm");
    let converted = store.find("both:zstd", Some(&wasm)).unwrap();
    assert!(converted.manifest().layers[0].media_type.ends_with("zstd"));
    assert!(store.find("both:zstd", None).is_ok());
}

#[test]
fn layers_are_saved_plain_when_asked() {
    let (_data, store) = full();
    let gzip = Conversion {
        compression: Some(Compression::Gzip),
        ..Conversion::default()
    };
    convert(&store, "app:1", &name("packed"), &gzip).unwrap();
    let plain = SaveOptions {
        uncompressed: true,
        ..SaveOptions::default()
    };
    let (_other, other) = loaded(&saved(&store, &["packed"], &plain), &LoadOptions::default());
    let after = other.find("packed", None).unwrap();
    assert!(after.manifest().layers[0].media_type.ends_with("tar"));
    assert_eq!(after.id(), store.find("app:1", None).unwrap().id());
    assert_eq!(
        store.collect(&berth_image::NoContainers).unwrap(),
        0,
        "nothing is left behind"
    );
    // Docker of any age wants layers that are not compressed.
    let old = saved(&store, &["packed"], &of(ArchiveFormat::DockerArchive));
    assert!(listed(&old).iter().any(|name| name.ends_with(".tar")));
    let (_other, other) = loaded(&old, &LoadOptions::default());
    assert_eq!(other.find("packed", None).unwrap().id(), after.id());
}

#[test]
fn a_damaged_blob_is_not_saved() {
    let (data, store) = full();
    let layer = store.find("app:1", None).unwrap().manifest().layers[0]
        .digest
        .clone();
    let path = data.path().join("oci/blobs/sha256").join(layer.hex());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let sink = &mut std::io::sink();
    let names = ["app:1".to_owned()];
    let error = save(
        &store,
        &names,
        &SaveOptions::default(),
        Destination::Stream(sink),
    );
    assert!(error.unwrap_err().to_string().contains("damaged"));
}

#[test]
fn attestations_are_kept_beside_what_they_speak_about() {
    use crate::digest;
    let (_data, store) = full();
    let image = store.find("app:1", None).unwrap();
    let manifest = image.manifest_digest().to_string();
    let statement = br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#;
    let config = br#"{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let attestation = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[{{"mediaType":"application/vnd.in-toto+json","digest":"{}","size":{}}}]}}"#,
        digest(config),
        config.len(),
        digest(statement),
        statement.len()
    );
    let size = attestation.len();
    let own = image.manifest();
    let own_size = saved_size(&store, "app:1");
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"{}","digest":"{manifest}","size":{own_size},"platform":{{"os":"linux","architecture":"amd64"}}}},{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{size},"platform":{{"os":"unknown","architecture":"unknown"}},"annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{manifest}"}}}}]}}"#,
        own.media_type(),
        digest(attestation.as_bytes()),
    );
    // An OCI layout of the image, to which the list and the attestation are added by hand.
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    let names = ["app:1".to_owned()];
    save(
        &store,
        &names,
        &of(ArchiveFormat::OciDirectory),
        Destination::Directory(&layout),
    )
    .unwrap();
    let blobs = layout.join("blobs/sha256");
    for bytes in [
        &statement[..],
        &config[..],
        attestation.as_bytes(),
        list.as_bytes(),
    ] {
        std::fs::write(blobs.join(&digest(bytes)[7..]), bytes).unwrap();
    }
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{}","size":{},"annotations":{{"io.containerd.image.name":"docker.io/library/attested:1"}}}}]}}"#,
        digest(list.as_bytes()),
        list.len()
    );
    std::fs::write(layout.join("index.json"), index).unwrap();

    let (data, other) = crate::store();
    load_directory(&other, &layout, &LoadOptions::default(), &Silent).unwrap();
    assert_eq!(
        other.list().unwrap().images.len(),
        1,
        "an attestation is no image"
    );
    assert_eq!(other.collect(&berth_image::NoContainers).unwrap(), 0);
    let kept = data
        .path()
        .join("oci/blobs/sha256")
        .join(&digest(statement)[7..]);
    assert!(kept.exists(), "the statement is kept");
    let again = saved(&other, &["attested:1"], &SaveOptions::default());
    let name = format!("blobs/sha256/{}", &digest(statement)[7..]);
    assert!(listed(&again).contains(&name), "and saved");
    assert_eq!(
        other.find("attested:1", None).unwrap().target().as_str(),
        digest(list.as_bytes())
    );
}

/// The bytes of an image's manifest.
fn saved_size(store: &Store, name: &str) -> usize {
    store.document_bytes(name).unwrap().len()
}
