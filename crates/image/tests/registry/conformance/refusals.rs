//! What is refused, each with its status and code; and what is only unusual and taken.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Conformance, conformance, manifest, sum};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LIMIT: usize = 4 << 20;

async fn refused(
    suite: &Conformance,
    (method, path): (Method, &str),
    body: &[u8],
    headers: &[(&str, &str)],
) -> (u16, String) {
    let answer = suite.ask(method, path, body, headers).await;
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").cloned();
    assert_eq!(kind.unwrap(), "application/json", "{path}");
    let body: Value = answer.json().await.unwrap();
    let error = &body["errors"][0];
    assert!(!error["message"].as_str().unwrap().is_empty(), "{path}");
    (status, error["code"].as_str().unwrap().to_owned())
}

#[test]
fn conformance_of_refusals() {
    conformance(async |_, suite| {
        let (config, layer) = (
            suite.upload("a", b"{}").await,
            suite.upload("a", b"layer").await,
        );
        let plain = manifest(&config, &layer, json!({}));
        suite.put("a", "1", &plain).await;
        let text = plain.to_string();
        let absent = sum(b"absent");
        let absent_blob = format!("a/blobs/{absent}");
        let absent_manifest = format!("a/manifests/{absent}");
        let (get, put, post) = (Method::GET, Method::PUT, Method::POST);
        for (method, path, status, code) in [
            (&get, absent_blob.as_str(), 404, "BLOB_UNKNOWN"),
            (&get, absent_manifest.as_str(), 404, "MANIFEST_UNKNOWN"),
            (&get, "a/manifests/none", 404, "MANIFEST_UNKNOWN"),
            (&Method::DELETE, "a/manifests/none", 404, "MANIFEST_UNKNOWN"),
            (&get, "nobody/tags/list", 404, "NAME_UNKNOWN"),
            (&get, "a/tags/list?n=many", 405, "UNSUPPORTED"),
            (&get, "A_/tags/list", 400, "NAME_INVALID"),
            (&get, "a/manifests/.x", 400, "TAG_INVALID"),
            (
                &get,
                "a/manifests/sha256:baddigeststring",
                400,
                "DIGEST_INVALID",
            ),
            (
                &put,
                "a/manifests/sha256:baddigeststring",
                400,
                "DIGEST_INVALID",
            ),
            (&put, absent_manifest.as_str(), 400, "DIGEST_INVALID"),
            (&get, "a/referrers/latest", 400, "DIGEST_INVALID"),
            (&get, "a/blobs/uploads/none", 404, "BLOB_UPLOAD_UNKNOWN"),
            (
                &Method::PATCH,
                "a/blobs/uploads/none",
                404,
                "BLOB_UPLOAD_UNKNOWN",
            ),
            (
                &Method::DELETE,
                "a/blobs/uploads/none",
                404,
                "BLOB_UPLOAD_UNKNOWN",
            ),
            (
                &put,
                "a/blobs/uploads/none?digest=x",
                404,
                "BLOB_UPLOAD_UNKNOWN",
            ),
            (&post, "a/blobs/uploads/?digest=x", 400, "DIGEST_INVALID"),
            (&post, "a/manifests/1", 405, "UNSUPPORTED"),
            (&put, "a/tags/list", 405, "UNSUPPORTED"),
            (&get, "nothing", 404, "NAME_UNKNOWN"),
        ] {
            let kind = [("content-type", MANIFEST)];
            let told = refused(suite, (method.clone(), path), text.as_bytes(), &kind).await;
            assert_eq!(told, (status, code.to_owned()), "{method} {path}");
        }
        // An upload stays where it was begun.
        let begun = suite.ask(post, "a/blobs/uploads/", b"", &[]).await;
        let elsewhere = super::location(&begun).replace("/v2/a/", "/v2/b/");
        let told = refused(suite, (Method::PATCH, &elsewhere), b"x", &[]).await;
        assert_eq!(told, (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
    });
}

#[test]
fn conformance_of_documents_that_are_none() {
    conformance(async |_, suite| {
        let (config, layer) = (
            suite.upload("a", b"{}").await,
            suite.upload("a", b"layer").await,
        );
        let plain = manifest(&config, &layer, json!({}));
        let both = manifest(&config, &layer, json!({"manifests": []}));
        let elder = json!({"schemaVersion": 1, "fsLayers": []});
        for (document, kind) in [
            ("not JSON".to_owned(), MANIFEST),
            ("{}".to_owned(), MANIFEST),
            (both.to_string(), MANIFEST),
            (plain.to_string(), INDEX),
            (
                elder.to_string(),
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
            ),
        ] {
            let kind = [("content-type", kind)];
            let at = (Method::PUT, "a/manifests/bad");
            let told = refused(suite, at, document.as_bytes(), &kind).await;
            assert_eq!(told, (400, "MANIFEST_INVALID".to_owned()), "{document}");
            assert_eq!(suite.head("a/manifests/bad").await, 404);
        }
        // What the request calls it counts less than what it is.
        for kind in [
            "application/json",
            "application/octet-stream",
            "nonsense",
            "",
        ] {
            let headers = [("content-type", kind)];
            let headers = if kind.is_empty() { &[][..] } else { &headers };
            let text = plain.to_string();
            let put = suite.ask(Method::PUT, "a/manifests/2", text.as_bytes(), headers);
            assert_eq!(put.await.status(), 201, "{kind}");
            let got = suite.get("a/manifests/2").await;
            assert_eq!(got.headers()["content-type"], MANIFEST);
        }
    });
}

#[test]
fn conformance_of_large_manifests() {
    conformance(async |_, suite| {
        let (config, layer) = (
            suite.upload("a", b"{}").await,
            suite.upload("a", b"layer").await,
        );
        let mut text = manifest(&config, &layer, json!({})).to_string();
        text.extend(std::iter::repeat_n(' ', LIMIT - text.len()));
        let kind = [("content-type", MANIFEST)];
        let put = suite.ask(Method::PUT, "a/manifests/1", text.as_bytes(), &kind);
        assert_eq!(put.await.status(), 201);
        let head = suite.ask(Method::HEAD, "a/manifests/1", b"", &[]).await;
        assert_eq!(head.headers()["content-length"], LIMIT.to_string().as_str());
        let digest = sum(text.as_bytes());
        assert_eq!(head.headers()["docker-content-digest"], digest.as_str());
        text.push(' ');
        let at = (Method::PUT, "a/manifests/2");
        let told = refused(suite, at, text.as_bytes(), &kind).await;
        assert_eq!(told, (413, "SIZE_INVALID".to_owned()));
    });
}

#[test]
fn conformance_of_pages() {
    conformance(async |_, suite| {
        let (config, layer) = (
            suite.upload("a", b"{}").await,
            suite.upload("a", b"layer").await,
        );
        let plain = manifest(&config, &layer, json!({}));
        let by_digest = sum(plain.to_string().as_bytes());
        suite.put("a", &by_digest, &plain).await;
        let list = async |query: &str| -> (Value, Option<String>) {
            let answer = suite.get(&format!("a/tags/list{query}")).await;
            assert_eq!(answer.status(), 200, "{query}");
            let link = answer.headers().get("link").cloned();
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["name"], "a");
            (
                body["tags"].clone(),
                link.map(|link| link.to_str().unwrap().to_owned()),
            )
        };
        assert_eq!(list("").await.0, json!([]), "a repository of no tags");
        for tag in ["B", "a", "c", "_", "10", "9"] {
            suite.put("a", tag, &plain).await;
        }
        let sorted = ["10", "9", "B", "_", "a", "c"];
        assert_eq!(list("").await, (json!(sorted), None));
        assert_eq!(list("?n=0").await, (json!([]), None));
        assert_eq!(list("?n=6").await, (json!(sorted), None));
        assert_eq!(list("?n=100").await, (json!(sorted), None));
        assert_eq!(list("?last=B").await, (json!(sorted[3..]), None));
        assert_eq!(
            list("?last=A").await.0,
            json!(sorted[2..]),
            "what is no tag"
        );
        assert_eq!(list("?last=z").await.0, json!([]));
        // All pages, as their links say.
        let (mut next, mut seen) = (Some("/v2/a/tags/list?n=4".to_owned()), Vec::new());
        while let Some(path) = next {
            let answer = suite.get(&path).await;
            let link = answer.headers().get("link").cloned();
            let body: Value = answer.json().await.unwrap();
            seen.extend(body["tags"].as_array().unwrap().clone());
            next = link.map(|link| {
                let link = link.to_str().unwrap();
                let (place, relation) = link.split_once(';').unwrap();
                assert_eq!(relation.trim(), "rel=\"next\"");
                place.trim_matches(['<', '>']).to_owned()
            });
        }
        assert_eq!(json!(seen), json!(sorted));
    });
}

/// What says something about a subject: an image has its config's type, an artifact its own, a list its own or none.
fn about(subject: &Value, config: &str, layer: &str) -> [(Option<&'static str>, Value); 4] {
    let own = |kind: &str| json!({"subject": subject, "artifactType": kind});
    let mut sbom = manifest(config, layer, own("application/x.sbom"));
    sbom["annotations"] = json!({"org.example": "note"});
    let list = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": subject,
    });
    let mut typed = list.clone();
    typed["artifactType"] = json!("application/x.list");
    [
        (
            Some("application/vnd.oci.image.config.v1+json"),
            manifest(config, layer, json!({"subject": subject})),
        ),
        (Some("application/x.sbom"), sbom),
        (Some("application/x.list"), typed),
        (None, list),
    ]
}

#[test]
fn conformance_of_referrers_of_many_kinds() {
    conformance(async |_, suite| {
        let config = suite.upload("a", b"{}").await;
        let layer = suite.upload("a", b"layer").await;
        let image = manifest(&config, &layer, json!({}));
        let absent = sum(b"a subject that never came");
        let subject = json!({"mediaType": MANIFEST, "digest": absent, "size": 123});
        let mut put = Vec::new();
        for (kind, document) in about(&subject, &config, &layer) {
            let digest = sum(document.to_string().as_bytes());
            let (_, answer) = suite.put("a", &digest, &document).await;
            assert_eq!(answer.status(), 201);
            assert_eq!(answer.headers()["oci-subject"], absent.as_str());
            put.push((digest, kind, document));
        }
        let list = async |query: &str| -> (Vec<Value>, bool) {
            let answer = suite.get(&format!("a/referrers/{absent}{query}")).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["content-type"], INDEX);
            let filtered = answer.headers().get("oci-filters-applied").cloned();
            let body: Value = answer.json().await.unwrap();
            assert_eq!(
                (&body["schemaVersion"], &body["mediaType"]),
                (&json!(2), &json!(INDEX))
            );
            (
                body["manifests"].as_array().unwrap().clone(),
                filtered.is_some_and(|applied| applied == "artifactType"),
            )
        };
        let (all, filtered) = list("").await;
        assert!(!filtered);
        assert_eq!(all.len(), put.len());
        for (digest, kind, document) in &put {
            let entry = all.iter().find(|entry| entry["digest"] == digest.as_str());
            let entry = entry.unwrap();
            assert_eq!(entry["mediaType"], document["mediaType"]);
            assert_eq!(entry["size"], document.to_string().len());
            assert_eq!(
                entry.get("artifactType"),
                kind.map(|kind| json!(kind)).as_ref()
            );
            assert_eq!(entry.get("annotations"), document.get("annotations"));
            let Some(kind) = kind else { continue };
            // A plus in a query is a blank unless it is written otherwise.
            let query = format!("?artifactType={}", kind.replace('+', "%2B"));
            let (own, filtered) = list(&query).await;
            assert!(filtered, "{kind}");
            assert_eq!(own.len(), 1, "{kind}");
            assert_eq!(own[0]["digest"], digest.as_str());
        }
        assert!(list("?artifactType=application/none").await.0.is_empty());
        suite.put("a", "subject", &image).await;
        for (digest, ..) in &put {
            let path = format!("a/manifests/{digest}");
            let deleted = suite.ask(Method::DELETE, &path, b"", &[]).await;
            assert_eq!(deleted.status(), 202);
        }
        assert!(list("").await.0.is_empty());
    });
}
