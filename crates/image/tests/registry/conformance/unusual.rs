//! The documents of the suite that are more than a plain image.

use serde_json::Value;

use super::*;

/// Each is taken, sent back and deleted.
#[test]
fn conformance_of_unusual_documents() {
    conformance(async |served, suite| {
        let config = suite.upload("a", b"{}").await;
        let layer = suite.upload("a", b"layer").await;
        let plain = manifest(&config, &layer, serde_json::json!({}));
        let (image, _) = suite.put("a", "plain", &plain).await;
        let cases = documents(&plain, &image);
        let mut put = Vec::new();
        for (tag, document) in &cases {
            let (digest, response) = suite.put("a", tag, document).await;
            assert_eq!(response.status(), 201, "{tag}");
            let there = suite.get(&location(&response)).await;
            assert_eq!(
                there.headers()["content-type"],
                document["mediaType"].as_str().unwrap()
            );
            assert_eq!(sum(&there.bytes().await.unwrap()), digest, "{tag}");
            assert_eq!(
                suite.head(&format!("a/manifests/{tag}")).await,
                200,
                "{tag}"
            );
            put.push(digest);
        }
        // An index of indexes, and one that is about another.
        let kind = &cases[7].1["mediaType"];
        let outer = index(serde_json::json!([entry(&put[7], kind)]));
        assert_eq!(suite.put("a", "nested", &outer).await.1.status(), 201);
        let mut about = index(serde_json::json!([]));
        about["subject"] = entry(&put[7], kind);
        about["artifactType"] = "application/x".into();
        let (digest, response) = suite.put("a", "about", &about).await;
        assert_eq!(response.headers()["oci-subject"], put[7].as_str());
        let list = suite.get(&format!("a/referrers/{}", put[7])).await;
        let list = list.json::<Value>().await.unwrap();
        assert_eq!(list["manifests"][0]["digest"], digest.as_str());
        assert_eq!(list["manifests"][0]["artifactType"], "application/x");
        assert!(served.store().list().unwrap().damaged.is_empty());
        // A document that is not what its digest says.
        let text = plain.to_string() + "  ";
        let kind = [("content-type", plain["mediaType"].as_str().unwrap())];
        let path = format!("a/manifests/{image}");
        let refused = suite.ask(Method::PUT, &path, text.as_bytes(), &kind).await;
        assert_eq!(refused.status(), 400);
        for tag in ["about", "nested", "index", "large"] {
            let path = format!("a/manifests/{tag}");
            assert_eq!(
                suite.ask(Method::DELETE, &path, b"", &[]).await.status(),
                202,
                "{tag}"
            );
            assert_eq!(suite.head(&path).await, 404, "{tag}");
        }
    });
}

/// Documents made from a plain manifest, and lists with its digest, `image`; each with its tag.
fn documents(plain: &Value, image: &str) -> Vec<(&'static str, Value)> {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut changed = plain.clone();
        change(&mut changed);
        changed
    };
    let large =
        Value::from_iter((0..390).map(|number| (format!("large-{number}"), "A".repeat(10_000))));
    let empty = "application/vnd.oci.empty.v1+json";
    let elsewhere = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    vec![
        ("large", changed(&|m| m["annotations"] = large.clone())),
        (
            "no-layers",
            changed(&|m| m["layers"] = serde_json::json!([])),
        ),
        (
            "custom",
            changed(&|m| m["org.example.field"] = "anything".into()),
        ),
        ("data", changed(&|m| m["config"]["data"] = "e30=".into())),
        (
            "artifact",
            changed(&|m| {
                m["artifactType"] = "application/x".into();
                m["config"]["mediaType"] = empty.into();
                m["layers"][0]["mediaType"] = "application/x".into();
            }),
        ),
        (
            "elsewhere",
            changed(&|m| {
                m["layers"][0] = serde_json::json!({
                    "mediaType": elsewhere, "digest": sum(b"not here"), "size": 8,
                    "urls": ["https://store.example.com/x"],
                });
            }),
        ),
        ("empty-index", index(serde_json::json!([]))),
        (
            "index",
            index(serde_json::json!([entry(image, &plain["mediaType"])])),
        ),
        (
            "sparse-index",
            index(serde_json::json!([
                entry(image, &plain["mediaType"]),
                entry(&sum(b"other platform"), &plain["mediaType"]),
            ])),
        ),
    ]
}

fn index(manifests: Value) -> Value {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    })
}

fn entry(digest: &str, kind: &Value) -> Value {
    serde_json::json!({"mediaType": kind, "digest": digest, "size": 9})
}
