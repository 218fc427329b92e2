//! Every way in for a blob, with both algorithms, with the right and the wrong digest; and every part of it out.

use reqwest::{Method, Response};
use serde_json::Value;

use super::digests::sum512;
use super::{Conformance, conformance, location, sum};

const CHUNK: usize = 1024;
/// Three chunks, the last one shorter.
const LENGTH: usize = CHUNK * 3 - 5;
/// The same for words.
const WORDS: u32 = 3067;

fn noise(seed: u32) -> Vec<u8> {
    let words = (0..WORDS).map(|n| n.wrapping_add(seed).wrapping_mul(2_654_435_761));
    let noise: Vec<u8> = words.map(|word| word.to_be_bytes()[0]).collect();
    assert_eq!(noise.len(), LENGTH);
    noise
}

/// How a blob is sent.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// All in the first request.
    Post,
    /// One request to begin, one with all.
    PostPut,
    /// Without saying where in the blob it is.
    Stream,
    /// In order; the last chunk with the end, or before it.
    Chunks { put_last: bool },
    /// Each after one that does not belong there.
    Disorder { put_last: bool },
}

const WAYS: [Way; 7] = [
    Way::Post,
    Way::PostPut,
    Way::Stream,
    Way::Chunks { put_last: false },
    Way::Chunks { put_last: true },
    Way::Disorder { put_last: false },
    Way::Disorder { put_last: true },
];

impl Conformance {
    async fn begin(&self, name: &str) -> String {
        let path = format!("{name}/blobs/uploads/");
        let begun = self.ask(Method::POST, &path, b"", &[]).await;
        assert_eq!(begun.status(), 202);
        assert!(begun.headers().contains_key("docker-upload-uuid"));
        location(&begun)
    }

    /// Sends a blob; what the last request was answered.
    async fn send(&self, name: &str, way: Way, body: &[u8], digest: &str) -> Response {
        if matches!(way, Way::Post) {
            let path = format!("{name}/blobs/uploads/?digest={digest}");
            return self.ask(Method::POST, &path, body, &[]).await;
        }
        let place = self.begin(name).await;
        let end = |place: &str| format!("{place}?digest={digest}");
        match way {
            Way::Post | Way::PostPut => self.ask(Method::PUT, &end(&place), body, &[]).await,
            Way::Stream => {
                let sent = self.ask(Method::PATCH, &place, body, &[]).await;
                assert_eq!(sent.status(), 202);
                self.ask(Method::PUT, &end(&location(&sent)), b"", &[])
                    .await
            }
            Way::Chunks { put_last } => {
                let how = (false, put_last);
                self.send_chunks(place, how, body, digest).await
            }
            Way::Disorder { put_last } => {
                let how = (true, put_last);
                self.send_chunks(place, how, body, digest).await
            }
        }
    }

    async fn send_chunks(
        &self,
        mut place: String,
        (disorder, put_last): (bool, bool),
        body: &[u8],
        digest: &str,
    ) -> Response {
        let end = |place: &str| format!("{place}?digest={digest}");
        let mut at = 0;
        while at < body.len() {
            if disorder {
                place = self
                    .out_of_order((&place, digest), body, at, put_last)
                    .await;
            }
            let chunk = &body[at..body.len().min(at + CHUNK)];
            let range = format!("{at}-{}", at + chunk.len() - 1);
            let headers = [("content-range", range.as_str())];
            at += chunk.len();
            if at == body.len() && put_last {
                return self.ask(Method::PUT, &end(&place), chunk, &headers).await;
            }
            let sent = self.ask(Method::PATCH, &place, chunk, &headers).await;
            assert_eq!(sent.status(), 202);
            assert_eq!(sent.headers()["range"], format!("0-{}", at - 1).as_str());
            place = location(&sent);
        }
        self.ask(Method::PUT, &end(&place), b"", &[]).await
    }

    /// A chunk that does not follow, which changes nothing; where to go on.
    async fn out_of_order(
        &self,
        (place, digest): (&str, &str),
        body: &[u8],
        at: usize,
        put_last: bool,
    ) -> String {
        let ahead = at + CHUNK;
        let bad = if ahead < body.len() { ahead } else { 0 };
        let last = body.len().min(bad + CHUNK) - 1;
        let range = format!("{bad}-{last}");
        let (method, to) = match put_last && last + 1 == body.len() {
            true => (Method::PUT, format!("{place}?digest={digest}")),
            false => (Method::PATCH, place.to_owned()),
        };
        let headers = [("content-range", range.as_str())];
        let refused = self.ask(method, &to, &body[bad..=last], &headers).await;
        assert_eq!(refused.status(), 416);
        let so_far = format!("0-{}", at.saturating_sub(1));
        assert_eq!(refused.headers()["range"], so_far.as_str());
        let again = location(&refused);
        // Also by the address that was asked to end the upload.
        let status = self.ask(Method::GET, &to, b"", &[]).await;
        assert_eq!(status.status(), 204);
        assert_eq!(status.headers()["range"], so_far.as_str());
        assert_eq!(location(&status), again);
        again
    }

    async fn delete(&self, path: &str) -> u16 {
        let deleted = self.ask(Method::DELETE, path, b"", &[]).await;
        deleted.status().as_u16()
    }
}

#[test]
fn conformance_of_every_way_in() {
    conformance(async |served, suite| {
        for algorithm in [sum, sum512] {
            for (seed, way) in (0..).zip(WAYS) {
                let body = noise(seed * 7919);
                let digest = algorithm(&body);
                let path = format!("a/b/blobs/{digest}");
                assert_eq!(suite.head(&path).await, 404);
                let mut wrong = body.clone();
                wrong.extend(b"oh no");
                let refused = suite.send("a/b", way, &wrong, &digest).await;
                assert_eq!(refused.status(), 400, "{way:?}");
                let error: Value = refused.json().await.unwrap();
                assert_eq!(error["errors"][0]["code"], "DIGEST_INVALID", "{way:?}");
                assert_eq!(suite.head(&path).await, 404, "{way:?}");

                let sent = suite.send("a/b", way, &body, &digest).await;
                assert_eq!(sent.status(), 201, "{way:?}");
                assert_eq!(sent.headers()["docker-content-digest"], digest.as_str());
                let there = suite.get(&location(&sent)).await;
                assert_eq!(there.bytes().await.unwrap(), body, "{way:?}");
                let head = suite.ask(Method::HEAD, &path, b"", &[]).await;
                assert_eq!(head.headers()["docker-content-digest"], digest.as_str());
                let length = LENGTH.to_string();
                assert_eq!(head.headers()["content-length"], length.as_str());
                assert!(head.bytes().await.unwrap().is_empty());
                assert_eq!(suite.delete(&path).await, 202);
                assert_eq!(suite.head(&path).await, 404);
                assert_eq!(suite.delete(&path).await, 404);
            }
        }
        assert!(served.store().check(Default::default()).unwrap().is_empty());
    });
}

#[test]
fn conformance_of_parts() {
    conformance(async |_, suite| {
        let body = noise(1)[..2048].to_vec();
        let path = format!("a/blobs/{}", suite.upload("a", &body).await);
        let part = async |range: &str| {
            let headers = [("range", range)];
            suite.ask(Method::GET, &path, b"", &headers).await
        };
        for (range, first, last) in [
            ("bytes=500-1499", 500, 1499),
            ("bytes=500-", 500, 2047),
            ("bytes=-500", 1548, 2047),
            ("bytes=2000-5000", 2000, 2047),
            ("bytes=0-0", 0, 0),
        ] {
            let answer = part(range).await;
            assert_eq!(answer.status(), 206, "{range}");
            let told = format!("bytes {first}-{last}/2048");
            assert_eq!(answer.headers()["content-range"], told.as_str());
            let length = (last - first + 1).to_string();
            assert_eq!(answer.headers()["content-length"], length.as_str());
            assert_eq!(answer.bytes().await.unwrap(), body[first..=last], "{range}");
        }
        for range in ["bytes=500-0", "bytes=5000-10000", "bytes=-0"] {
            let answer = part(range).await;
            assert_eq!(answer.status(), 416, "{range}");
            assert_eq!(answer.headers()["content-range"], "bytes */2048");
        }
    });
}

#[test]
fn conformance_of_blobs_of_nothing_and_of_no_object() {
    conformance(async |_, suite| {
        for algorithm in [sum, sum512] {
            for body in [&b""[..], b"{}"] {
                let digest = algorithm(body);
                for way in [Way::Post, Way::PostPut, Way::Stream] {
                    let sent = suite.send("a", way, body, &digest).await;
                    assert_eq!(sent.status(), 201, "{way:?} {digest}");
                    let there = suite.get(&location(&sent)).await;
                    let length = body.len().to_string();
                    assert_eq!(there.headers()["content-length"], length.as_str());
                    assert_eq!(there.bytes().await.unwrap(), body);
                    assert_eq!(suite.delete(&format!("a/blobs/{digest}")).await, 202);
                }
            }
        }
    });
}

#[test]
fn conformance_of_mounts() {
    conformance(async |_, suite| {
        let body = noise(3);
        for algorithm in [sum, sum512] {
            let digest = algorithm(&body);
            let sent = suite.send("one", Way::PostPut, &body, &digest).await;
            assert_eq!(sent.status(), 201);
            for from in ["&from=one", ""] {
                let path = format!("two/blobs/uploads/?mount={digest}{from}");
                let mounted = suite.ask(Method::POST, &path, b"", &[]).await;
                assert_eq!(mounted.status(), 201, "{from}");
                assert_eq!(mounted.headers()["docker-content-digest"], digest.as_str());
                let place = location(&mounted);
                assert!(place.contains("/two/blobs/"), "{place}");
                assert_eq!(suite.get(&place).await.bytes().await.unwrap(), body);
            }
            let other = noise(4);
            let digest = algorithm(&other);
            for from in ["&from=one", ""] {
                let path = format!("two/blobs/uploads/?mount={digest}{from}");
                let begun = suite.ask(Method::POST, &path, b"", &[]).await;
                assert_eq!(begun.status(), 202, "what is nowhere has to be sent");
                let to = format!("{}?digest={digest}", location(&begun));
                let sent = suite.ask(Method::PUT, &to, &other, &[]).await;
                assert_eq!(sent.status(), 201);
                assert_eq!(suite.delete(&format!("two/blobs/{digest}")).await, 202);
            }
        }
    });
}
