//! A file of the web as a stream.

use std::io::{self, Cursor, Read};

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;

use crate::redacted::urls_without_secrets;
use crate::registry::{Failure, Interrupt, PullOptions, following_client};

/// The bytes of a file, as they arrive.
#[derive(Debug)]
pub struct Download {
    runtime: tokio::runtime::Runtime,
    response: reqwest::Response,
    interrupt: Interrupt,
    chunk: Cursor<Vec<u8>>,
}

/// Asks for an `http` or `https` URL; certificates and proxies are as for pulls, logins are not sent.
///
/// # Errors
/// Class `Invalid` for what is no such URL, `NotFound` and `Unavailable` when the server does not send it.
pub fn download(url: &str, options: &PullOptions) -> Result<Download> {
    let cannot = |url: &str| format!("cannot fetch {}", urls_without_secrets(url));
    let parsed = reqwest::Url::parse(url)
        .map_err(|error| Error::new(Class::Invalid, cannot(url)).caused_by(error))?;
    // Blanks and quotes, which would end a URL within a text, are encoded in it.
    let cannot = || cannot(parsed.as_str());
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Error::new(Class::Invalid, cannot()).caused_by("only http and https are known"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .explain(cannot)?;
    let host = parsed.host_str().unwrap_or_default().to_owned();
    let client = following_client(&options.access, &host)?;
    let interrupt = options.access.interrupt.clone();
    let answer = async { client.get(parsed.clone()).send().await };
    let response = runtime
        .block_on(interrupt.unless(answer))
        .ok_or_else(|| interrupt.error(&cannot()))?
        .map_err(|error| {
            let reason = Failure::reason(&parsed, &error);
            Error::new(Class::Unavailable, cannot()).caused_by(reason)
        })?;
    let status = response.status();
    if !status.is_success() {
        let class = match status.as_u16() {
            404 | 410 => Class::NotFound,
            401 | 403 => Class::Denied,
            _ => Class::Unavailable,
        };
        return Err(Error::new(class, cannot()).caused_by(format!("the server says {status}")));
    }
    Ok(Download {
        runtime,
        response,
        interrupt,
        chunk: Cursor::default(),
    })
}

impl Download {
    /// When the server says that the file was last changed: seconds since the epoch.
    #[must_use]
    pub fn modified(&self) -> Option<i64> {
        let text = self
            .response
            .headers()
            .get("last-modified")?
            .to_str()
            .ok()?;
        // RFC 9110 wants `Sun, 06 Nov 1994 08:49:37 GMT` of every server.
        let time = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(time.timestamp().as_second())
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.chunk.read(buffer)? {
                0 if !buffer.is_empty() => {}
                length => return Ok(length),
            }
            let chunk = self.interrupt.unless(self.response.chunk());
            let Some(chunk) = self.runtime.block_on(chunk) else {
                let reason = "it was interrupted";
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
            };
            match chunk {
                Ok(Some(chunk)) => self.chunk = Cursor::new(chunk.to_vec()),
                Ok(None) => return Ok(0),
                Err(error) => {
                    // reqwest's own words name the URL with its secrets.
                    let reason = Failure::reason(self.response.url(), &error);
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_urls_are_not_shown() {
        let options = PullOptions::default();
        for url in [
            "http://me:secret@127.0.0.1:1/a?token=secret",
            "http://m e:\"sec ret@127.0.0.1:1/a",
        ] {
            let error = download(url, &options).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(error.to_string(), "cannot fetch http://127.0.0.1:1/a");
            assert_eq!(cause, "Connection refused");
        }
    }
}
