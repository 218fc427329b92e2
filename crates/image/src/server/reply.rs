//! Answers: bodies out of memory or out of a file, and the specification's errors.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use berth_contract::{Class, Error};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use serde_json::json;

use super::passing::Follower;

/// Why a digest is none: other algorithms are not known here.
pub(super) const NO_DIGEST: &str =
    "that is no digest: sha256 with 64 or sha512 with 128 hexadecimal digits in lower case";
/// Read at once from a file.
const CHUNK: u64 = 128 << 10;

/// A body on its way to a client.
#[derive(Debug)]
pub(super) enum Body {
    /// All of it, once.
    Bytes(Option<Bytes>),
    /// A part of a file.
    File {
        file: std::fs::File,
        at: u64,
        left: u64,
    },
    /// A part of a blob that is still on its way here.
    Passing(Follower),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match self.get_mut() {
            Self::Bytes(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::File { left: 0, .. } => None,
            Self::File { file, at, left } => Some(read(file, at, left).map(Frame::data)),
            Self::Passing(follower) => {
                let next = follower.poll_bytes(context);
                return next.map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)));
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(
            self,
            Self::Bytes(None)
                | Self::File { left: 0, .. }
                | Self::Passing(Follower { left: 0, .. })
        )
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::File { left, .. } | Self::Passing(Follower { left, .. }) => *left,
        })
    }
}

fn read(file: &std::fs::File, at: &mut u64, left: &mut u64) -> io::Result<Bytes> {
    let length = CHUNK.min(*left);
    let mut chunk = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut chunk, *at)?;
    *at += length;
    *left -= length;
    Ok(chunk.into())
}

pub(super) type Reply = Response<Body>;

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    with(status, Body::Bytes(None))
}

/// An answer with a body.
pub(super) fn with(status: StatusCode, body: Body) -> Reply {
    let length = http_body::Body::size_hint(&body).exact().unwrap_or(0);
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_LENGTH, length.into());
    reply
}

/// An answer of JSON.
pub(super) fn json(status: StatusCode, kind: &str, text: Vec<u8>) -> Reply {
    header(
        with(status, Body::Bytes(Some(text.into()))),
        CONTENT_TYPE,
        kind,
    )
}

/// The same answer with one more header; what no header can hold is left out.
pub(super) fn header(
    mut reply: Reply,
    name: impl http::header::IntoHeaderName,
    value: &str,
) -> Reply {
    if let Ok(value) = value.parse() {
        reply.headers_mut().insert(name, value);
    }
    reply
}

/// The codes of the specification, with the status each goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    Unknown,
}

impl Code {
    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::BlobUnknown => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            Self::BlobUploadInvalid => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            Self::BlobUploadUnknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            Self::DigestInvalid => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            Self::ManifestBlobUnknown => (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
            Self::ManifestInvalid => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            Self::ManifestUnknown => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            Self::NameInvalid => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
            Self::NameUnknown => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            Self::RangeInvalid => (StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
            Self::SizeInvalid => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            Self::TagInvalid => (StatusCode::BAD_REQUEST, "TAG_INVALID"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::Denied => (StatusCode::FORBIDDEN, "DENIED"),
            Self::Unsupported => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            Self::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        }
    }
}

/// A failure that a client is told about.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
    /// What is missing, each an error of its own to the client.
    pub(super) digests: Vec<String>,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            digests: Vec::new(),
        }
    }

    pub(super) fn reply(&self) -> Reply {
        let (status, code) = self.code.parts();
        let mut errors = vec![json!({ "code": code, "message": self.message })];
        for (position, digest) in self.digests.iter().enumerate() {
            if position > 0 {
                errors.push(errors[0].clone());
            }
            errors[position]["detail"] = json!({ "digest": digest });
        }
        let body = json!({ "errors": errors });
        json(status, "application/json", body.to_string().into_bytes())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = match error.class() {
            Class::NotFound => Code::ManifestUnknown,
            Class::Invalid | Class::Unsupported => Code::ManifestInvalid,
            Class::Denied => Code::Denied,
            _ => Code::Unknown,
        };
        Self::new(code, berth_contract::Report::from(&error).line())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::new(Code::Unknown, error.to_string())
    }
}
