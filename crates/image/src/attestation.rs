//! What an index says about its images in further manifests: in-toto statements, as `BuildKit` writes them.
//!
//! ```text
//!  index ─┬─► image
//!         └─► manifest "about" it ─► layers, one for each statement ─► its predicate
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_contract::{Class, Digest, Error, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::documents::{Descriptor, Document, Index};

/// Larger than any statement; a bill of materials is the largest of them.
pub const STATEMENT_LIMIT: u64 = 64 << 20;

/// What an entry is about: today's annotation, and the one before it.
const ABOUT: [&str; 2] = ["vnd.docker.reference.digest", "com.docker.reference.digest"];
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// What a statement tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predicate {
    /// How it was built (SLSA).
    Provenance,
    /// What it is made of (SPDX).
    Materials,
}

impl Predicate {
    fn is_of(self, kind: &str) -> bool {
        match self {
            Self::Provenance => kind.starts_with("https://slsa.dev/provenance/"),
            Self::Materials => kind == "https://spdx.dev/Document",
        }
    }
}

#[derive(Deserialize)]
struct Statement {
    #[serde(default)]
    predicate: Value,
}

/// A signed envelope (DSSE), whose signature is not looked at.
#[derive(Deserialize)]
struct Envelope {
    payload: String,
}

/// What an index says of this kind about one of its images; `document` and `blob` fetch.
///
/// # Errors
/// Something of it cannot be fetched, or is no statement.
pub fn predicates(
    index: &Index,
    (image, wanted): (&Digest, Predicate),
    document: &dyn Fn(&Descriptor) -> Result<Document>,
    blob: &dyn Fn(&Digest) -> Result<Vec<u8>>,
) -> Result<Vec<Value>> {
    let is_about = |entry: &&Descriptor| {
        let mut names = ABOUT.iter().filter_map(|key| entry.annotations.get(*key));
        names.any(|name| name == image.as_str())
    };
    let mut found = Vec::new();
    for entry in index.manifests.iter().filter(is_about) {
        let Document::Manifest(manifest) = document(entry)? else {
            continue;
        };
        for layer in &manifest.layers {
            let kind = layer.annotations.get(PREDICATE_TYPE);
            if is_statement(&layer.media_type) && kind.is_some_and(|kind| wanted.is_of(kind)) {
                let bytes = blob(&layer.digest)?;
                found.push(predicate(&bytes, &layer.media_type).ok_or_else(|| {
                    let message = format!("the statement {} cannot be read", layer.digest);
                    Error::new(Class::Invalid, message)
                })?);
            }
        }
    }
    Ok(found)
}

fn is_enveloped(kind: &str) -> bool {
    kind.starts_with("application/vnd.in-toto.") && kind.ends_with("+dsse")
}

fn is_statement(kind: &str) -> bool {
    kind == "application/vnd.in-toto+json" || is_enveloped(kind)
}

fn predicate(bytes: &[u8], kind: &str) -> Option<Value> {
    let opened;
    let bytes = if is_enveloped(kind) {
        let envelope: Envelope = serde_json::from_slice(bytes).ok()?;
        opened = STANDARD.decode(envelope.payload).ok()?;
        &opened
    } else {
        bytes
    };
    let statement: Statement = serde_json::from_slice(bytes).ok()?;
    Some(statement.predicate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::documents::{Manifest, media};
    use crate::store::sha256;

    fn statement(kind: &str, predicate_type: &str, bytes: &[u8]) -> Descriptor {
        let mut layer = Descriptor::new(kind, sha256(bytes), bytes.len() as u64);
        let note = (PREDICATE_TYPE.to_owned(), predicate_type.to_owned());
        layer.annotations = BTreeMap::from([note]);
        layer
    }

    #[test]
    fn statements_are_found_by_what_they_are_about() {
        let plain = json!({"predicate": {"builder": "x"}})
            .to_string()
            .into_bytes();
        let inner = STANDARD.encode(json!({"predicate": {"packages": [1]}}).to_string());
        let signed = json!({"payload": inner, "signatures": []})
            .to_string()
            .into_bytes();
        let layers = vec![
            statement(
                "application/vnd.in-toto+json",
                "https://slsa.dev/provenance/v1",
                &plain,
            ),
            statement(
                "application/vnd.in-toto.spdx+dsse",
                "https://spdx.dev/Document",
                &signed,
            ),
            statement("text/plain", "https://spdx.dev/Document", b"no statement"),
        ];
        let config = Descriptor::new(media::OCI_CONFIG, sha256(b"{}"), 2);
        let text = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let manifest: Manifest = serde_json::from_value(text).unwrap();
        let (image, other) = (sha256(b"image"), sha256(b"other"));
        let entry = |about: &Digest, key: &str| {
            let mut entry = Descriptor::new(media::OCI_MANIFEST, sha256(b"about"), 1);
            entry.annotations.insert(key.to_owned(), about.to_string());
            entry
        };
        let index = Index::new(vec![
            Descriptor::new(media::OCI_MANIFEST, image.clone(), 1),
            entry(&image, ABOUT[0]),
            entry(&other, ABOUT[1]),
        ]);
        let document = |_: &Descriptor| Ok(Document::Manifest(manifest.clone()));
        let blob = |digest: &Digest| {
            let known = [&plain, &signed].into_iter();
            let mut known = known.filter(|bytes| sha256(bytes) == *digest);
            Ok(known.next().unwrap().clone())
        };
        for about in [&image, &other] {
            let find = |kind| predicates(&index, (about, kind), &document, &blob).unwrap();
            assert_eq!(find(Predicate::Provenance), [json!({"builder": "x"})]);
            assert_eq!(find(Predicate::Materials), [json!({"packages": [1]})]);
        }
        let nothing = predicates(
            &index,
            (&sha256(b"third"), Predicate::Provenance),
            &document,
            &blob,
        );
        assert!(nothing.unwrap().is_empty());
        let damaged = |_: &Digest| Ok(b"<html>".to_vec());
        let wanted = (&image, Predicate::Provenance);
        assert!(predicates(&index, wanted, &document, &damaged).is_err());
    }
}
