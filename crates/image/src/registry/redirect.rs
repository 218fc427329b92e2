//! Following redirects by hand, so that nothing secret reaches a host it was not meant for.
//!
//! Registries send blobs from elsewhere. The login, the configured headers and the mirror's rights are
//! the registry's alone: another scheme, host or port gets none of them (CVE-2020-15157).

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::client::{Client, Request};
use super::failure::Failure;
use super::transport::REDIRECT_LIMIT;

impl Client<'_> {
    /// Sends a request and follows where it leads; also says whether the answer is the registry's own.
    pub(super) async fn follow(
        &self,
        request: &Request,
        authorization: Option<&str>,
    ) -> Result<(Response, bool), Failure> {
        let mut url = request.url.clone();
        let home = self.registry_url("")?;
        for _ in 0..=REDIRECT_LIMIT {
            let own = is_same_origin(&url, &home);
            let headers = if own {
                self.own_headers(request, authorization)
            } else {
                harmless(&request.headers)
            };
            let response = self.attempt(request, &url, headers).await?;
            let Some(next) = next(request, &response, &url)? else {
                return Ok((response, own));
            };
            url = next;
        }
        Err(Failure::protocol(
            &request.method,
            &request.url,
            "too many redirects",
        ))
    }

    fn own_headers(&self, request: &Request, authorization: Option<&str>) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.extend(request.headers.clone());
        if let Some(mut value) = authorization.and_then(|text| HeaderValue::from_str(text).ok()) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }
}

/// Where an answer leads; `None` if it is the answer.
fn next(request: &Request, response: &Response, from: &Url) -> Result<Option<Url>, Failure> {
    let status = response.status();
    // 307 and 308 keep the method; the older three became GET, which only suits a GET.
    let follows = match status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            matches!(request.method, Method::GET | Method::HEAD)
        }
        _ => false,
    };
    if !follows {
        return Ok(None);
    }
    let refuse = |reason: &str| Err(Failure::protocol(&request.method, from, reason));
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let Some(Ok(next)) = location.map(|location| from.join(location)) else {
        return refuse("it redirects to nowhere");
    };
    if !matches!(next.scheme(), "http" | "https") {
        return refuse("it redirects to something that is not HTTP");
    }
    if from.scheme() == "https" && next.scheme() != "https" {
        return refuse("it redirects from https to http");
    }
    Ok(Some(next))
}

/// The same scheme, host and port.
pub(super) fn is_same_origin(left: &Url, right: &Url) -> bool {
    left.scheme() == right.scheme()
        && left.host() == right.host()
        && left.port_or_known_default() == right.port_or_known_default()
}

/// What any host may know: which part is wanted, and in which form.
fn harmless(headers: &HeaderMap) -> HeaderMap {
    let kept = headers
        .iter()
        .filter(|(name, _)| [ACCEPT, RANGE].contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
