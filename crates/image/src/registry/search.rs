//! Searching registries: Docker Hub's search API, and the catalog of registries that have none.

use berth_contract::{Class, Error, Result};
use reqwest::Method;
use serde::Deserialize;

use super::access::Access;
use super::client::{Client, Request};
use super::configuration::default_registry;
use super::failure::Failure;
use super::tags::next_page;
use super::transport;
use crate::progress::Silent;

/// Of one page.
const PAGE_LIMIT: u64 = 4 << 20;
/// What the search API gives at most, page by page.
const PAGE: usize = 100;
/// More repositories than a catalog is read for.
const CATALOG_LIMIT: usize = 100_000;

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The registry.
    pub registry: String,
    /// Its name, with the registry where it is not `docker.io`.
    pub name: String,
    /// What its owner says about it.
    pub description: String,
    /// How many people like it.
    pub stars: u64,
    /// Whether the registry's operator stands for it.
    pub official: bool,
    /// Whether it is built by the registry itself.
    pub automated: bool,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    results: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    star_count: u64,
    #[serde(default)]
    is_official: bool,
    #[serde(default)]
    is_automated: bool,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

/// Searches the registry that the term names (`REG/TERM`), else those of the search list, else
/// `docker.io`; at most `limit` from each.
///
/// # Errors
/// A registry does not answer, or lets nobody search.
pub fn search(term: &str, limit: usize, access: &Access) -> Result<Vec<Found>> {
    let (registries, term) = match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (vec![host.to_owned()], rest)
        }
        _ => (access.registries.searched(), term),
    };
    let runtime = transport::runtime()?;
    let mut found = Vec::new();
    for registry in registries {
        let mut endpoint = access.registries.whole_registry(&registry)?;
        if registry == default_registry() {
            // What is searched is no registry.
            endpoint.registry = "index.docker.io".to_owned();
            endpoint.host = None;
        }
        let client = Client::new(&endpoint, access, &Silent)?;
        let hits = runtime
            .block_on(client.search(term, limit))
            .map_err(|failure| {
                Error::new(Class::Unavailable, format!("cannot search {registry}"))
                    .caused_by(failure)
            })?;
        found.extend(hits.into_iter().map(|hit| hit.found(&registry)));
    }
    Ok(found)
}

impl Hit {
    fn found(self, registry: &str) -> Found {
        let name = match registry {
            name if name == default_registry() => self.name,
            other => format!("{other}/{}", self.name),
        };
        Found {
            registry: registry.to_owned(),
            name,
            description: self.description.unwrap_or_default(),
            stars: self.star_count,
            official: self.is_official,
            automated: self.is_automated,
        }
    }
}

impl Client<'_> {
    async fn search(&self, term: &str, limit: usize) -> Result<Vec<Hit>, Failure> {
        let mut hits = Vec::new();
        let mut page = 1;
        while hits.len() < limit {
            let mut url = self.registry_url("/v1/search")?;
            url.query_pairs_mut()
                .append_pair("q", term)
                .append_pair("n", &PAGE.min(limit).to_string())
                .append_pair("page", &page.to_string());
            let request = Request::new(Method::GET, url);
            let response = match self.send(&request).await {
                Ok(response) => response,
                // Nobody but Docker Hub and its imitators has this API.
                Err(failure) if page == 1 && failure.is_final_answer() => {
                    return self.search_catalog(term, limit).await;
                }
                Err(failure) => return Err(failure),
            };
            let bytes = self.body(response, PAGE_LIMIT, &request.url).await?;
            let Ok(reply) = serde_json::from_slice::<Reply>(&bytes) else {
                return self.search_catalog(term, limit).await;
            };
            let full = reply.results.len() >= PAGE.min(limit);
            hits.extend(reply.results);
            page += 1;
            if !full {
                break;
            }
        }
        hits.truncate(limit);
        Ok(hits)
    }

    /// Looks for the term in the names of all repositories.
    async fn search_catalog(&self, term: &str, limit: usize) -> Result<Vec<Hit>, Failure> {
        let mut hits: Vec<Hit> = Vec::new();
        let (mut seen, mut next) = (0, Some(self.registry_url("_catalog?n=1000")?));
        while let Some(url) = next {
            let request = Request::new(Method::GET, url);
            let response = self.send(&request).await?;
            next = next_page(response.headers(), &request.url);
            let bytes = self.body(response, PAGE_LIMIT, &request.url).await?;
            Failure::unless_page(&request.method, &request.url, &bytes)?;
            let catalog: Catalog = serde_json::from_slice(&bytes).map_err(|error| {
                Failure::protocol(&Method::GET, &request.url, error.to_string())
            })?;
            let names = catalog.repositories.unwrap_or_default();
            seen += names.len();
            if names.is_empty() || seen > CATALOG_LIMIT {
                break;
            }
            let matching = names.into_iter().filter(|name| name.contains(term));
            hits.extend(matching.map(|name| Hit {
                name,
                description: None,
                star_count: 0,
                is_official: false,
                is_automated: false,
            }));
        }
        hits.truncate(limit);
        Ok(hits)
    }
}
