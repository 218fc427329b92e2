//! Downloading one blob into a growing file, resuming where an earlier attempt stopped.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use berth_contract::Digest;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::client::{Client, Request};
use super::failure::Failure;
use super::tail::Tail;
use crate::documents::Descriptor;
use crate::progress::{Event, Progress};

/// What a connection must bring within the patience, and an attempt to count as progress.
const TRICKLE: u64 = 16 << 10;

/// One blob to download, and where to.
pub(crate) struct Download<'a> {
    pub(crate) blob: &'a Descriptor,
    pub(crate) tail: &'a Tail,
    pub(crate) progress: &'a dyn Progress,
    /// Set when somebody else's failure makes it pointless.
    pub(crate) cancelled: &'a AtomicBool,
}

/// Why a blob did not arrive.
#[derive(Debug)]
pub(crate) enum Undone {
    /// The registry's fault.
    Registry(Failure),
    /// This machine's.
    Disk(io::Error),
    /// Somebody else's failure made it pointless.
    Cancelled,
}

impl Client<'_> {
    /// Asks whether the repository has a blob, which fails if it has not (end-2).
    pub(crate) async fn look_for(&self, blob: &Digest) -> Result<(), Failure> {
        let url = self.url(&format!("blobs/{blob}"))?;
        self.send(&Request::new(Method::HEAD, url)).await.map(drop)
    }

    /// Appends what is missing of a blob to its file.
    pub(crate) async fn download(&self, download: &Download<'_>) -> Result<(), Undone> {
        let Download { blob, tail, .. } = download;
        let url = self
            .url(&format!("blobs/{}", blob.digest))
            .map_err(Undone::Registry)?;
        let mut attempt = 1;
        loop {
            let before = tail.written();
            let failure = match self.attempt_download(download, &url).await {
                Ok(()) => return Ok(()),
                Err(Undone::Registry(failure)) => failure,
                Err(other) => return Err(other),
            };
            if tail.written() >= before + TRICKLE {
                // A connection that breaks but makes progress is worth every further attempt.
                attempt = 1;
            }
            self.wait(&mut attempt, failure)
                .await
                .map_err(Undone::Registry)?;
        }
    }

    async fn attempt_download(&self, download: &Download<'_>, url: &Url) -> Result<(), Undone> {
        let Download {
            blob,
            tail,
            progress,
            cancelled,
        } = download;
        let start = tail.written();
        let mut request = Request::new(Method::GET, url.clone());
        if start > 0 {
            request = request.header(RANGE, &format!("bytes={start}-"));
        }
        let mut response = self
            .authenticated(&request)
            .await
            .map_err(Undone::Registry)?;
        // A registry without ranges sends everything: what is here already is read over.
        let mut skip = if resumes_at(&response, start) {
            0
        } else {
            start
        };
        let broken = |error| Undone::Registry(Failure::connection(&Method::GET, url, &error));
        let mut pace = Pace::new(self.access.patience);
        let stalled =
            || Undone::Registry(Failure::stalled(&Method::GET, url, self.access.patience));
        loop {
            let chunk = tokio::time::timeout(self.access.patience, response.chunk()).await;
            let chunk = chunk.map_err(|_elapsed| stalled())?.map_err(broken)?;
            let Some(chunk) = chunk else { break };
            if pace.is_trickle(chunk.len()) {
                return Err(stalled());
            }
            if cancelled.load(Ordering::Relaxed) {
                return Err(Undone::Cancelled);
            }
            let over = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= over as u64;
            let fresh = &chunk[over..];
            if fresh.is_empty() {
                continue;
            }
            if tail.written() + fresh.len() as u64 > blob.size {
                let reason = format!("the blob is larger than the {} bytes announced", blob.size);
                return Err(Undone::Registry(Failure::protocol(
                    &Method::GET,
                    url,
                    reason,
                )));
            }
            let received = tail.append(fresh).map_err(Undone::Disk)?;
            progress.event(&Event::Downloading {
                layer: &blob.digest,
                received,
                total: blob.size,
            });
        }
        if tail.written() == blob.size {
            return Ok(());
        }
        let reason = format!(
            "the blob ends after {} of {} bytes",
            tail.written(),
            blob.size
        );
        Err(Undone::Registry(Failure::broken_off(
            &Method::GET,
            url,
            reason,
        )))
    }
}

/// Watches that a connection is worth keeping: a byte a minute keeps every other time limit from striking.
struct Pace {
    patience: Duration,
    since: Instant,
    received: u64,
}

impl Pace {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            since: Instant::now(),
            received: 0,
        }
    }

    /// Counts bytes; whether too few came for too long.
    fn is_trickle(&mut self, length: usize) -> bool {
        self.received += length as u64;
        if self.since.elapsed() < self.patience {
            return false;
        }
        let trickle = self.received < TRICKLE;
        *self = Self::new(self.patience);
        trickle
    }
}

/// Whether the answer continues at `start`.
fn resumes_at(response: &Response, start: u64) -> bool {
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| {
        range
            .strip_prefix("bytes ")?
            .split('-')
            .next()?
            .parse::<u64>()
            .ok()
    });
    response.status() == StatusCode::PARTIAL_CONTENT && first == Some(start)
}
