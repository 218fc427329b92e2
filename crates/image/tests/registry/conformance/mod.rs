//! Requests written after the distribution-spec, in the order of its conformance suite.

mod blobs;
mod digests;
mod refusals;
mod repositories;
mod unusual;

use berth_image::{Access, CheckOptions, NoContainers, Store, referrers};
use reqwest::{Client, Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::served::Served;

/// A client of a registry of its own.
struct Conformance {
    http: Client,
    root: String,
}

impl Conformance {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Response {
        let url = if path.starts_with("/v2") {
            format!("{}{path}", self.root)
        } else {
            format!("{}/v2/{path}", self.root)
        };
        let mut request = self.http.request(method, url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, b"", &[]).await
    }

    async fn head(&self, path: &str) -> StatusCode {
        self.ask(Method::HEAD, path, b"", &[]).await.status()
    }

    async fn upload(&self, name: &str, body: &[u8]) -> String {
        let digest = sum(body);
        let path = format!("{name}/blobs/uploads/?digest={digest}");
        assert_eq!(self.ask(Method::POST, &path, body, &[]).await.status(), 201);
        digest
    }

    async fn put(
        &self,
        name: &str,
        reference: &str,
        manifest: &serde_json::Value,
    ) -> (String, Response) {
        let text = manifest.to_string();
        let kind = manifest["mediaType"].as_str().unwrap();
        let path = format!("{name}/manifests/{reference}");
        let response = self
            .ask(
                Method::PUT,
                &path,
                text.as_bytes(),
                &[("content-type", kind)],
            )
            .await;
        (sum(text.as_bytes()), response)
    }
}

fn sum(bytes: &[u8]) -> String {
    let hex: Vec<String> = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{}", hex.concat())
}

fn location(response: &Response) -> String {
    response.headers()["location"].to_str().unwrap().to_owned()
}

fn manifest(config: &str, layer: &str, more: serde_json::Value) -> serde_json::Value {
    let mut manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 5}],
    });
    manifest
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    manifest
}

fn conformance(test: impl AsyncFnOnce(&Served, &Conformance)) {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let served = Served::start();
    let suite = Conformance {
        http: Client::builder().no_proxy().build().unwrap(),
        root: format!("http://{}", served.address),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test(&served, &suite));
}

#[test]
fn conformance_of_uploads() {
    conformance(async |_, suite| {
        assert_eq!(suite.get("/v2/").await.status(), 200);
        assert_eq!(suite.head("a/b/blobs/sha256:00").await, 400);
        let absent = sum(b"absent");
        assert_eq!(suite.head(&format!("a/b/blobs/{absent}")).await, 404);
        // POST, then PUT.
        let start = suite
            .ask(Method::POST, "a/b/blobs/uploads/", b"", &[])
            .await;
        assert_eq!(start.status(), 202);
        let whole = sum(b"monolith");
        let to = format!("{}?digest={whole}", location(&start));
        let end = suite.ask(Method::PUT, &to, b"monolith", &[]).await;
        assert_eq!(end.status(), 201);
        assert_eq!(
            suite.get(&location(&end)).await.text().await.unwrap(),
            "monolith"
        );
        // A wrong digest keeps nothing.
        let start = suite
            .ask(Method::POST, "a/b/blobs/uploads/", b"", &[])
            .await;
        let to = format!("{}?digest={absent}", location(&start));
        assert_eq!(
            suite.ask(Method::PUT, &to, b"else", &[]).await.status(),
            400
        );
        assert_eq!(suite.head(&format!("a/b/blobs/{absent}")).await, 404);
        // Chunks, one of them out of order.
        let start = suite
            .ask(Method::POST, "a/b/blobs/uploads/", b"", &[])
            .await;
        let to = location(&start);
        let late = suite
            .ask(Method::PATCH, &to, b"llo", &[("content-range", "2-4")])
            .await;
        assert_eq!(late.status(), 416);
        let one = suite
            .ask(Method::PATCH, &to, b"he", &[("content-range", "0-1")])
            .await;
        assert_eq!(
            (
                one.status().as_u16(),
                one.headers()["range"].to_str().unwrap()
            ),
            (202, "0-1")
        );
        let status = suite.get(&to).await;
        assert_eq!(
            (
                status.status().as_u16(),
                status.headers()["range"].to_str().unwrap()
            ),
            (204, "0-1")
        );
        let to = format!("{to}?digest={}", sum(b"hello"));
        let end = suite
            .ask(Method::PUT, &to, b"llo", &[("content-range", "2-4")])
            .await;
        assert_eq!(end.status(), 201);
    });
}

#[test]
fn conformance_of_blobs() {
    conformance(async |_, suite| {
        let whole = suite.upload("a/b", b"monolith").await;
        let absent = sum(b"absent");
        suite.upload("a/b", b"hello").await;
        let path = format!("a/b/blobs/{}", sum(b"hello"));
        let part = suite
            .ask(Method::GET, &path, b"", &[("range", "bytes=1-3")])
            .await;
        assert_eq!(part.status(), 206);
        assert_eq!(part.text().await.unwrap(), "ell");
        let part = suite
            .ask(Method::GET, &path, b"", &[("range", "bytes=9-")])
            .await;
        assert_eq!(part.status(), 416);
        // Mounting, and mounting what is not there.
        let mount = format!("c/blobs/uploads/?mount={whole}&from=a/b");
        assert_eq!(
            suite.ask(Method::POST, &mount, b"", &[]).await.status(),
            201
        );
        let mount = format!("c/blobs/uploads/?mount={absent}&from=a/b");
        let start = suite.ask(Method::POST, &mount, b"", &[]).await;
        assert_eq!(start.status(), 202);
        assert_eq!(
            suite
                .ask(Method::DELETE, &location(&start), b"", &[])
                .await
                .status(),
            204
        );
        assert_eq!(suite.get(&location(&start)).await.status(), 404);
        // Deleting what nothing needs.
        assert_eq!(
            suite.ask(Method::DELETE, &path, b"", &[]).await.status(),
            202
        );
        assert_eq!(suite.head(&path).await, 404);
        let error = suite
            .get(&path)
            .await
            .json::<serde_json::Value>()
            .await
            .unwrap();
        assert_eq!(error["errors"][0]["code"], "BLOB_UNKNOWN");
    });
}

#[test]
fn conformance_of_manifests_and_lists() {
    conformance(async |_, suite| {
        let config = suite.upload("a/b", b"{}").await;
        let layer = suite.upload("a/b", b"layer").await;
        let (digest, response) = {
            let manifest = manifest(&config, &layer, serde_json::json!({}));
            suite.put("a/b", "t2", &manifest).await
        };
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["docker-content-digest"], digest.as_str());
        for tag in ["t1", "t3"] {
            let manifest = manifest(&config, &layer, serde_json::json!({}));
            assert_eq!(suite.put("a/b", tag, &manifest).await.1.status(), 201);
        }
        let missing = manifest(&config, &sum(b"nowhere"), serde_json::json!({}));
        let refused = suite.put("a/b", "bad", &missing).await.1;
        assert_eq!(refused.status(), 400);
        let answer = suite.get("a/b/manifests/t1").await;
        assert_eq!(
            answer.headers()["content-type"],
            "application/vnd.oci.image.manifest.v1+json"
        );
        assert_eq!(sum(&answer.bytes().await.unwrap()), digest);
        assert_eq!(suite.head(&format!("a/b/manifests/{digest}")).await, 200);
        assert_eq!(suite.head("a/b/manifests/none").await, 404);
        assert_eq!(suite.head("b/manifests/t1").await, 404);
        let list = async |query: &str| {
            let answer = suite.get(&format!("a/b/tags/list{query}")).await;
            let link = answer
                .headers()
                .get("link")
                .map(|link| link.to_str().unwrap().to_owned());
            let body = answer.json::<serde_json::Value>().await.unwrap();
            (body["tags"].to_string(), link)
        };
        assert_eq!(list("").await.0, r#"["t1","t2","t3"]"#);
        let (page, link) = list("?n=2").await;
        assert_eq!(page, r#"["t1","t2"]"#);
        assert_eq!(
            link.unwrap(),
            "</v2/a/b/tags/list?n=2&last=t2>; rel=\"next\""
        );
        assert_eq!(list("?n=2&last=t2").await, (r#"["t3"]"#.to_owned(), None));
        assert_eq!(suite.get("nobody/tags/list").await.status(), 404);
        let catalog = suite
            .get("_catalog")
            .await
            .json::<serde_json::Value>()
            .await
            .unwrap();
        assert_eq!(catalog["repositories"].to_string(), r#"["a/b"]"#);
        // A blob that is needed stays; the tag goes, then the manifest.
        let blob = format!("a/b/blobs/{layer}");
        assert_eq!(
            suite.ask(Method::DELETE, &blob, b"", &[]).await.status(),
            405
        );
        assert_eq!(
            suite
                .ask(Method::DELETE, "a/b/manifests/t1", b"", &[])
                .await
                .status(),
            202
        );
        assert_eq!(suite.head("a/b/manifests/t1").await, 404);
        let path = format!("a/b/manifests/{digest}");
        assert_eq!(
            suite.ask(Method::DELETE, &path, b"", &[]).await.status(),
            202
        );
        assert_eq!(suite.head(&path).await, 404);
        assert_eq!(suite.head("a/b/manifests/t2").await, 404);
        assert_eq!(
            suite.ask(Method::DELETE, &path, b"", &[]).await.status(),
            404
        );
    });
}

#[test]
fn conformance_of_referrers() {
    conformance(async |served, suite| {
        let config = suite.upload("a", b"{}").await;
        let layer = suite.upload("a", b"layer").await;
        let image = manifest(&config, &layer, serde_json::json!({}));
        let (subject, _) = suite.put("a", "1", &image).await;
        let about = serde_json::json!({
            "artifactType": "application/x.signature",
            "annotations": {"who": "me"},
            "subject": {"mediaType": image["mediaType"], "digest": subject, "size": 9},
        });
        let text = manifest(&config, &layer, about);
        let digest = sum(text.to_string().as_bytes());
        let (_, response) = suite.put("a", &digest, &text).await;
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["oci-subject"], subject.as_str());
        let list = suite.get(&format!("a/referrers/{subject}")).await;
        assert_eq!(
            list.headers()["content-type"],
            "application/vnd.oci.image.index.v1+json"
        );
        let list = list.json::<serde_json::Value>().await.unwrap();
        assert_eq!(list["manifests"][0]["digest"], digest.as_str());
        assert_eq!(
            list["manifests"][0]["artifactType"],
            "application/x.signature"
        );
        assert_eq!(list["manifests"][0]["annotations"]["who"], "me");
        let path = format!("a/referrers/{subject}?artifactType=other");
        let filtered = suite.get(&path).await;
        assert_eq!(filtered.headers()["oci-filters-applied"], "artifactType");
        let filtered = filtered.json::<serde_json::Value>().await.unwrap();
        assert_eq!(filtered["manifests"].to_string(), "[]");
        let nothing = suite.get(&format!("a/referrers/{}", sum(b"x"))).await;
        assert_eq!(nothing.status(), 200);
        let (name, subject) = (served.name("a"), subject.parse().unwrap());
        let said = tokio::task::spawn_blocking(move || {
            referrers(
                &name,
                &subject,
                Some("application/x.signature"),
                &Access::default(),
            )
            .unwrap()
        });
        assert_eq!(said.await.unwrap().len(), 1);
    });
}

#[test]
fn artifacts_are_no_images_and_stay_as_long_as_their_subject() {
    conformance(async |served, suite| {
        let config = suite.upload("a", b"{}").await;
        let layer = suite.upload("a", b"layer").await;
        let image = manifest(&config, &layer, serde_json::json!({}));
        let (subject, _) = suite.put("a", "1", &image).await;
        let about = |subject: &str, layer: &str| {
            let mut manifest = manifest(
                &config,
                layer,
                serde_json::json!({
                    "artifactType": "application/x.signature",
                    "subject": {"mediaType": image["mediaType"], "digest": subject, "size": 9},
                }),
            );
            manifest["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into();
            manifest["layers"][0]["mediaType"] = "application/x".into();
            manifest
        };
        let signature = suite.upload("a", b"signature").await;
        let notes = suite.upload("a", b"notes").await;
        let first = about(&subject, &signature);
        let first_digest = sum(first.to_string().as_bytes());
        suite.put("a", &first_digest, &first).await;
        // Something about the signature, and something that has only a tag.
        let second = about(&first_digest, &notes);
        let second_digest = sum(second.to_string().as_bytes());
        suite.put("a", &second_digest, &second).await;
        let mut chart = about(&subject, &notes);
        chart.as_object_mut().unwrap().remove("subject");
        suite.put("a", "chart", &chart).await;

        let store = served.store();
        assert_eq!(store.list().unwrap().images.len(), 1);
        let artifacts = store.artifacts().unwrap().artifacts;
        assert_eq!(artifacts.len(), 1, "{artifacts:?}");
        assert_eq!(artifacts[0].names[0].tag(), Some("chart"));
        assert!(
            store
                .find(&artifacts[0].names[0].to_string(), None)
                .is_err()
        );
        assert!(store.check(CheckOptions::default()).unwrap().is_empty());
        let blob = |digest: &str| {
            let hex = digest.strip_prefix("sha256:").unwrap();
            served.path().join("oci/blobs/sha256").join(hex).exists()
        };
        let collect = || {
            store.unlist_orphans().unwrap();
            // The server may hold what was pushed a moment ago.
            Store::open(served.path()).collect(&NoContainers).unwrap();
        };
        collect();
        assert!(blob(&signature) && blob(&notes) && blob(&second_digest));
        let listed = async || {
            let list = suite.get(&format!("a/referrers/{subject}")).await;
            list.json::<serde_json::Value>().await.unwrap()["manifests"]
                .as_array()
                .unwrap()
                .len()
        };
        assert_eq!(listed().await, 1);
        let path = format!("a/manifests/{subject}");
        assert_eq!(
            suite.ask(Method::DELETE, &path, b"", &[]).await.status(),
            202
        );
        collect();
        assert_eq!(listed().await, 0);
        assert_eq!(
            suite.head(&format!("a/manifests/{second_digest}")).await,
            404
        );
        assert_eq!(suite.head("a/manifests/chart").await, 200);
    });
}
