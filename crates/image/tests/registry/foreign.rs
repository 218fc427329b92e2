//! Layers that their manifest says are elsewhere: nobody is asked for them (CVE-2020-15157).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use berth_contract::Class;
use berth_image::{Login, PullOptions, Reference, Silent, Store, pull};
use sha2::{Digest as _, Sha256};

use crate::closure::{Answer, serve};
use crate::content::Content;

/// Other types of layers that registries may lack, and whether berth takes them from the registry itself.
const TYPES: [(&str, bool); 3] = [
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        false,
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        true,
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        true,
    ),
];

/// A registry whose manifest calls its layer so, and says that it is elsewhere; who listens there counts.
fn lying(kind: &str, lacks: bool) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let elsewhere = serve(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Answer::new(200, b"")
    });
    let mut content = Content::new();
    let layer = content.largest();
    let manifest = content.blobs[&content.manifest].clone();
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["layers"][0]["mediaType"] = kind.into();
    manifest["layers"][0]["urls"] = serde_json::json!([format!("http://{elsewhere}/{layer}")]);
    let bytes = manifest.to_string().into_bytes();
    let hex = Sha256::digest(&bytes);
    let hex: String = hex.iter().map(|byte| format!("{byte:02x}")).collect();
    content.manifest = format!("sha256:{hex}");
    content.blobs.insert(content.manifest.clone(), bytes);
    if lacks {
        content.blobs.remove(&layer);
    }
    let registry = serve(move |request| content.answer(request));
    (registry, asked)
}

fn pulled(registry: &str) -> berth_contract::Result<()> {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let reference = Reference::parse(&format!("{registry}/team/app:1")).unwrap();
    let mut options = PullOptions::default();
    options.access.attempts = 1;
    // What could be given away.
    options
        .access
        .credentials
        .insert(registry, Login::parse("me:secret"));
    let pulled = pull(&store, &reference, &options, &Silent);
    if pulled.is_err() {
        assert!(store.list().unwrap().images.is_empty());
    }
    pulled.map(drop)
}

#[test]
fn nobody_is_asked_for_layers_that_are_elsewhere() {
    for (kind, taken) in TYPES {
        let (registry, asked) = lying(kind, false);
        let outcome = pulled(&registry);
        assert_eq!(outcome.is_ok(), taken, "{kind}: {outcome:?}");
        if let Err(error) = outcome {
            assert_eq!(error.class(), Class::Unsupported, "{error:?}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{kind}");
        let (registry, asked) = lying(kind, true);
        assert!(pulled(&registry).is_err(), "{kind}");
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{kind}");
    }
}
