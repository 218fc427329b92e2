//! What went wrong with a request: method, URL without secrets, and the registry's own words.

use std::fmt;
use std::time::Duration;

use berth_contract::{Class, Digest, Error};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::public::NotPublic;
use crate::redacted::urls_without_secrets;

/// No registry asks for more patience than a person has.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) request: String,
    pub(crate) status: Option<StatusCode>,
    reason: String,
    /// Whether trying again may help, and when.
    pub(crate) again: Option<Duration>,
    /// Whether the content itself is wrong.
    damaged: bool,
    /// Whether the host may not be asked.
    pub(crate) forbidden: bool,
}

#[derive(Deserialize)]
struct Reply {
    errors: Vec<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Failure {
    /// No answer, or one that broke off.
    pub(crate) fn connection(method: &Method, url: &Url, error: &reqwest::Error) -> Self {
        let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |cause| {
            cause.source()
        });
        if causes.any(|cause| cause.is::<NotPublic>()) {
            return Self::forbidden(method, url);
        }
        let again = (!error.is_redirect() && !error.is_builder()).then_some(Duration::ZERO);
        Self {
            request: request(method, url),
            status: None,
            reason: Self::reason(url, error),
            again,
            damaged: false,
            forbidden: false,
        }
    }

    /// Why a request failed, in words without its URL.
    pub(crate) fn reason(url: &Url, error: &reqwest::Error) -> String {
        let (mut reason, mut resolving) = (String::new(), false);
        let mut next: Option<&dyn std::error::Error> = Some(error);
        while let Some(cause) = next {
            // reqwest's own layers repeat the URL; the innermost cause is what a person can act on.
            reason = cause.to_string();
            resolving |= reason == "dns error";
            next = cause.source();
        }
        if resolving {
            let host = url.host_str().unwrap_or_default();
            // The resolver prints its query as Rust has it.
            reason = match reason.starts_with("no records found") {
                true => format!("no name server knows {host}"),
                false => format!("cannot resolve {host}: {reason}"),
            };
        }
        // The words of a system call tell enough without its number.
        if let Some((words, _)) = reason.rsplit_once(" (os error ") {
            reason.truncate(words.len());
        }
        reason
    }

    /// An answer that is not the one wanted.
    pub(crate) fn status(
        method: &Method,
        url: &Url,
        status: StatusCode,
        body: &[u8],
        headers: &HeaderMap,
    ) -> Self {
        let words = serde_json::from_slice::<Reply>(body)
            .ok()
            .and_then(|reply| {
                let error = reply.errors.into_iter().next()?;
                // Some registries leave one of them empty, some both.
                match (error.message.trim(), error.code.trim()) {
                    ("", "") => None,
                    ("", words) | (words, "") => Some(words.to_owned()),
                    (message, code) => Some(format!("{message} ({code})")),
                }
            });
        let reason = match words {
            Some(words) => format!("{status}: {words}"),
            None => status.to_string(),
        };
        let temporary = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        let again = (temporary
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT)
            .then(|| retry_after(headers));
        Self {
            request: request(method, url),
            status: Some(status),
            reason,
            again,
            damaged: false,
            forbidden: false,
        }
    }

    /// An answer that breaks the rules.
    pub(crate) fn protocol(method: &Method, url: &Url, reason: impl Into<String>) -> Self {
        Self {
            request: request(method, url),
            status: None,
            reason: reason.into(),
            again: None,
            damaged: false,
            forbidden: false,
        }
    }

    /// Tells a web page from what a registry says: whoever sends one is no registry, or stands before it.
    ///
    /// # Errors
    /// It is a page.
    pub(crate) fn unless_page(method: &Method, url: &Url, body: &[u8]) -> Result<(), Self> {
        match body.trim_ascii_start().starts_with(b"<") {
            true => Err(Self::protocol(
                method,
                url,
                "a web page came, which no registry sends",
            )),
            false => Ok(()),
        }
    }

    /// An answer that has not come to its end in the time a person waits.
    pub(crate) fn stalled(method: &Method, url: &Url, patience: Duration) -> Self {
        let reason = format!("the answer stalled for {} seconds", patience.as_secs());
        Self {
            again: Some(Duration::ZERO),
            ..Self::protocol(method, url, reason)
        }
    }

    /// A host that may not be asked.
    pub(crate) fn forbidden(method: &Method, url: &Url) -> Self {
        Self {
            forbidden: true,
            ..Self::protocol(method, url, NotPublic.to_string())
        }
    }

    /// An answer that ended too early: the rest may come next time.
    pub(crate) fn broken_off(method: &Method, url: &Url, reason: impl Into<String>) -> Self {
        Self {
            again: Some(Duration::ZERO),
            ..Self::protocol(method, url, reason)
        }
    }

    /// A failure that no request can be named for.
    pub(crate) fn unspoken(reason: &str) -> Self {
        Self {
            request: "no request".to_owned(),
            status: None,
            reason: reason.to_owned(),
            again: None,
            damaged: false,
            forbidden: false,
        }
    }

    /// Content that is not what its digest says.
    pub(crate) fn content(url: &Url, expected: &Digest, computed: &Digest) -> Self {
        let reason = format!("the content has the digest {computed}, not {expected}");
        Self {
            damaged: true,
            ..Self::protocol(&Method::GET, url, reason)
        }
    }

    /// Whether the registry answered, and will not answer otherwise a moment later.
    pub(crate) fn is_final_answer(&self) -> bool {
        self.status.is_some() && self.again.is_none()
    }

    /// The same failure as an error about doing something with an image.
    pub(crate) fn about_to(self, action: &str, what: &str, registry: &str) -> Error {
        self.about(("image", action), what, registry)
    }

    /// The same failure as an error about doing something with `what`, which is of this kind.
    pub(crate) fn about(self, (kind, action): (&str, &str), what: &str, registry: &str) -> Error {
        let (class, message) = match self.status {
            _ if self.damaged => (Class::Invalid, format!("cannot {action} {what}")),
            Some(StatusCode::NOT_FOUND) => (Class::NotFound, format!("no such {kind}: {what}")),
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => (
                Class::Denied,
                format!("the registry denies access to {what}"),
            ),
            Some(status) if status.is_client_error() && self.again.is_none() => {
                (Class::Invalid, format!("cannot {action} {what}"))
            }
            _ => (Class::Unavailable, format!("cannot {action} {what}")),
        };
        let error = Error::new(class, message).caused_by(self);
        match class {
            Class::Denied => {
                error.hint(format!("check the name, or log in: berth login {registry}"))
            }
            _ => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.request, self.reason)
    }
}

impl std::error::Error for Failure {}

fn request(method: &Method, url: &Url) -> String {
    format!("{method} {}", urls_without_secrets(url.as_str()))
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let Some(text) = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
    else {
        return Duration::ZERO;
    };
    let seconds = text.trim().parse::<u64>().ok().or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
        u64::try_from(date.as_second() - jiff::Timestamp::now().as_second()).ok()
    });
    Duration::from_secs(seconds.unwrap_or(0)).min(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrys_words_are_told_and_secrets_are_not() {
        let url = Url::parse("https://me:pw@r.example:5000/v2/a/manifests/x?sig=secret").unwrap();
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        let status = StatusCode::NOT_FOUND;
        let failure = Failure::status(&Method::GET, &url, status, body, &HeaderMap::new());
        assert_eq!(
            failure.to_string(),
            "GET https://r.example:5000/v2/a/manifests/x: 404 Not Found: manifest unknown (MANIFEST_UNKNOWN)"
        );
        assert!(failure.again.is_none());
        for (body, words) in [
            (r#"{"errors":[{"code":"DENIED","message":""}]}"#, ": DENIED"),
            (r#"{"errors":[{"message":"go away"}]}"#, ": go away"),
            (r#"{"errors":[{"code":"","message":" "}]}"#, ""),
            (r#"{"errors":[{}]}"#, ""),
            (r#"{"errors":[]}"#, ""),
            ("<html><body>Not Found</body></html>", ""),
        ] {
            let headers = HeaderMap::new();
            let failure = Failure::status(&Method::GET, &url, status, body.as_bytes(), &headers);
            let end = format!(": 404 Not Found{words}");
            assert!(failure.to_string().ends_with(&end), "{body}: {failure}");
        }
    }

    #[test]
    fn patience_is_taken_from_the_header_and_limited() {
        let url = Url::parse("https://r.example/v2/").unwrap();
        let wait = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            Failure::status(
                &Method::GET,
                &url,
                StatusCode::TOO_MANY_REQUESTS,
                b"",
                &headers,
            )
            .again
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("9999"), Some(PATIENCE));
        assert_eq!(wait("Mon, 01 Jan 2001 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), Some(Duration::ZERO));
    }
}
