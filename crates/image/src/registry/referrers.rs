//! What other manifests say about one (end-12a, end-12b), and the tag that stands in for the list where a
//! registry does not keep it (distribution-spec, "Referrers Tag Schema").

use berth_contract::{Digest, Result};
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::access::Access;
use super::client::{Client, Request};
use super::failure::Failure;
use super::tags::next_page;
use super::transport;
use crate::documents::{Descriptor, Document, Index, MANIFEST_LIMIT, media, to_json};
use crate::progress::Silent;
use crate::reference::Reference;
use crate::store::sha256;

/// More pages than anybody reads.
const PAGES_LIMIT: usize = 1000;
/// More than any of them tells.
const ENTRIES_LIMIT: usize = 10_000;

/// What is said about a manifest: descriptors of the manifests that name it as their subject.
///
/// # Errors
/// As for [`super::pull`]; nothing said is no error.
pub fn referrers(
    repository: &Reference,
    subject: &Digest,
    artifact_type: Option<&str>,
    access: &Access,
) -> Result<Vec<Descriptor>> {
    let endpoint = access.registries.own_endpoint(repository)?;
    let client = Client::new(&endpoint, access, &Silent)?;
    let listed = transport::runtime()?.block_on(client.referrers(subject));
    let name = repository.familiar_name();
    let mut listed = listed.map_err(|failure| {
        failure.about_to("list what is said about", &name, repository.registry())
    })?;
    // Registries may leave the filter to the client.
    listed
        .retain(|entry| artifact_type.is_none() || entry.artifact_type.as_deref() == artifact_type);
    Ok(listed)
}

impl Client<'_> {
    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Failure> {
        let mut entries = Vec::new();
        let mut next = Some(self.url(&format!("referrers/{subject}"))?);
        for _ in 0..PAGES_LIMIT {
            let Some(url) = next else { break };
            let request = Request::new(Method::GET, url).header(ACCEPT, media::OCI_INDEX);
            let response = match self.send(&request).await {
                Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => {
                    return self.fallback(subject).await;
                }
                response => response?,
            };
            let kind = response.headers().get(CONTENT_TYPE);
            if kind.is_none_or(|kind| !kind.as_bytes().starts_with(media::OCI_INDEX.as_bytes())) {
                return self.fallback(subject).await;
            }
            next = next_page(response.headers(), &request.url);
            let bytes = self.body(response, MANIFEST_LIMIT, &request.url).await?;
            entries.extend(index(&request, &bytes)?.manifests);
            if entries.len() > ENTRIES_LIMIT {
                let reason = "it says more than anybody has to say about one manifest";
                return Err(Failure::protocol(&request.method, &request.url, reason));
            }
        }
        Ok(entries)
    }

    /// The list that clients keep under a tag of their own.
    async fn fallback(&self, subject: &Digest) -> Result<Vec<Descriptor>, Failure> {
        let request = self.manifest_request(Method::GET, &tag_of(subject))?;
        match self.send(&request).await {
            Ok(response) => {
                let bytes = self.body(response, MANIFEST_LIMIT, &request.url).await?;
                Ok(index(&request, &bytes)?.manifests)
            }
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }

    /// Adds a manifest to the list of its subject, for a registry that keeps none.
    pub(super) async fn list_referrer(
        &self,
        subject: &Descriptor,
        descriptor: &Descriptor,
        manifest: &[u8],
    ) -> Result<(), Failure> {
        let mut entries = self.fallback(&subject.digest).await?;
        if entries
            .iter()
            .any(|entry| entry.digest == descriptor.digest)
        {
            return Ok(());
        }
        entries.push(described(descriptor, manifest));
        let index = to_json(&Index::new(entries));
        let listed = Descriptor::new(media::OCI_INDEX, sha256(&index), index.len() as u64);
        // The index has no subject itself, so this does not come back here.
        Box::pin(self.put_manifest(&tag_of(&subject.digest), &listed, Bytes::from(index))).await
    }
}

/// A manifest as lists of referrers describe it: with its artifact type and annotations.
pub(crate) fn described(descriptor: &Descriptor, manifest: &[u8]) -> Descriptor {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        #[serde(default)]
        artifact_type: Option<String>,
        #[serde(default)]
        config: Option<Descriptor>,
        #[serde(default)]
        annotations: std::collections::BTreeMap<String, String>,
    }
    let mut entry = Descriptor::new(
        &descriptor.media_type,
        descriptor.digest.clone(),
        descriptor.size,
    );
    if let Ok(shape) = serde_json::from_slice::<Shape>(manifest) {
        let of_config = shape.config.map(|config| config.media_type);
        let named = shape.artifact_type.filter(|kind| !kind.is_empty());
        entry.artifact_type = named.or(of_config);
        entry.annotations = shape.annotations;
    }
    entry
}

fn index(request: &Request, bytes: &[u8]) -> Result<Index, Failure> {
    match Document::parse(bytes, Some(media::OCI_INDEX)) {
        Ok(Document::Index(index)) => Ok(index),
        _ => Err(Failure::protocol(
            &request.method,
            &request.url,
            "the answer is no index",
        )),
    }
}

/// `sha256-<hex>`, cut to the length of a tag.
fn tag_of(subject: &Digest) -> String {
    let mut tag = format!("{}-{}", subject.algorithm(), subject.hex());
    tag.truncate(128);
    tag
}
