//! Documents are what they say, or are refused.

use super::*;

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

#[test]
fn documents_are_what_they_say_or_are_refused() {
    let config = format!(
        r#"{{"mediaType":"{}","digest":"{}","size":2}}"#,
        media::OCI_CONFIG,
        digest('a')
    );
    let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    assert!(matches!(
        Document::parse(manifest.as_bytes(), None),
        Ok(Document::Manifest(_))
    ));
    assert!(matches!(
        Document::parse(index.as_bytes(), None),
        Ok(Document::Index(_))
    ));
    assert!(matches!(
        Document::parse(index.as_bytes(), Some("application/json")),
        Ok(Document::Index(_))
    ));
    let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#);
    let mislabelled = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[]}}"#,
        media::OCI_INDEX
    );
    let docker = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[]}}"#,
        media::DOCKER_MANIFEST
    );
    let refused: [(&str, Option<&str>); 8] = [
        (&both, None),
        (&mislabelled, None),
        (&manifest, Some(media::OCI_INDEX)),
        (index, Some(media::OCI_MANIFEST)),
        (&docker, Some(media::OCI_MANIFEST)),
        (r#"{"schemaVersion":2}"#, None),
        (r#"{"schemaVersion":1,"fsLayers":[]}"#, None),
        ("[]", None),
    ];
    for (text, announced) in refused {
        assert!(
            Document::parse(text.as_bytes(), announced).is_err(),
            "{text}"
        );
    }
    let bad_digest = manifest.replace(&digest('a'), "sha256:../../x");
    assert!(Document::parse(bad_digest.as_bytes(), None).is_err());
}

#[test]
fn oversized_documents_are_refused_unread() {
    let huge = vec![b' '; usize::try_from(MANIFEST_LIMIT).unwrap() + 1];
    assert!(
        Document::parse(&huge, None)
            .unwrap_err()
            .to_string()
            .contains("manifest")
    );
}

#[test]
fn attestations_are_not_images() {
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[
        {{"mediaType":"{0}","digest":"{1}","size":1,"platform":{{"os":"unknown","architecture":"unknown"}}}},
        {{"mediaType":"{0}","digest":"{2}","size":1,"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
        media::OCI_MANIFEST,
        digest('a'),
        digest('b')
    );
    let Document::Index(index) = Document::parse(text.as_bytes(), None).unwrap() else {
        panic!()
    };
    assert_eq!(index.images(&Platform::host()).count(), 1);
}

#[test]
fn artifacts_are_told_from_images() {
    const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    let manifest = |config: &str, layers: &[&str], about: bool| {
        let described = |kind: &str| Descriptor::new(kind, digest('a').parse().unwrap(), 2);
        Manifest {
            schema_version: 2,
            media_type: media::OCI_MANIFEST.into(),
            artifact_type: about.then(|| "application/x".into()),
            config: described(config),
            layers: layers.iter().map(|kind| described(kind)).collect(),
            subject: about.then(|| described(media::OCI_MANIFEST)),
            annotations: BTreeMap::new(),
        }
    };
    let images = [
        manifest(media::OCI_CONFIG, &[], false),
        manifest(media::DOCKER_CONFIG, &[media::DOCKER_LAYER_GZIP], false),
        manifest(media::OCI_CONFIG, &[media::OCI_LAYER_ZSTD], false),
        manifest(media::WASM_CONFIG, &[media::WASM_LAYER], false),
        // What `oras push app.wasm` and `podman artifact add` make.
        manifest(EMPTY, &[media::WASM_LAYER], false),
    ];
    for image in &images {
        assert!(!image.is_artifact(), "{image:?}");
    }
    let artifacts = [
        manifest(EMPTY, &[EMPTY], false),
        manifest(EMPTY, &[], true),
        manifest(media::OCI_CONFIG, &[media::OCI_LAYER], true),
        // cosign's signatures and BuildKit's attestations.
        manifest(
            media::OCI_CONFIG,
            &["application/vnd.dev.cosign.simplesigning.v1+json"],
            false,
        ),
        manifest(media::OCI_CONFIG, &["application/vnd.in-toto+json"], false),
        manifest(
            "application/vnd.cncf.helm.config.v1+json",
            &["application/vnd.cncf.helm.chart.content.v1.tar+gzip"],
            false,
        ),
    ];
    for artifact in &artifacts {
        assert!(artifact.is_artifact(), "{artifact:?}");
    }
}
