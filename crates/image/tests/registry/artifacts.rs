//! Artifacts to registries and back: ours, Debian's, and read by skopeo.

use berth_contract::Class;
use berth_image::{
    ArtifactFile, ArtifactWish, PullOptions, PushOptions, Reference, Silent, Store, install,
    pull_artifact, push,
};

use crate::native;
use crate::served::Served;
use crate::server::{Registry, skopeo};

fn made(content: &[u8]) -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let file = data.path().join("model.bin");
    std::fs::write(&file, content).unwrap();
    let wish = ArtifactWish {
        kind: Some("application/vnd.example.model".into()),
        ..ArtifactWish::default()
    };
    let name = Reference::parse("model").unwrap();
    store.add_artifact(&name, &[file], &wish).unwrap();
    (data, store)
}

/// Pushes there, pulls into an empty store, and takes it apart.
fn there_and_back(there: &Reference) {
    // More than one chunk of an upload.
    let content: Vec<u8> = (0..9_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    let (_data, store) = made(&content);
    let digest = store.find_artifact("model").unwrap().digest;
    let pushed = push(&store, "model", there, &PushOptions::default(), &Silent).unwrap();
    assert_eq!(pushed.digest, digest);
    let data = tempfile::tempdir().unwrap();
    let other = Store::open(data.path());
    let options = PullOptions::default();
    for _ in 0..2 {
        let pulled = pull_artifact(&other, there, &options, &Silent).unwrap();
        assert_eq!(pulled, digest);
    }
    let artifact = other.find_artifact(&there.to_string()).unwrap();
    let out = data.path().join("out");
    other
        .extract_artifact(&artifact, ArtifactFile::All, &out)
        .unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), content);
    let pinned = there.at(&digest);
    assert_eq!(
        pull_artifact(&other, &pinned, &options, &Silent).unwrap(),
        digest
    );
    assert!(other.list().unwrap().images.is_empty());
    assert!(other.check(Default::default()).unwrap().is_empty());
}

#[test]
fn an_artifact_goes_to_a_registry_and_comes_back() {
    there_and_back(&Served::start().name("team/model:1"));
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let there = format!("{}/team/model:1", registry.address);
    there_and_back(&Reference::parse(&there).unwrap());
    let there = format!("docker://{there}");
    assert!(skopeo(&["inspect", "--raw", "--tls-verify=false", &there]));
}

#[test]
fn an_image_is_no_artifact_and_an_artifact_no_image() {
    let served = Served::start();
    let (_data, store) = made(b"x");
    install(&store, &Reference::parse("app").unwrap(), &[native()]).unwrap();
    let (image, artifact) = (served.name("app:1"), served.name("model:1"));
    let options = PushOptions::default();
    push(&store, "app", &image, &options, &Silent).unwrap();
    push(&store, "model", &artifact, &options, &Silent).unwrap();
    let data = tempfile::tempdir().unwrap();
    let other = Store::open(data.path());
    let options = PullOptions::default();
    let refused = pull_artifact(&other, &image, &options, &Silent).unwrap_err();
    assert_eq!(refused.class(), Class::Unsupported);
    assert_eq!(refused.hints(), [format!("berth pull {image}")]);
    let refused = berth_image::pull(&other, &artifact, &options, &Silent).unwrap_err();
    assert_eq!(refused.class(), Class::Unsupported);
    let absent = served.name("model:2");
    let absent = pull_artifact(&other, &absent, &options, &Silent).unwrap_err();
    assert_eq!(absent.class(), Class::NotFound);
    assert!(other.artifacts().unwrap().artifacts.is_empty());
}

#[test]
fn of_several_artifacts_the_one_for_a_platform_is_taken() {
    let served = Served::start();
    let mut entries = Vec::new();
    for (content, platform) in [(&b"one"[..], "linux/amd64"), (b"two", "linux/s390x")] {
        let (_data, store) = made(content);
        let there = served.name(&format!("model:{}", platform.replace('/', "-")));
        let pushed = push(&store, "model", &there, &PushOptions::default(), &Silent).unwrap();
        entries.push((pushed, platform));
    }
    // The list is made in the store that is served: all of it is one repository.
    let list = served.name("model:list");
    let manifests = entries.iter().map(|(pushed, platform)| {
        let (os, architecture) = platform.split_once('/').unwrap();
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": pushed.digest, "size": pushed.size,
            "platform": {"os": os, "architecture": architecture},
        })
    });
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests.collect::<Vec<_>>(),
    });
    crate::served::put(&list, &index);

    let data = tempfile::tempdir().unwrap();
    let other = Store::open(data.path());
    let with = |platform: &str| PullOptions {
        platform: Some(platform.parse().unwrap()),
        ..PullOptions::default()
    };
    let pulled = pull_artifact(&other, &list, &with("linux/s390x"), &Silent).unwrap();
    assert_eq!(pulled, entries[1].0.digest);
    let found = other.find_artifact(&list.to_string()).unwrap();
    assert_eq!(found.digest, entries[1].0.digest, "its name leads to it");
    assert!(other.check(Default::default()).unwrap().is_empty());
    let absent = pull_artifact(&other, &list, &with("linux/arm64"), &Silent).unwrap_err();
    assert_eq!(absent.class(), Class::NotFound);
    let report = berth_contract::Report::from(&absent);
    assert_eq!(report.causes, ["it offers linux/amd64, linux/s390x"]);
}
