//! Signatures of images as cosign makes them with a key: found, and verified against keys that are trusted.
//!
//! ```text
//!  sha256-<hex>.sig    a manifest: its layers are payloads, each with a signature beside it    (cosign 1 and 2)
//!  referrers           bundles: an envelope with a statement about the image and its signature (cosign 3)
//! ```
//!
//! What is believed is the signature of the key alone. Neither certificates nor the public log of signatures are
//! asked: whoever gives a key knows whose it is.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{SignatureVerificationAlgorithm as Algorithm, SubjectPublicKeyInfoDer};
use serde::Deserialize;

use super::access::Access;
use super::client::Client;
use super::manifest::remote_document;
use super::referrers::referrers;
use crate::documents::{CONFIG_LIMIT, Descriptor, Document};
use crate::progress::Silent;
use crate::reference::Reference;

/// What cosign 1 and 2 sign.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Where the signature of a payload stands.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What a payload says it is.
const PAYLOAD_TYPE: &str = "cosign container image signature";
/// What cosign 3 signs, and what it says of the image.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const STATEMENT: &str = "application/vnd.in-toto+json";
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
/// More signatures of one image than anybody has.
const SIGNATURES_LIMIT: usize = 100;

/// The public half of a key that images are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The algorithm's identifier in DER, without the sequence around it.
    algorithm: Vec<u8>,
    key: Vec<u8>,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: PayloadImage,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct PayloadImage {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

impl PublicKey {
    /// Reads a key in PEM (`-----BEGIN PUBLIC KEY-----`), such as `cosign.pub`.
    ///
    /// # Errors
    /// Class `Invalid` for what is none, or is of a kind that cannot be verified with.
    pub fn read(path: &Path) -> Result<Self> {
        let what = || format!("cannot use the key {}", path.display());
        let bytes = std::fs::read(path).explain(what)?;
        let invalid = |reason: &str| Error::new(Class::Invalid, what()).caused_by(reason);
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&bytes).map_err(|_invalid| {
            invalid("it is no public key in PEM").hint("give the file cosign.pub")
        })?;
        let key = Self::parse(&der).ok_or_else(|| invalid("it is no public key"))?;
        match algorithms().any(|known| known.public_key_alg_id().as_ref() == key.algorithm) {
            true => Ok(key),
            false => Err(invalid("keys of its kind are not known")
                .hint("use one of ECDSA (P-256, P-384), Ed25519 or RSA")),
        }
    }

    /// `SubjectPublicKeyInfo` of RFC 5280.
    fn parse(der: &[u8]) -> Option<Self> {
        let (0x30, outer, []) = element(der)? else {
            return None;
        };
        let (0x30, algorithm, rest) = element(outer)? else {
            return None;
        };
        // The first byte of a bit string tells how many bits of the last one do not count.
        let (0x03, [0, key @ ..], []) = element(rest)? else {
            return None;
        };
        Some(Self {
            algorithm: algorithm.to_vec(),
            key: key.to_vec(),
        })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let own = |known: &&dyn Algorithm| known.public_key_alg_id().as_ref() == self.algorithm;
        let verify = |known: &dyn Algorithm| {
            known
                .verify_signature(&self.key, message, signature)
                .is_ok()
        };
        algorithms().filter(own).any(verify)
    }
}

/// What signatures of registries' certificates are verified with.
fn algorithms() -> impl Iterator<Item = &'static dyn Algorithm> {
    let provider = rustls::crypto::ring::default_provider();
    provider
        .signature_verification_algorithms
        .all
        .iter()
        .copied()
}

/// One element of DER: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else {
        return None;
    };
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let known = bytes.len() <= size_of::<u32>();
            let join = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
            (known.then(|| bytes.iter().fold(0, join))?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// Makes sure that an image is signed with one of these keys.
///
/// # Errors
/// Class `Denied` if it is not; as for [`super::pull`] if its signatures cannot be read.
pub fn verify_signature(
    image: &Reference,
    digest: &Digest,
    keys: &[PublicKey],
    access: &Access,
) -> Result<()> {
    let cannot = || format!("cannot verify the signature of {}", image.familiar());
    let found = Signatures {
        image,
        digest,
        keys,
        access,
    };
    let read = found.of_tag().and_then(|(count, valid)| match valid {
        true => Ok((count, true)),
        false => found
            .of_referrers()
            .map(|(more, valid)| (count + more, valid)),
    });
    let (count, valid) = read.map_err(|error| error.context(cannot()))?;
    if valid {
        return Ok(());
    }
    let error = Error::new(Class::Denied, cannot());
    Err(match count {
        0 => error.caused_by(format!("nobody has signed {digest}")),
        1 => error.caused_by(format!("the signature of {digest} is by another key")),
        _ => error.caused_by(format!(
            "none of {count} signatures of {digest} is by that key"
        )),
    })
}

/// What is said of what has no signatures.
#[must_use]
pub fn unsigned(what: &str) -> Error {
    Error::new(
        Class::Invalid,
        format!("cannot verify a signature of {what}"),
    )
    .caused_by("only images of registries are signed")
    .hint("leave --verify away")
}

/// Where the signatures of one image are looked for; each place tells how many there are, and whether one counts.
struct Signatures<'a> {
    image: &'a Reference,
    digest: &'a Digest,
    keys: &'a [PublicKey],
    access: &'a Access,
}

impl Signatures<'_> {
    fn of_tag(&self) -> Result<(usize, bool)> {
        let (kind, hex) = (self.digest.algorithm(), self.digest.hex());
        let tag = Reference::parse(&format!("{}:{kind}-{hex}.sig", self.image.name()))?;
        let remote = match remote_document(&tag, self.access) {
            Err(error) if error.class() == Class::NotFound => return Ok((0, false)),
            remote => remote?,
        };
        let Document::Manifest(manifest) = remote.document else {
            return Ok((0, false));
        };
        let signed = |layer: &&Descriptor| {
            layer.media_type == PAYLOAD && layer.annotations.contains_key(SIGNATURE)
        };
        let mut count = 0;
        for layer in manifest.layers.iter().filter(signed).take(SIGNATURES_LIMIT) {
            count += 1;
            let payload = self.blob(&layer.digest)?;
            let signature = STANDARD.decode(layer.annotations[SIGNATURE].trim());
            if signature.is_ok_and(|signature| self.is_signed(&payload, &signature))
                && self.is_payload(&payload)
            {
                return Ok((count, true));
            }
        }
        Ok((count, false))
    }

    fn of_referrers(&self) -> Result<(usize, bool)> {
        let bundles = referrers(self.image, self.digest, Some(BUNDLE), self.access)?;
        let mut count = 0;
        for bundle in bundles.iter().take(SIGNATURES_LIMIT) {
            let remote = remote_document(&self.image.at(&bundle.digest), self.access)?;
            let Document::Manifest(manifest) = remote.document else {
                continue;
            };
            let mut layers = manifest.layers.iter();
            let Some(layer) = layers.find(|layer| layer.media_type == BUNDLE) else {
                continue;
            };
            count += 1;
            if self.is_bundle(&self.blob(&layer.digest)?) {
                return Ok((count, true));
            }
        }
        Ok((count, false))
    }

    /// Whether a payload says that this very image was signed.
    fn is_payload(&self, payload: &[u8]) -> bool {
        let read = serde_json::from_slice::<Payload>(payload);
        read.is_ok_and(|Payload { critical }| {
            critical.kind == PAYLOAD_TYPE && critical.image.digest == self.digest.as_str()
        })
    }

    /// Whether a bundle is a signature of this very image, and no other statement about it.
    fn is_bundle(&self, bundle: &[u8]) -> bool {
        let Ok(Bundle { dsse_envelope }) = serde_json::from_slice(bundle) else {
            return false;
        };
        let Ok(payload) = STANDARD.decode(&dsse_envelope.payload) else {
            return false;
        };
        let kind = &dsse_envelope.payload_type;
        let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        message.extend_from_slice(&payload);
        let by_key = |one: &EnvelopeSignature| {
            let signature = STANDARD.decode(&one.sig);
            signature.is_ok_and(|signature| self.is_signed(&message, &signature))
        };
        let hex = self.digest.hex();
        let about = |one: &Subject| {
            one.digest
                .get(self.digest.algorithm())
                .is_some_and(|it| it == hex)
        };
        kind == STATEMENT
            && dsse_envelope.signatures.iter().any(by_key)
            && serde_json::from_slice::<Statement>(&payload).is_ok_and(|statement| {
                statement.predicate_type == SIGNED && statement.subject.iter().any(about)
            })
    }

    fn is_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.keys.iter().any(|key| key.verifies(message, signature))
    }

    fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let endpoint = self.access.registries.own_endpoint(self.image)?;
        let client = Client::new(&endpoint, self.access, &Silent)?;
        let blob = client.small_blob(digest, CONFIG_LIMIT);
        let what = format!("cannot read {}", self.image.familiar());
        let blob = self.access.interrupt.block_on(&what, blob)?;
        blob.map_err(|failure| {
            failure.about_to("read", &self.image.familiar(), self.image.registry())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_keys_are_read() {
        assert_eq!(
            element(&[0x30, 2, 1, 2, 3]),
            Some((0x30, &[1, 2][..], &[3][..]))
        );
        assert_eq!(
            element(&[0x03, 0x81, 1, 7]),
            Some((0x03, &[7][..], &[][..]))
        );
        for cut in [
            &[][..],
            &[0x30],
            &[0x30, 2, 1],
            &[0x30, 0x82, 1],
            &[0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(element(cut), None, "{cut:?}");
        }
        let key = [&[0x30, 9, 0x30, 3, 6, 1, 42, 3, 2, 0, 9][..], &[]].concat();
        let parsed = PublicKey::parse(&key).unwrap();
        assert_eq!(
            (parsed.algorithm.as_slice(), parsed.key.as_slice()),
            (&[6, 1, 42][..], &[9][..])
        );
        assert!(PublicKey::parse(&key[..10]).is_none());
        assert!(
            PublicKey::parse(&[&key[..], &[0]].concat()).is_none(),
            "nothing follows a key"
        );
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cosign.pub");
        let unknown = "MAkwAwYBKgMCAAk=";
        for (text, reason) in [
            ("nonsense".to_owned(), "no public key in PEM"),
            (
                format!("-----BEGIN PUBLIC KEY-----\n{unknown}\n-----END PUBLIC KEY-----\n"),
                "not known",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = PublicKey::read(&path).unwrap_err();
            let line = berth_contract::Report::from(&error).line();
            assert!(line.contains(reason), "{line}");
        }
    }
}
