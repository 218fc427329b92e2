//! The tags of a repository (end-8a, end-8b), page by page.

use berth_contract::Result;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::access::Access;
use super::client::{Client, Request};
use super::failure::Failure;
use super::redirect::is_same_origin;
use super::transport;
use crate::progress::Silent;
use crate::reference::Reference;

/// Of one page.
const PAGE_LIMIT: u64 = 4 << 20;
/// More than any repository has, so that no registry can keep us listing for ever.
const TAGS_LIMIT: usize = 200_000;
/// After so many pages they have to hold as many tags as registries put on one; a slow trickle takes as long as
/// an endless list.
const FREE_PAGES: usize = 100;
const PAGE_LEAST: usize = 10;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// The tags of a repository in the order the registry lists them; mirrors are not asked.
///
/// # Errors
/// As for [`super::pull`].
pub fn tags(repository: &Reference, access: &Access) -> Result<Vec<String>> {
    let endpoint = access.registries.own_endpoint(repository)?;
    let client = Client::new(&endpoint, access, &Silent)?;
    let listed = transport::runtime()?.block_on(client.tags());
    let name = repository.familiar_name();
    listed.map_err(|failure| failure.about_to("list the tags of", &name, repository.registry()))
}

impl Client<'_> {
    pub(crate) async fn tags(&self) -> Result<Vec<String>, Failure> {
        let mut tags = Vec::new();
        let mut pages = 0;
        let mut next = Some(self.url("tags/list")?);
        while let Some(url) = next {
            let request = Request::new(Method::GET, url);
            let response = self.send(&request).await?;
            next = next_page(response.headers(), &request.url);
            let bytes = self.body(response, PAGE_LIMIT, &request.url).await?;
            Failure::unless_page(&request.method, &request.url, &bytes)?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|error| {
                Failure::protocol(&Method::GET, &request.url, error.to_string())
            })?;
            let page = page.tags.unwrap_or_default();
            if page.is_empty() {
                break;
            }
            tags.extend(page);
            pages += 1;
            let reason = if tags.len() > TAGS_LIMIT {
                format!("it lists more than {TAGS_LIMIT} tags")
            } else if pages > FREE_PAGES && tags.len() < pages * PAGE_LEAST {
                format!("it lists {} tags on {pages} pages, and more", tags.len())
            } else {
                continue;
            };
            return Err(Failure::protocol(&Method::GET, &request.url, reason));
        }
        Ok(tags)
    }
}

/// The `rel="next"` of a `Link` header (RFC 8288), if it stays with the registry.
pub(crate) fn next_page(headers: &HeaderMap, from: &Url) -> Option<Url> {
    let links = headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let links = links.flat_map(|text| text.split(','));
    let next = links.filter_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let relation = parameters.replace(['"', ' '], "").to_ascii_lowercase();
        relation.contains("rel=next").then_some(target)
    });
    let url = next.filter_map(|target| from.join(target).ok()).next()?;
    is_same_origin(&url, from).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_taken_from_the_link_header() {
        let from = Url::parse("https://r.example/v2/a/tags/list").unwrap();
        let next = |link: &str| {
            let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
            next_page(&headers, &from).map(String::from)
        };
        assert_eq!(
            next("</v2/a/tags/list?last=b&n=1>; rel=\"next\"").as_deref(),
            Some("https://r.example/v2/a/tags/list?last=b&n=1")
        );
        assert_eq!(next("<https://evil.example/x>; rel=next"), None);
        assert_eq!(next("</x>; rel=\"prev\""), None);
    }
}
