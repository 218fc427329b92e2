//! Digests of both algorithms, manifests under several tags at once, and what names what is not here.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use super::{Conformance, conformance, manifest, sum};

pub(super) fn sum512(bytes: &[u8]) -> String {
    let hex: Vec<String> = Sha512::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha512:{}", hex.concat())
}

async fn upload(suite: &Conformance, digest: &str, body: &[u8]) -> StatusCode {
    let path = format!("a/blobs/uploads/?digest={digest}");
    suite.ask(Method::POST, &path, body, &[]).await.status()
}

async fn refused(suite: &Conformance, method: Method, path: &str, body: &[u8]) -> (u16, Value) {
    let kind = ("content-type", "application/vnd.oci.image.manifest.v1+json");
    let answer = suite.ask(method, path, body, &[kind]).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[test]
fn conformance_of_sha512() {
    conformance(async |served, suite| {
        let (config, layer) = (sum512(b"{}"), sum512(b"layer"));
        assert_eq!(upload(suite, &config, b"{}").await, 201);
        assert_eq!(upload(suite, &layer, b"layer").await, 201);
        assert_eq!(upload(suite, &sum512(b"other"), b"layer").await, 400);
        let blob = format!("a/blobs/{layer}");
        assert_eq!(suite.get(&blob).await.text().await.unwrap(), "layer");
        // In chunks, with the algorithm said beforehand.
        let begun = suite
            .ask(
                Method::POST,
                "a/blobs/uploads/?digest-algorithm=sha512",
                b"",
                &[],
            )
            .await;
        assert_eq!(begun.status(), 202);
        let place = super::location(&begun);
        let range = ("content-range", "0-4");
        let chunk = suite.ask(Method::PATCH, &place, b"chunk", &[range]).await;
        assert_eq!(chunk.status(), 202);
        let last = format!("{}?digest={}", super::location(&chunk), sum512(b"chunk"));
        assert_eq!(suite.ask(Method::PUT, &last, b"", &[]).await.status(), 201);

        let text = manifest(&config, &layer, json!({})).to_string();
        let digest = sum512(text.as_bytes());
        let kind = ("content-type", "application/vnd.oci.image.manifest.v1+json");
        let path = format!("a/manifests/{digest}?tag=one&tag=two");
        let put = suite
            .ask(Method::PUT, &path, text.as_bytes(), &[kind])
            .await;
        assert_eq!(put.status(), 201);
        assert_eq!(put.headers()["docker-content-digest"], digest.as_str());
        for name in ["one", "two", digest.as_str()] {
            let answer = suite.get(&format!("a/manifests/{name}")).await;
            assert_eq!(answer.headers()["docker-content-digest"], digest.as_str());
            assert_eq!(answer.text().await.unwrap(), text);
        }
        assert!(served.store().check(Default::default()).unwrap().is_empty());
        let path = format!("a/manifests/{digest}");
        let gone = suite.ask(Method::DELETE, &path, b"", &[]);
        assert_eq!(gone.await.status(), 202);
        assert_eq!(suite.head("a/manifests/one").await, 404);
    });
}

#[test]
fn conformance_of_unknown_algorithms() {
    conformance(async |_, suite| {
        let md5 = "md5:d41d8cd98f00b204e9800998ecf8427e";
        for (method, path) in [
            (Method::GET, format!("a/blobs/{md5}")),
            (Method::GET, format!("a/manifests/{md5}")),
            (Method::POST, format!("a/blobs/uploads/?digest={md5}")),
            (
                Method::POST,
                "a/blobs/uploads/?digest-algorithm=md5".to_owned(),
            ),
        ] {
            let (status, body) = refused(suite, method, &path, b"").await;
            assert_eq!(status, 400, "{path}");
            assert_eq!(body["errors"][0]["code"], "DIGEST_INVALID", "{path}");
            let message = body["errors"][0]["message"].as_str().unwrap();
            assert!(
                message.contains("sha256") && message.contains("sha512"),
                "{message}"
            );
        }
    });
}

#[test]
fn conformance_of_many_tags_at_once() {
    conformance(async |_, suite| {
        let config = suite.upload("a", b"{}").await;
        let layer = suite.upload("a", b"layer").await;
        let text = manifest(&config, &layer, json!({})).to_string();
        let kind = ("content-type", "application/vnd.oci.image.manifest.v1+json");
        let tags: Vec<String> = (10..30).map(|number| format!("v{number}")).collect();
        let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let digest = sum(text.as_bytes());
        let path = format!("a/manifests/{digest}?{}", query.join("&"));
        let put = suite
            .ask(Method::PUT, &path, text.as_bytes(), &[kind])
            .await;
        assert_eq!(put.status(), 201);
        let told = put.headers().get_all("oci-tag").iter();
        let told: Vec<&str> = told.map(|tag| tag.to_str().unwrap()).collect();
        assert_eq!(told, tags);
        let listed: Value = suite.get("a/tags/list").await.json().await.unwrap();
        assert_eq!(listed["tags"], json!(tags));

        // One tag that is none, and nothing is put.
        let other = manifest(&config, &layer, json!({"annotations": {"a": "b"}})).to_string();
        let digest = sum(other.as_bytes());
        for bad in ["-x", "a/b", "a:b", "x@sha256:00", "%20"] {
            let path = format!("a/manifests/{digest}?tag=good&tag={bad}");
            let (status, body) = refused(suite, Method::PUT, &path, other.as_bytes()).await;
            assert_eq!(status, 400, "{bad}");
            assert_eq!(body["errors"][0]["code"], "TAG_INVALID", "{bad}");
        }
        assert_eq!(suite.head("a/manifests/good").await, 404);
        assert_eq!(suite.head(&format!("a/manifests/{digest}")).await, 404);
    });
}

#[test]
fn conformance_of_missing_blobs() {
    conformance(async |_, suite| {
        let (config, layer) = (sum(b"{}"), sum(b"nowhere"));
        let text = manifest(&config, &layer, json!({})).to_string();
        let path = "a/manifests/bad";
        let (status, body) = refused(suite, Method::PUT, path, text.as_bytes()).await;
        assert_eq!(status, 400);
        let errors = body["errors"].as_array().unwrap();
        let missing: Vec<&Value> = errors.iter().map(|one| &one["detail"]["digest"]).collect();
        assert_eq!(missing, [&json!(layer), &json!(config)]);
        assert!(
            errors
                .iter()
                .all(|one| one["code"] == "MANIFEST_BLOB_UNKNOWN")
        );
        assert_eq!(suite.head(path).await, 404);
    });
}
