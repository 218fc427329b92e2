//! Signatures made by openssl, in the places and documents of cosign.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_contract::{Class, Report};
use berth_image::{PublicKey, PullOptions, PullPolicy, Reference, Silent, Store, pull};
use serde_json::{Value, json};

use crate::closure::{Answer, serve};
use crate::content::{Content, pull_from};

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Pairs of keys in a directory.
struct Keys(tempfile::TempDir);

impl Keys {
    /// `None` where there is no openssl.
    fn new() -> Option<Self> {
        let keys = Self(tempfile::tempdir().unwrap());
        let made = keys.make(
            "ours",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        );
        if !made {
            println!("SKIPPED: openssl is not installed");
            return None;
        }
        assert!(keys.make(
            "theirs",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        ));
        assert!(keys.make("edwards", &["-algorithm", "ED25519"]));
        assert!(keys.make(
            "rsa",
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        ));
        Some(keys)
    }

    fn make(&self, name: &str, how: &[&str]) -> bool {
        let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
        self.openssl(&[&["genpkey", "-out", &key], how].concat())
            && self.openssl(&["pkey", "-in", &key, "-pubout", "-out", &public])
    }

    fn openssl(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(self.0.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn public(&self, name: &str) -> Vec<PublicKey> {
        vec![PublicKey::read(&self.path(&format!("{name}.pub"))).unwrap()]
    }

    fn sign(&self, name: &str, message: &[u8]) -> String {
        std::fs::write(self.path("message"), message).unwrap();
        let key = format!("{name}.key");
        let signed = match name {
            "edwards" => self.openssl(&[
                "pkeyutl",
                "-sign",
                "-rawin",
                "-inkey",
                &key,
                "-in",
                "message",
                "-out",
                "signature",
            ]),
            _ => self.openssl(&[
                "dgst",
                "-sha256",
                "-sign",
                &key,
                "-out",
                "signature",
                "message",
            ]),
        };
        assert!(signed);
        STANDARD.encode(std::fs::read(self.path("signature")).unwrap())
    }
}

/// Documents by the end of their path, with their media types.
type Documents = HashMap<String, (String, Vec<u8>)>;

/// What a registry has beside an image.
#[derive(Clone, Default)]
struct Beside(Arc<Mutex<Documents>>);

impl Beside {
    fn put(&self, end: &str, kind: &str, body: &[u8]) {
        let entry = (kind.to_owned(), body.to_vec());
        self.0.lock().unwrap().insert(end.to_owned(), entry);
    }

    /// A blob or a manifest, and its descriptor.
    fn add(&self, place: &str, kind: &str, body: &[u8]) -> Value {
        let digest = format!("sha256:{}", digest(body));
        self.put(&format!("{place}/{digest}"), kind, body);
        json!({ "mediaType": kind, "digest": digest, "size": body.len() })
    }

    fn manifest(&self, layer: &Value, artifact: Option<&str>) -> Vec<u8> {
        let config = self.add("blobs", "application/vnd.oci.empty.v1+json", b"{}");
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        if let Some(kind) = artifact {
            manifest["artifactType"] = kind.into();
        }
        manifest.to_string().into_bytes()
    }

    /// Signs as cosign 1 and 2 do; `about` is what the payload says it is about.
    fn sign(&self, keys: &Keys, name: &str, (image, about): (&str, &str)) {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": "registry.test/app" },
                "image": { "docker-manifest-digest": about },
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string().into_bytes();
        let mut layer = self.add("blobs", PAYLOAD, &payload);
        let signature = keys.sign(name, &payload);
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
        let tag = format!("manifests/{}.sig", image.replace(':', "-"));
        self.put(&tag, MANIFEST, &self.manifest(&layer, None));
    }

    /// Signs as cosign 3 does, with a statement of this kind.
    fn attest(&self, keys: &Keys, (image, about, kind): (&str, &str, &str)) {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": about.strip_prefix("sha256:").unwrap() } }],
            "predicateType": kind, "predicate": {},
        });
        let statement = statement.to_string();
        let of = "application/vnd.in-toto+json";
        let message = format!("DSSEv1 {} {of} {} {statement}", of.len(), statement.len());
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": "x" } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&statement), "payloadType": of,
                "signatures": [{ "sig": keys.sign("ours", message.as_bytes()) }],
            },
        });
        let layer = self.add("blobs", BUNDLE, bundle.to_string().as_bytes());
        let manifest = self.manifest(&layer, Some(BUNDLE));
        let mut entry = self.add("manifests", MANIFEST, &manifest);
        entry["artifactType"] = BUNDLE.into();
        let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        self.put(
            &format!("referrers/{image}"),
            INDEX,
            list.to_string().as_bytes(),
        );
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A registry with one image, its digest, and what is beside it.
fn registry() -> (String, String, Beside) {
    let content = Content::new();
    let image = content.manifest.clone();
    let beside = Beside::default();
    let there = beside.clone();
    let address = serve(move |request| {
        let all = there.0.lock().unwrap();
        let found = all
            .iter()
            .find(|(end, _)| request.path.ends_with(end.as_str()));
        if let Some((_, (kind, body))) = found {
            return Answer::new(200, body).header("content-type", kind.as_str());
        }
        match request.path.contains("/manifests/sha256-") || request.path.contains("/referrers/") {
            true => Answer::new(404, b"{}"),
            false => content.answer(request),
        }
    });
    (address, image, beside)
}

fn options(keys: Vec<PublicKey>) -> PullOptions {
    let mut options = PullOptions {
        keys,
        ..PullOptions::default()
    };
    options.access.attempts = 1;
    options
}

const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

#[test]
fn only_what_is_signed_with_the_key_is_pulled() {
    let Some(keys) = Keys::new() else { return };
    let (address, image, beside) = registry();
    let other = format!("sha256:{}", "b".repeat(64));
    let result = || {
        let pulled = pull_from(&address, &options(keys.public("ours")));
        pulled.map(drop).map_err(|error| {
            assert_eq!(error.class(), Class::Denied, "{error:?}");
            Report::from(&error).causes.join(": ")
        })
    };
    assert_eq!(result(), Err(format!("nobody has signed {image}")));
    beside.sign(&keys, "ours", (&image, &image));
    assert_eq!(result(), Ok(()));
    for name in ["edwards", "rsa"] {
        beside.sign(&keys, name, (&image, &image));
        pull_from(&address, &options(keys.public(name))).unwrap();
    }
    let by_another = Err(format!("the signature of {image} is by another key"));
    beside.sign(&keys, "theirs", (&image, &image));
    assert_eq!(result(), by_another);
    let both = [keys.public("ours"), keys.public("theirs")].concat();
    pull_from(&address, &options(both)).unwrap();
    // A signature of something else, hung on this image.
    beside.sign(&keys, "ours", (&image, &other));
    assert_eq!(result(), by_another);

    beside.clear();
    beside.attest(&keys, (&image, &image, SIGNED));
    assert_eq!(result(), Ok(()));
    for (about, kind) in [(&other, SIGNED), (&image, "https://spdx.dev/Document")] {
        beside.attest(&keys, (&image, about, kind));
        assert_eq!(result(), by_another, "{about} {kind}");
    }
}

#[test]
fn what_is_here_is_verified_like_what_comes() {
    let Some(keys) = Keys::new() else { return };
    let (address, image, beside) = registry();
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let name = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let signed = |policy| {
        let options = PullOptions {
            policy,
            stale_if_error: true,
            ..options(keys.public("ours"))
        };
        pull(&store, &name, &options, &Silent)
            .map(drop)
            .map_err(|error| error.class())
    };
    assert_eq!(signed(PullPolicy::Missing), Err(Class::Denied));
    assert!(is_empty(data.path()), "nothing of it was fetched");
    pull(&store, &name, &PullOptions::default(), &Silent).unwrap();
    for policy in [
        PullPolicy::Missing,
        PullPolicy::Never,
        PullPolicy::Always,
        PullPolicy::Newer,
    ] {
        assert_eq!(signed(policy), Err(Class::Denied), "{policy:?}");
    }
    beside.sign(&keys, "ours", (&image, &image));
    for policy in [
        PullPolicy::Missing,
        PullPolicy::Never,
        PullPolicy::Always,
        PullPolicy::Newer,
    ] {
        assert_eq!(signed(policy), Ok(()), "{policy:?}");
    }
    let mut offline = options(keys.public("ours"));
    offline.access.offline = true;
    let error = pull(&store, &name, &offline, &Silent).unwrap_err();
    assert_eq!(error.class(), Class::Unavailable);
}

fn is_empty(data: &Path) -> bool {
    let blobs = std::fs::read_dir(data.join("oci/blobs/sha256"));
    blobs.map_or(true, |mut blobs| blobs.next().is_none())
}
