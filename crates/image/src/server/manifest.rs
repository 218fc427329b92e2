//! Manifests and indexes: sending (end-3), taking in (end-7), deleting (end-9).

use berth_contract::Digest;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Limited};

use super::Server;
use super::patience::Sent;
use super::reply::{Body, Code, Refusal, Reply, empty, header, with};
use crate::documents::{Descriptor, Document, MANIFEST_LIMIT, media};
use crate::reference::Reference;
use crate::registry::subject;
use crate::store::{digest_of, sha256};

impl Server {
    /// A manifest by tag or digest, as it was received.
    pub(super) async fn manifest(&self, name: &Reference) -> Result<Reply, Refusal> {
        let fetched = match self.upstream_of(name) {
            Some(upstream) => upstream.refresh(&self.store, name).await?,
            None => None,
        };
        let found = match (fetched, name.digest()) {
            (Some(fetched), _) => Some(fetched),
            (None, Some(digest)) => self.store.pinned(name, digest)?,
            (None, None) => self.store.tagged(name)?,
        };
        let unknown = || {
            let message = format!("there is no manifest {}", name.familiar());
            Refusal::new(Code::ManifestUnknown, message)
        };
        let entry = found.ok_or_else(unknown)?;
        let bytes = self
            .store
            .read_blob(&entry.digest, MANIFEST_LIMIT)?
            .ok_or_else(unknown)?;
        let kind = if entry.media_type.is_empty() {
            Document::parse(&bytes, None)?.media_type().to_owned()
        } else {
            entry.media_type
        };
        let reply = with(StatusCode::OK, Body::Bytes(Some(bytes.into())));
        let reply = header(reply, CONTENT_TYPE, &kind);
        Ok(header(
            reply,
            "docker-content-digest",
            entry.digest.as_str(),
        ))
    }

    /// Takes a manifest in, once everything it needs is here.
    pub(super) async fn put_manifest(
        &self,
        name: &Reference,
        tags: &[String],
        headers: &HeaderMap,
        body: Sent,
    ) -> Result<Reply, Refusal> {
        let tagged = tagged(name, tags)?;
        let limit = usize::try_from(MANIFEST_LIMIT).unwrap_or(usize::MAX);
        let bytes = Limited::new(body, limit).collect().await.map_err(|error| {
            let message =
                format!("the manifest is larger than {limit} bytes or broke off: {error}");
            Refusal::new(Code::SizeInvalid, message)
        })?;
        let bytes = bytes.to_bytes();
        let announced = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let announced = announced.map(|text| text.split(';').next().unwrap_or_default().trim());
        let document = Document::parse(&bytes, announced)?;
        let digest = match name.digest() {
            Some(expected) => digest_of(expected, &bytes),
            None => sha256(&bytes),
        };
        if let Some(expected) = name.digest()
            && *expected != digest
        {
            let message = format!("the manifest has the digest {digest}");
            return Err(Refusal::new(Code::DigestInvalid, message));
        }
        let target = Descriptor::new(document.media_type(), digest.clone(), bytes.len() as u64);
        // From here on nothing is collected: what is found to be here stays until the manifest leads to it.
        let mut transaction = self.store.transaction()?;
        self.check_blobs(&document)?;
        transaction.add_bytes(&bytes, Some(&digest))?;
        self.store
            .put_manifest(transaction, (name, &tagged), &target)?;
        let place = format!("/v2/{}/manifests/{digest}", name.familiar_name());
        let reply = header(empty(StatusCode::CREATED), LOCATION, &place);
        let mut reply = header(reply, "docker-content-digest", digest.as_str());
        for tag in tags {
            if let Ok(value) = tag.parse() {
                reply.headers_mut().append("oci-tag", value);
            }
        }
        Ok(match subject(&bytes) {
            Some(subject) => header(reply, "oci-subject", subject.digest.as_str()),
            None => reply,
        })
    }

    /// What a manifest of layers names has to be here; what an index lists may be elsewhere.
    fn check_blobs(&self, document: &Document) -> Result<(), Refusal> {
        let Document::Manifest(manifest) = document else {
            return Ok(());
        };
        let needed = manifest.layers.iter().chain([&manifest.config]);
        let missing: Vec<&Digest> = needed
            .filter(|blob| !media::may_be_elsewhere(&blob.media_type))
            .map(|blob| &blob.digest)
            .filter(|digest| !self.store.has_blob(digest))
            .collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let message = format!("the manifest needs blob {first}, which is not here");
        let mut refusal = Refusal::new(Code::ManifestBlobUnknown, message);
        refusal.digests = missing.into_iter().map(ToString::to_string).collect();
        Err(refusal)
    }

    /// Deletes a tag, or a manifest with all its tags.
    pub(super) fn delete_manifest(&self, name: &Reference) -> Result<Reply, Refusal> {
        let deleted = match name.digest() {
            Some(digest) => self.delete_pinned(name, digest)?,
            None => self.store.delete_tag(name)?,
        };
        if deleted {
            return Ok(empty(StatusCode::ACCEPTED));
        }
        let message = format!("there is no manifest {}", name.familiar());
        Err(Refusal::new(Code::ManifestUnknown, message))
    }

    fn delete_pinned(&self, name: &Reference, digest: &Digest) -> Result<bool, Refusal> {
        if self.store.delete_manifest(name, digest)? {
            return Ok(true);
        }
        if self.store.pinned(name, digest)?.is_some() {
            let message = "an index lists the manifest; delete that first";
            return Err(Refusal::new(Code::Unsupported, message));
        }
        Ok(false)
    }
}

/// The further names a manifest is put under (end-7b).
fn tagged(name: &Reference, tags: &[String]) -> Result<Vec<Reference>, Refusal> {
    let tag = |tag: &String| {
        let invalid = |_| Refusal::new(Code::TagInvalid, format!("{tag:?} is no tag"));
        // A digest behind the tag would read as well.
        match tag.contains(['@', ':', '/']) {
            true => Err(Refusal::new(Code::TagInvalid, format!("{tag:?} is no tag"))),
            false => Reference::parse(&format!("{}:{tag}", name.name())).map_err(invalid),
        }
    };
    tags.iter().map(tag).collect()
}
