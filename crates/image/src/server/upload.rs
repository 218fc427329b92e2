//! Blobs on their way in: at once, in chunks, or mounted (end-4, end-5, end-6, end-11, end-13, end-14).
//!
//! An upload is a file of a transaction of its own, hashed as it grows. It lives in memory and in
//! `ingest/`; a server that ends takes it along, and the client begins anew.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_contract::Digest;
use berth_sys::process;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use super::Server;
use super::patience::Sent;
use super::reply::{Code, NO_DIGEST, Refusal, Reply, empty, header};
use crate::reference::Reference;
use crate::store::{Transaction, digest_of_reader};

/// How long an upload may rest.
const PATIENCE: Duration = Duration::from_secs(3600);
/// More than any number of clients needs.
const UPLOADS_LIMIT: usize = 1000;
/// When there are too many, one that rests for so long gives way.
const REST: Duration = Duration::from_secs(60);

/// The uploads under way, by their id.
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<String, Arc<tokio::sync::Mutex<Upload>>>>);

struct Upload {
    repository: String,
    transaction: Transaction,
    file: File,
    path: PathBuf,
    written: u64,
    hasher: Sha256,
    touched: Instant,
}

impl Uploads {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<Upload>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &Reference, id: &str) -> Result<Arc<tokio::sync::Mutex<Upload>>, Refusal> {
        let unknown = || Refusal::new(Code::BlobUploadUnknown, format!("there is no upload {id}"));
        let upload = self.all().get(id).cloned().ok_or_else(unknown)?;
        let own = upload
            .try_lock()
            .map_or(true, |upload| upload.repository == name.name());
        if own { Ok(upload) } else { Err(unknown()) }
    }

    /// Whether there is room for one more; the one that rests for longest makes it.
    fn make_room(&self) -> bool {
        let mut all = self.all();
        // Each has four files open, and there are connections besides.
        let files = process::limit(process::OPEN_FILES).map_or(u64::MAX, |limit| limit.soft);
        let limit = usize::try_from(files / 8).unwrap_or(UPLOADS_LIMIT);
        if all.len() < limit.min(UPLOADS_LIMIT) {
            return true;
        }
        let resting = all.iter().filter_map(|(id, upload)| {
            let rest = upload.try_lock().ok()?.touched.elapsed();
            (rest >= REST).then(|| (rest, id.clone()))
        });
        let longest = resting.max();
        longest.is_some_and(|(_, id)| all.remove(&id).is_some())
    }

    /// Drops what nobody has touched for long.
    pub(super) fn forget_stale(&self) {
        self.all().retain(|_, upload| {
            upload
                .try_lock()
                .map_or(true, |upload| upload.touched.elapsed() < PATIENCE)
        });
    }
}

impl Server {
    /// Begins an upload, or does without one: by mounting, or with all bytes in the same request.
    pub(super) async fn new_upload(
        &self,
        name: &Reference,
        query: &HashMap<String, String>,
        body: Sent,
    ) -> Result<Reply, Refusal> {
        // All repositories are in one store: wherever a blob comes from, it is here or it is not.
        if let Some(Ok(digest)) = query.get("mount").map(|text| text.parse::<Digest>())
            && self.store.has_blob(&digest)
        {
            self.keep_recent()?;
            return Ok(created(name, &digest));
        }
        if let Some(algorithm) = query.get("digest-algorithm")
            && !matches!(algorithm.as_str(), "sha256" | "sha512")
        {
            let message = format!("the algorithm {algorithm:?} is not known: use sha256 or sha512");
            return Err(Refusal::new(Code::DigestInvalid, message));
        }
        if !self.uploads.make_room() {
            return Err(Refusal::new(
                Code::TooManyRequests,
                "too many uploads are under way",
            ));
        }
        let transaction = self.store.transaction()?;
        let (file, path) = transaction.new_file()?;
        let mut upload = Upload {
            repository: name.name(),
            transaction,
            file,
            path,
            written: 0,
            hasher: Sha256::new(),
            touched: Instant::now(),
        };
        if let Some(digest) = query.get("digest") {
            let digest = parse(digest)?;
            upload.append(body).await?;
            return self.finish(name, upload, &digest);
        }
        let id = berth_sys::file::unique_name("")
            .to_string_lossy()
            .into_owned();
        let reply = accepted(name, &id, 0, StatusCode::ACCEPTED);
        self.uploads
            .all()
            .insert(id, Arc::new(tokio::sync::Mutex::new(upload)));
        Ok(reply)
    }

    /// How far an upload is.
    pub(super) async fn upload_status(&self, name: &Reference, id: &str) -> Result<Reply, Refusal> {
        let upload = self.uploads.find(name, id)?;
        let written = upload.lock().await.written;
        Ok(accepted(name, id, written, StatusCode::NO_CONTENT))
    }

    /// One more chunk, which has to begin where the last one ended.
    pub(super) async fn append(
        &self,
        name: &Reference,
        id: &str,
        headers: &HeaderMap,
        body: Sent,
    ) -> Result<Reply, Refusal> {
        let upload = self.uploads.find(name, id)?;
        let mut upload = upload.lock().await;
        if let Some(wrong) = upload.out_of_order(headers) {
            let reply = Refusal::new(Code::RangeInvalid, wrong).reply();
            return Ok(placed(reply, name, id, upload.written));
        }
        upload.append(body).await?;
        Ok(accepted(name, id, upload.written, StatusCode::ACCEPTED))
    }

    /// The last bytes, if any, and the digest that all of them must have.
    pub(super) async fn finish_upload(
        &self,
        name: &Reference,
        (id, query): (&str, &HashMap<String, String>),
        headers: &HeaderMap,
        body: Sent,
    ) -> Result<Reply, Refusal> {
        let shared = self.uploads.find(name, id)?;
        let digest = query.get("digest").map(|text| parse(text)).transpose()?;
        let digest =
            digest.ok_or_else(|| Refusal::new(Code::DigestInvalid, "the digest is missing"))?;
        {
            let mut upload = shared.lock().await;
            if let Some(wrong) = upload.out_of_order(headers) {
                let reply = Refusal::new(Code::RangeInvalid, wrong).reply();
                return Ok(placed(reply, name, id, upload.written));
            }
            upload.append(body).await?;
        }
        self.uploads.all().remove(id);
        let upload = Arc::try_unwrap(shared).map_err(|_shared| {
            Refusal::new(
                Code::BlobUploadInvalid,
                "another request is about the same upload",
            )
        })?;
        self.finish(name, upload.into_inner(), &digest)
    }

    /// Gives an upload up.
    pub(super) fn cancel_upload(&self, name: &Reference, id: &str) -> Result<Reply, Refusal> {
        drop(self.uploads.find(name, id)?);
        self.uploads.all().remove(id);
        Ok(empty(StatusCode::NO_CONTENT))
    }

    fn finish(&self, name: &Reference, upload: Upload, digest: &Digest) -> Result<Reply, Refusal> {
        let computed = if digest.algorithm() == "sha256" {
            Digest::sha256(upload.hasher.finalize().into())
        } else {
            digest_of_reader(digest, &mut File::open(&upload.path)?)?
        };
        if computed != *digest {
            let message = format!("the content has the digest {computed}, not {digest}");
            return Err(Refusal::new(Code::DigestInvalid, message));
        }
        self.keep_recent()?;
        let mut transaction = upload.transaction;
        transaction.add_file(upload.path, digest.clone());
        transaction.commit_unnamed()?;
        Ok(created(name, digest))
    }
}

impl Upload {
    /// Why a chunk does not belong here, if it does not.
    fn out_of_order(&self, headers: &HeaderMap) -> Option<String> {
        let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
        let range = range.strip_prefix("bytes ").unwrap_or(range);
        let range = range.split('/').next().unwrap_or_default();
        let Some((first, last)) = range.split_once('-').and_then(|(first, last)| {
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
        }) else {
            return Some(format!("{range:?} is no range"));
        };
        if first != self.written {
            return Some(format!("the next byte is {}, not {first}", self.written));
        }
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        match length {
            Some(length) if last.checked_sub(first).map(|less| less + 1) != Some(length) => {
                Some(format!("{range} is not {length} bytes"))
            }
            _ => None,
        }
    }

    async fn append(&mut self, mut body: Sent) -> Result<(), Refusal> {
        self.touched = Instant::now();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Refusal::new(
                    Code::BlobUploadInvalid,
                    format!("the body broke off: {error}"),
                )
            })?;
            if let Ok(bytes) = frame.into_data() {
                // What was written counts, so that a chunk that breaks off can be continued.
                self.file.write_all(&bytes)?;
                self.hasher.update(&bytes);
                self.written += bytes.len() as u64;
            }
        }
        self.touched = Instant::now();
        Ok(())
    }
}

fn parse(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|_invalid: berth_contract::Error| {
        Refusal::new(Code::DigestInvalid, format!("{text:?}: {NO_DIGEST}"))
    })
}

fn created(name: &Reference, digest: &Digest) -> Reply {
    let place = format!("/v2/{}/blobs/{digest}", name.familiar_name());
    let reply = header(empty(StatusCode::CREATED), LOCATION, &place);
    header(reply, "docker-content-digest", digest.as_str())
}

fn accepted(name: &Reference, id: &str, written: u64, status: StatusCode) -> Reply {
    placed(empty(status), name, id, written)
}

fn placed(reply: Reply, name: &Reference, id: &str, written: u64) -> Reply {
    let place = format!("/v2/{}/blobs/uploads/{id}", name.familiar_name());
    let reply = header(reply, LOCATION, &place);
    let reply = header(reply, "docker-upload-uuid", id);
    header(reply, RANGE, &format!("0-{}", written.saturating_sub(1)))
}
