//! Several repositories with the same manifests: each has its own, whatever becomes of the others'.

use berth_image::{NoContainers, Reference};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Conformance, conformance, manifest};

/// A manifest whose blobs are here.
async fn pushed(suite: &Conformance, layer: &[u8]) -> Value {
    let config = suite.upload("blobs", b"{}").await;
    let layer = suite.upload("blobs", layer).await;
    manifest(&config, &layer, json!({}))
}

impl Conformance {
    async fn put_pinned(&self, name: &str, what: &Value) -> String {
        let digest = super::sum(what.to_string().as_bytes());
        let (_, answer) = self.put(name, &digest, what).await;
        assert_eq!(answer.status(), 201, "{name}");
        digest
    }

    async fn put_tagged(&self, name: &str, tag: &str, what: &Value) -> String {
        let (digest, answer) = self.put(name, tag, what).await;
        assert_eq!(answer.status(), 201, "{name}:{tag}");
        digest
    }

    async fn has(&self, name: &str, reference: &str) -> bool {
        let status = self.head(&format!("{name}/manifests/{reference}")).await;
        assert!(
            status == 200 || status == 404,
            "{name} {reference}: {status}"
        );
        status == 200
    }

    async fn delete_manifest(&self, name: &str, reference: &str) {
        let path = format!("{name}/manifests/{reference}");
        let answer = self.ask(Method::DELETE, &path, b"", &[]).await;
        assert_eq!(answer.status(), 202, "{path}");
    }
}

#[test]
fn a_manifest_put_by_digest_is_in_each_repository() {
    conformance(async |_, suite| {
        let what = pushed(suite, b"one").await;
        let digest = suite.put_pinned("one", &what).await;
        assert_eq!(suite.put_pinned("two", &what).await, digest);
        assert!(suite.has("one", &digest).await);
        assert!(suite.has("two", &digest).await);
        assert!(!suite.has("three", &digest).await);
        suite.delete_manifest("one", &digest).await;
        assert!(!suite.has("one", &digest).await);
        assert!(suite.has("two", &digest).await);
    });
}

#[test]
fn a_tag_in_one_repository_takes_nothing_from_another() {
    conformance(async |_, suite| {
        let (old, new) = (pushed(suite, b"old").await, pushed(suite, b"new").await);
        let first = suite.put_pinned("one", &old).await;
        // A tag elsewhere.
        suite.put_tagged("two", "1.0", &old).await;
        assert!(suite.has("one", &first).await);
        // A tag that moves on, while the other repository has one.
        suite.put_tagged("one", "1.0", &old).await;
        let second = suite.put_tagged("one", "1.0", &new).await;
        assert!(suite.has("one", &first).await);
        assert!(suite.has("one", &second).await);
        // A tag that is deleted.
        suite.delete_manifest("two", "1.0").await;
        assert!(suite.has("two", &first).await);
        suite.put_tagged("two", "latest", &new).await;
        suite.delete_manifest("one", "1.0").await;
        assert!(suite.has("one", &second).await);
        assert!(suite.has("two", "latest").await);
        // A manifest that is deleted.
        suite.delete_manifest("one", &first).await;
        assert!(suite.has("two", &first).await);
        suite.delete_manifest("two", &second).await;
        assert!(suite.has("one", &second).await);
        assert!(!suite.has("two", "latest").await);
    });
}

#[test]
fn an_image_of_several_repositories_is_listed_once() {
    conformance(async |served, suite| {
        let what = pushed(suite, b"shared").await;
        let digest = suite.put_pinned("one", &what).await;
        suite.put_tagged("two", "1.0", &what).await;
        let named = |names: &[Reference]| -> Vec<String> {
            names.iter().map(Reference::familiar).collect()
        };
        let images = served.store().list().unwrap().images;
        assert_eq!(images.len(), 1);
        assert_eq!(named(images[0].names()), ["two:1.0"]);
        let pinned = [format!("one@{digest}"), format!("two@{digest}")];
        assert_eq!(named(images[0].digests()), pinned);
        // Its last name here takes all of it along, as it would after a pull.
        let id = images[0].id().to_string();
        served.store().remove(&id, false, &NoContainers).unwrap();
        assert!(!suite.has("one", &digest).await);
        assert!(served.store().list().unwrap().images.is_empty());
    });
}

#[test]
fn a_blob_that_is_deleted_lets_no_other_be_collected() {
    conformance(async |served, suite| {
        let config = suite.upload("one", b"{}").await;
        let layer = suite.upload("one", b"on its way").await;
        let other = suite.upload("two", b"not wanted").await;
        let path = format!("two/blobs/{other}");
        let deleted = suite.ask(Method::DELETE, &path, b"", &[]).await;
        assert_eq!(deleted.status(), 202);
        // What somebody removes images with.
        served.store().collect(&NoContainers).unwrap();
        let what = manifest(&config, &layer, json!({}));
        suite.put_tagged("one", "1.0", &what).await;
    });
}

#[test]
fn deleting_a_blob_waits_for_an_upload_that_is_about_to_end() {
    conformance(async |_, suite| {
        for round in 0..20_u8 {
            let digest = suite.upload("one", &[round]).await;
            let begun = suite
                .ask(Method::POST, "two/blobs/uploads/", b"", &[])
                .await;
            let (path, upload) = (format!("one/blobs/{digest}"), super::location(&begun));
            let (deleted, ended) = tokio::join!(
                suite.ask(Method::DELETE, &path, b"", &[]),
                suite.ask(Method::DELETE, &upload, b"", &[]),
            );
            assert_eq!(ended.status(), 204);
            assert_eq!(deleted.status(), 202, "{round}");
        }
    });
}
