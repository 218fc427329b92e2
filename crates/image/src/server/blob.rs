//! Blobs: sending them, whole or in part (end-2), and deleting them (end-10).

use std::fs::File;
use std::time::{Duration, Instant};

use berth_contract::Digest;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, StatusCode};

use super::Server;
use super::passing::Follower;
use super::reply::{Body, Code, Refusal, Reply, empty, header, with};
use crate::reference::Reference;
use crate::store::Deletion;

const DIGEST: &str = "docker-content-digest";
/// How long deleting waits for others, and how often it looks.
const OTHERS_PATIENCE: Duration = Duration::from_secs(1);
const OTHERS_INTERVAL: Duration = Duration::from_millis(10);

impl Server {
    /// A blob, or the part of it that a `Range` asks for.
    pub(super) async fn blob(
        &self,
        name: &Reference,
        digest: &Digest,
        headers: &HeaderMap,
    ) -> Result<Reply, Refusal> {
        let unknown = || Refusal::new(Code::BlobUnknown, format!("there is no blob {digest}"));
        let passing = match self.upstream_of(name) {
            Some(upstream) if !self.store.has_blob(digest) => {
                upstream.pass(&self.store, name, digest)?
            }
            _ => None,
        };
        if let Some(passing) = &passing {
            passing.begun().await?;
        }
        let (file, size) = match &passing {
            // It may have come whole meanwhile, and lie elsewhere.
            Some(passing) => match passing.open() {
                Ok(file) => (file, passing.size),
                Err(_) => (self.stored(digest).ok_or_else(unknown)?, passing.size),
            },
            None => {
                let file = self.stored(digest).ok_or_else(unknown)?;
                let size = file.metadata()?.len();
                (file, size)
            }
        };
        let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
        let range = match range.map(|range| part(range, size)) {
            None | Some(Part::Whole) => None,
            Some(Part::Some(first, last)) => Some((first, last)),
            Some(Part::Outside) => {
                let refusal = Refusal::new(Code::RangeInvalid, "the blob ends before that");
                let whole = format!("bytes */{size}");
                return Ok(header(refusal.reply(), CONTENT_RANGE, &whole));
            }
        };
        let (first, left) = range.map_or((0, size), |(first, last)| (first, last - first + 1));
        let body = match passing {
            Some(passing) => Body::Passing(Follower {
                passing,
                file,
                at: first,
                left,
            }),
            None => Body::File {
                file,
                at: first,
                left,
            },
        };
        let reply = match range {
            Some((first, last)) => {
                let reply = with(StatusCode::PARTIAL_CONTENT, body);
                header(
                    reply,
                    CONTENT_RANGE,
                    &format!("bytes {first}-{last}/{size}"),
                )
            }
            None => with(StatusCode::OK, body),
        };
        Ok(described(reply, digest))
    }

    /// What a blob is like that is not here: only looking for it makes nothing come.
    pub(super) async fn blob_elsewhere(
        &self,
        name: &Reference,
        digest: &Digest,
    ) -> Result<Option<Reply>, Refusal> {
        let upstream = self.upstream_of(name);
        let Some(upstream) = upstream.filter(|_| !self.store.has_blob(digest)) else {
            return Ok(None);
        };
        let size = upstream.look_for(&self.store, name, digest).await?;
        let mut reply = empty(StatusCode::OK);
        reply.headers_mut().insert(CONTENT_LENGTH, size.into());
        Ok(Some(described(reply, digest)))
    }

    fn stored(&self, digest: &Digest) -> Option<File> {
        File::open(self.store.blob_path(digest)).ok()
    }

    /// Deletes a blob that no image here needs; what others send or fetch may take a moment to end.
    pub(super) async fn delete_blob(&self, digest: &Digest) -> Result<Reply, Refusal> {
        if !self.store.has_blob(digest) {
            return Err(Refusal::new(
                Code::BlobUnknown,
                format!("there is no blob {digest}"),
            ));
        }
        let begun = Instant::now();
        let mut deletion = self.beside_recent(|| self.store.delete_blob(digest))?;
        while deletion == Deletion::Held && begun.elapsed() < OTHERS_PATIENCE {
            tokio::time::sleep(OTHERS_INTERVAL).await;
            deletion = self.beside_recent(|| self.store.delete_blob(digest))?;
        }
        let reason = match deletion {
            Deletion::Done => return Ok(empty(StatusCode::ACCEPTED)),
            Deletion::Needed => "a manifest needs the blob; delete that first",
            Deletion::Held => "an upload or a pull is under way, and may need the blob",
        };
        Err(Refusal::new(Code::Unsupported, reason))
    }
}

fn described(reply: Reply, digest: &Digest) -> Reply {
    let reply = header(reply, CONTENT_TYPE, "application/octet-stream");
    let reply = header(reply, ACCEPT_RANGES, "bytes");
    header(reply, DIGEST, digest.as_str())
}

/// What a `Range` header means for a body of some length (RFC 9110, section 14).
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Some(u64, u64),
    Outside,
}

fn part(range: &str, size: u64) -> Part {
    let parse = || {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        if first.is_empty() {
            let length: u64 = last.parse().ok()?;
            return Some((size.saturating_sub(length), size.checked_sub(1)?));
        }
        let first = first.parse().ok()?;
        let end = size.saturating_sub(1);
        let last = if last.is_empty() {
            end
        } else {
            last.parse::<u64>().ok()?.min(end)
        };
        Some((first, last))
    };
    match parse() {
        // What does not read, and lists of parts, may be answered with everything.
        None => Part::Whole,
        Some((first, last)) if first >= size || first > last => Part::Outside,
        Some((first, last)) => Part::Some(first, last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parts_of_what_is_there() {
        assert_eq!(part("bytes=0-", 10), Part::Some(0, 9));
        assert_eq!(part("bytes=3-5", 10), Part::Some(3, 5));
        assert_eq!(part("bytes=3-500", 10), Part::Some(3, 9));
        assert_eq!(part("bytes=-4", 10), Part::Some(6, 9));
        assert_eq!(part("bytes=10-", 10), Part::Outside);
        assert_eq!(part("bytes=5-3", 10), Part::Outside);
        assert_eq!(part("bytes=0-1,4-5", 10), Part::Whole);
        assert_eq!(part("lines=1-2", 10), Part::Whole);
    }
}
