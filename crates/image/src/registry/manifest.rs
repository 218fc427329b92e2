//! Manifests and indexes of a repository, verified.

use berth_contract::{Digest, Result};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Method, Response};

use super::access::Access;
use super::client::{Client, Request};
use super::failure::Failure;
use crate::documents::{Descriptor, Document, MANIFEST_LIMIT, media};
use crate::progress::Silent;
use crate::reference::Reference;

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A document as the registry sent it.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: Option<String>,
    pub(crate) digest: Digest,
}

/// A manifest or index as its registry has it.
#[derive(Debug, Clone)]
pub struct RemoteDocument {
    /// Its very bytes.
    pub bytes: Vec<u8>,
    /// What names it.
    pub descriptor: Descriptor,
    /// What it says.
    pub document: Document,
}

/// A manifest or index as its registry has it, verified; nothing is kept.
///
/// # Errors
/// As for [`super::pull`].
pub fn remote_document(reference: &Reference, access: &Access) -> Result<RemoteDocument> {
    let endpoint = access.registries.own_endpoint(reference)?;
    let client = Client::new(&endpoint, access, &Silent)?;
    let what = reference.digest().map(Digest::as_str).or(reference.tag());
    let received = client.manifest(what.unwrap_or("latest"), reference.digest());
    let what = format!("cannot read {}", reference.familiar());
    let received = access
        .interrupt
        .block_on(&what, received)?
        .map_err(|failure| failure.about_to("read", &reference.familiar(), reference.registry()))?;
    let document = Document::parse(&received.bytes, received.media_type.as_deref())?;
    let size = received.bytes.len() as u64;
    Ok(RemoteDocument {
        descriptor: Descriptor::new(document.media_type(), received.digest, size),
        bytes: received.bytes,
        document,
    })
}

impl Client<'_> {
    /// The digest a tag has now, if the registry tells without sending the document (end-3).
    pub(crate) async fn digest_of_tag(&self, tag: &str) -> Result<Option<Digest>, Failure> {
        let request = self.manifest_request(Method::HEAD, tag)?;
        match self.send(&request).await {
            Ok(response) => Ok(digest_of(response.headers())),
            // HEAD tells no reason: let GET find it out.
            Err(failure) if failure.is_final_answer() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A manifest or index by tag or digest, verified (end-3).
    pub(crate) async fn manifest(
        &self,
        what: &str,
        expected: Option<&Digest>,
    ) -> Result<Received, Failure> {
        let request = self.manifest_request(Method::GET, what)?;
        let response = self.send(&request).await?;
        let media_type = media_type_of(&response);
        let announced = digest_of(response.headers());
        let bytes = self.body(response, MANIFEST_LIMIT, &request.url).await?;
        Failure::unless_page(&request.method, &request.url, &bytes)?;
        // The digest asked for decides; what the registry announces must agree with it too.
        let digest = expected.cloned().or(announced);
        let digest = digest.unwrap_or_else(|| crate::store::sha256(&bytes));
        let computed = crate::store::digest_of(&digest, &bytes);
        if computed != digest {
            return Err(Failure::content(&request.url, &digest, &computed));
        }
        Ok(Received {
            bytes,
            media_type,
            digest,
        })
    }

    /// A small blob, verified (end-2).
    pub(crate) async fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Failure> {
        let request = Request::new(Method::GET, self.url(&format!("blobs/{digest}"))?);
        let response = self.send(&request).await?;
        let bytes = self.body(response, limit, &request.url).await?;
        let computed = crate::store::digest_of(digest, &bytes);
        if computed != *digest {
            return Err(Failure::content(&request.url, digest, &computed));
        }
        Ok(bytes)
    }

    pub(crate) fn manifest_request(&self, method: Method, what: &str) -> Result<Request, Failure> {
        let url = self.url(&format!("manifests/{what}"))?;
        Ok(Request::new(method, url).header(ACCEPT, &media::accepted()))
    }
}

/// The digest that an answer announces.
pub(crate) fn digest_of(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// The media type of an answer, without parameters.
fn media_type_of(response: &Response) -> Option<String> {
    let text = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = text.split(';').next().unwrap_or_default();
    Some(kind.trim().to_ascii_lowercase())
}
