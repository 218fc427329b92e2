//! Archives that are cut, flipped or lie: a clear refusal, and a store as it was.

use berth_contract::Class;
use berth_image::{
    Destination, ImageBuilder, LoadOptions, NoContainers, Platform, SaveOptions, Silent, Store,
    install, load, save,
};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

use crate::{count, digest, image, name, store, tar};

fn archive() -> Vec<u8> {
    let (_data, store) = store();
    let mut wasm = ImageBuilder::new(Platform::new("wasi", "wasm"));
    wasm.module = Some(b"\0asm\x01\0\0\0".to_vec());
    install(&store, &name("both"), &[image("native"), wasm]).unwrap();
    let mut bytes = Vec::new();
    let stream = Destination::Stream(&mut bytes);
    save(&store, &["both".into()], &SaveOptions::default(), stream).unwrap();
    bytes
}

fn try_load(store: &Store, bytes: &[u8]) -> berth_contract::Result<()> {
    load(store, bytes, &LoadOptions::default(), &Silent).map(drop)
}

/// Nothing of what was refused is kept, and what was there still is.
fn is_unharmed(data: &tempfile::TempDir, store: &Store) {
    assert!(store.find("mine", None).unwrap().layers()[0].exists());
    assert_eq!(store.list().unwrap().images.len(), 1);
    assert_eq!(store.collect(&NoContainers).unwrap(), 0);
    assert_eq!(count(data, "ingest"), 0);
}

#[test]
fn every_cut_is_refused_and_leaves_nothing() {
    let bytes = archive();
    let (data, store) = store();
    install(&store, &name("mine"), &[image("mine")]).unwrap();
    let lists = bytes
        .windows(13)
        .position(|window| window == b"manifest.json")
        .unwrap();
    let cuts = (0..lists).step_by(509).chain([1, 100, 511, 512, 513]);
    for cut in cuts {
        let error = try_load(&store, &bytes[..cut]).unwrap_err();
        assert_eq!(error.class(), Class::Invalid, "cut at {cut}: {error:?}");
    }
    is_unharmed(&data, &store);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn lying_lists_are_refused() {
    let (data, store) = store();
    install(&store, &name("mine"), &[image("mine")]).unwrap();
    let layout: (&str, Option<&str>, &[u8]) =
        ("oci-layout", None, br#"{"imageLayoutVersion":"1.0.0"}"#);
    let hex = "a".repeat(64);
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let config_digest = digest(config);
    let both = format!(
        r#"{{"schemaVersion":2,"manifests":[],"layers":[],"config":{{"digest":"{config_digest}","size":1}}}}"#
    );
    let deep = "[".repeat(100_000);
    let entry = |digest: &str| {
        format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{digest}","size":9}}]}}"#)
    };
    let missing_layer = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{config_digest}","size":1}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:{hex}","size":1}}]}}"#
    );
    let foreign = missing_layer.replace("layer.v1.tar", "layer.nondistributable.v1.foreign.tar");
    let blob = |bytes: &[u8]| digest(bytes).replace("sha256:", "blobs/sha256/");
    let config_name = blob(config);
    for (what, files) in [
        (
            "an index that is none",
            vec![("index.json", None, &b"[]"[..])],
        ),
        ("absurd JSON", vec![("index.json", None, deep.as_bytes())]),
        (
            "a digest that is a path",
            vec![(
                "index.json",
                None,
                entry("sha256:../../../etc/passwd").as_bytes(),
            )],
        ),
        (
            "an entry that is not here",
            vec![(
                "index.json",
                None,
                entry(&format!("sha256:{hex}")).as_bytes(),
            )],
        ),
        (
            "a blob that is another one",
            vec![
                (
                    "index.json",
                    None,
                    entry(&format!("sha256:{hex}")).as_bytes(),
                ),
                (&format!("blobs/sha256/{hex}"), None, b"{}"),
            ],
        ),
        (
            "an image and a list at once",
            vec![
                (
                    "index.json",
                    None,
                    entry(&digest(both.as_bytes())).as_bytes(),
                ),
                (&blob(both.as_bytes()), None, both.as_bytes()),
            ],
        ),
        (
            "a layer that is missing",
            vec![
                (
                    "index.json",
                    None,
                    entry(&digest(missing_layer.as_bytes())).as_bytes(),
                ),
                (
                    &blob(missing_layer.as_bytes()),
                    None,
                    missing_layer.as_bytes(),
                ),
                (&config_name, None, config),
            ],
        ),
        (
            "a layer that lies elsewhere",
            vec![
                (
                    "index.json",
                    None,
                    entry(&digest(foreign.as_bytes())).as_bytes(),
                ),
                (&blob(foreign.as_bytes()), None, foreign.as_bytes()),
                (&config_name, None, config),
            ],
        ),
        (
            "links in a circle",
            vec![
                ("index.json", Some("other"), &b""[..]),
                ("other", Some("index.json"), &b""[..]),
            ],
        ),
        (
            "a link out of the archive",
            vec![("index.json", Some("../../../../../../etc/passwd"), &b""[..])],
        ),
    ] {
        let files: Vec<_> = std::iter::once(layout).chain(files).collect();
        let error = try_load(&store, &tar(&files)).expect_err(what);
        let class = error.class();
        assert!(
            matches!(class, Class::Invalid | Class::Unsupported),
            "{what}: {error:?}"
        );
    }
    is_unharmed(&data, &store);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is flipped: a refusal, or an image that is what its digests say.
    #[test]
    fn flipped_bytes_are_found(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut flipped = archive();
        let at = at.index(flipped.len());
        flipped[at] ^= 1 << bit;
        let (data, store) = store();
        install(&store, &name("mine"), &[image("mine")]).unwrap();
        match try_load(&store, &flipped) {
            Err(error) => {
                prop_assert!(error.class() != Class::Internal, "{at}: {error:?}");
                is_unharmed(&data, &store);
            }
            Ok(()) => {
                let findings = store.check(berth_image::CheckOptions::default()).unwrap();
                prop_assert!(findings.is_empty(), "{at}: {findings:?}");
                prop_assert_eq!(store.list().unwrap().damaged.len(), 0);
            }
        }
    }
}
