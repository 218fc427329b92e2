//! One blob on its way up (end-4, end-5, end-6, end-11).
//!
//! It is looked for first, then mounted from another repository, then sent: a small one in one request,
//! a large one in chunks, each of which can be sent again. A registry that takes no chunks gets it whole.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use berth_contract::Error;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::super::client::{Client, Payload, Request};
use super::super::failure::Failure;
use crate::documents::Descriptor;
use crate::progress::{Event, Provided};

/// Three of them are in memory at once.
const CHUNK: u64 = 8 << 20;
const OCTETS: &str = "application/octet-stream";

/// How a blob's way up begins.
#[derive(Debug)]
pub(in crate::registry) enum Begun {
    /// It has ended too.
    There(Provided),
    /// It has to be sent there.
    Upload(Url),
}

/// Why a blob is not there.
#[derive(Debug)]
pub(in crate::registry) enum Undone {
    Registry(Failure),
    Disk(io::Error),
}

impl From<Failure> for Undone {
    fn from(failure: Failure) -> Self {
        Self::Registry(failure)
    }
}

impl Undone {
    pub(in crate::registry) fn into_error(self, failed: impl FnOnce(Failure) -> Error) -> Error {
        match self {
            Self::Registry(failure) => failed(failure),
            Self::Disk(error) => {
                let class = berth_sys::error::class(&error);
                Error::new(class, "cannot read a blob of the image").caused_by(error)
            }
        }
    }
}

impl Client<'_> {
    /// Makes sure that the repository has a blob.
    pub(super) async fn provide(
        &self,
        blob: &Descriptor,
        path: &Path,
        donor: Option<&str>,
    ) -> Result<Provided, Undone> {
        match self.begin(blob, donor).await? {
            Begun::There(how) => Ok(how),
            Begun::Upload(place) => {
                self.upload(blob, path, place).await?;
                Ok(Provided::Uploaded)
            }
        }
    }

    /// Does without sending a blob if that is possible, or else begins to.
    pub(in crate::registry) async fn begin(
        &self,
        blob: &Descriptor,
        donor: Option<&str>,
    ) -> Result<Begun, Failure> {
        if self.has_blob(blob).await? {
            return Ok(Begun::There(Provided::Existed));
        }
        let start = match donor {
            Some(donor) => format!("blobs/uploads/?mount={}&from={donor}", blob.digest),
            None => "blobs/uploads/".to_owned(),
        };
        let request = Request::new(Method::POST, self.url(&start)?).header(CONTENT_LENGTH, "0");
        let response = match self.send(&request).await {
            // Not being allowed to look into the other repository must not end the push.
            Err(failure) if donor.is_some() && failure.is_final_answer() => {
                let request = Request::new(Method::POST, self.url("blobs/uploads/")?);
                self.send(&request.header(CONTENT_LENGTH, "0")).await?
            }
            response => response?,
        };
        if response.status() == StatusCode::CREATED {
            let mounted = Provided::Mounted(donor.unwrap_or_default().to_owned());
            return Ok(Begun::There(mounted));
        }
        let place = self.location(&request.url, response.headers())?;
        Ok(Begun::Upload(place))
    }

    async fn has_blob(&self, blob: &Descriptor) -> Result<bool, Failure> {
        match self.look_for(&blob.digest).await {
            Ok(()) => Ok(true),
            // Who may not read can still be allowed to write.
            Err(failure) if failure.is_final_answer() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Sends a blob to where [`Self::begin`] says.
    pub(in crate::registry) async fn upload(
        &self,
        blob: &Descriptor,
        path: &Path,
        to: Url,
    ) -> Result<(), Undone> {
        let file = std::fs::File::open(path).map_err(Undone::Disk)?;
        if blob.size <= CHUNK {
            let chunk = read(&file, 0, blob.size).map_err(Undone::Disk)?;
            self.put(blob, to, Payload::Bytes(chunk)).await?;
            return Ok(());
        }
        match self.chunks(blob, &file, to).await {
            Err(Undone::Registry(failure)) if takes_no_chunks(&failure) => {
                let url = self.url("blobs/uploads/")?;
                let request = Request::new(Method::POST, url).header(CONTENT_LENGTH, "0");
                let response = self.send(&request).await?;
                let to = self.location(&request.url, response.headers())?;
                let whole = Payload::File(path.to_owned(), blob.size);
                self.put(blob, to, whole).await?;
                Ok(())
            }
            result => result,
        }
    }

    /// Sends chunk after chunk, and continues where the registry says that it stopped.
    async fn chunks(
        &self,
        blob: &Descriptor,
        file: &std::fs::File,
        mut to: Url,
    ) -> Result<(), Undone> {
        let (mut sent, mut furthest, mut attempt) = (0, 0, 1);
        while sent < blob.size {
            let length = CHUNK.min(blob.size - sent);
            let chunk = read(file, sent, length).map_err(Undone::Disk)?;
            let mut request = Request::new(Method::PATCH, to.clone())
                .header(CONTENT_TYPE, OCTETS)
                .header(CONTENT_RANGE, &format!("{sent}-{}", sent + length - 1));
            request.body = Payload::Bytes(chunk);
            match self.authenticated(&request).await {
                Ok(response) => {
                    (to, sent) = self.after_chunk(&request.url, &response, sent + length)?;
                    // One that takes chunks and keeps none of them would be sent the first for ever.
                    if sent > furthest {
                        (furthest, attempt) = (sent, 1);
                    } else if attempt >= self.access.attempts {
                        let reason = "it keeps nothing of what is sent";
                        return Err(Failure::protocol(&Method::PATCH, &request.url, reason).into());
                    } else {
                        attempt += 1;
                    }
                }
                Err(failure) => {
                    let out_of_order =
                        failure.status == Some(StatusCode::RANGE_NOT_SATISFIABLE) && sent > 0;
                    if !out_of_order {
                        self.wait(&mut attempt, failure).await?;
                    } else if attempt >= self.access.attempts {
                        return Err(failure.into());
                    } else {
                        attempt += 1;
                    }
                    let status = self.send(&Request::new(Method::GET, to.clone())).await?;
                    (to, sent) = self.after_chunk(&to, &status, 0)?;
                }
            }
            self.progress.event(&Event::Uploading {
                layer: &blob.digest,
                sent,
                total: blob.size,
            });
        }
        self.put(blob, to, Payload::Empty).await?;
        Ok(())
    }

    /// Where the next chunk goes, and at which byte it begins: the registry knows best.
    fn after_chunk(
        &self,
        from: &Url,
        response: &Response,
        expected: u64,
    ) -> Result<(Url, u64), Failure> {
        let to = match response.headers().contains_key(LOCATION) {
            true => self.location(from, response.headers())?,
            false => from.clone(),
        };
        let range = response
            .headers()
            .get(RANGE)
            .and_then(|value| value.to_str().ok());
        let last = range.and_then(|range| {
            let range = range.strip_prefix("bytes=").unwrap_or(range);
            range.split_once('-')?.1.parse::<u64>().ok()
        });
        // `0-0` is what distribution says of an upload without any bytes.
        let received = last.map_or(expected, |last| if last == 0 { 0 } else { last + 1 });
        if received > expected && expected > 0 {
            let reason = "it claims to have more of the blob than was sent";
            return Err(Failure::protocol(&Method::PATCH, from, reason));
        }
        Ok((to, received))
    }

    /// Ends an upload, with all of the blob or with nothing more than its digest.
    async fn put(&self, blob: &Descriptor, mut to: Url, body: Payload) -> Result<(), Failure> {
        to.query_pairs_mut()
            .append_pair("digest", blob.digest.as_str());
        let mut request = Request::new(Method::PUT, to).header(CONTENT_TYPE, OCTETS);
        request = match &body {
            Payload::Empty => request.header(CONTENT_LENGTH, "0"),
            _ => request,
        };
        request.body = body;
        self.send(&request).await.map(drop)
    }

    /// Where an upload goes on. It may be another host, which then gets no login; never a step down to HTTP.
    fn location(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
        let protocol = |reason: &str| Failure::protocol(&Method::POST, from, reason);
        let text = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let mut url = from
            .join(text.ok_or_else(|| protocol("it does not say where to upload to"))?)
            .map_err(|error| protocol(&error.to_string()))?;
        if from.scheme() == "https" && url.scheme() == "http" {
            if url.host() != from.host() {
                return Err(protocol("it leads from https to http"));
            }
            // A registry behind a proxy that speaks TLS for it does not know better.
            url.set_scheme("https").ok();
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(protocol("it leads to something that is not HTTP"));
        }
        Ok(url)
    }
}

/// Whether it is the chunk itself that a registry refuses.
fn takes_no_chunks(failure: &Failure) -> bool {
    failure.status.is_some_and(|status| {
        status.is_client_error()
            && !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            || status == StatusCode::NOT_IMPLEMENTED
    })
}

fn read(file: &std::fs::File, at: u64, length: u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut chunk, at)?;
    Ok(chunk.into())
}
