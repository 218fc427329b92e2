//! Archives that are loaded and imported.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use berth_contract::Class;
use berth_image::{ContainerConfig, ImportOptions, LoadOptions, Silent, import, load};

use crate::{digest, name, store, tar};

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
