//! Lists: tags (end-8), repositories, and what manifests say about others (end-12).

use std::collections::HashMap;

use berth_contract::Digest;
use http::StatusCode;
use http::header::LINK;
use serde_json::json;

use super::Server;
use super::reply::{Code, Refusal, Reply, header, json};
use crate::documents::{Index, MANIFEST_LIMIT, media, to_json};
use crate::reference::Reference;
use crate::registry::{described, subject};

const JSON: &str = "application/json";

impl Server {
    /// The tags of a repository, as many as are asked for.
    pub(super) async fn tags(
        &self,
        name: &Reference,
        query: &HashMap<String, String>,
    ) -> Result<Reply, Refusal> {
        let mut known = self.store.tags_of(name)?;
        if let Some(upstream) = self.upstream_of(name) {
            let mut tags = upstream.tags(name).await?;
            tags.extend(known.unwrap_or_default());
            tags.sort();
            tags.dedup();
            known = Some(tags);
        }
        let tags = known.ok_or_else(|| {
            let message = format!("there is no repository {}", name.familiar_name());
            Refusal::new(Code::NameUnknown, message)
        })?;
        let repository = name.familiar_name();
        let (page, more) = page(tags, query)?;
        let next = format!("/v2/{repository}/tags/list");
        let body = json!({ "name": repository, "tags": &page }).to_string();
        Ok(linked(
            json(StatusCode::OK, JSON, body.into_bytes()),
            &next,
            &page,
            more,
        ))
    }

    /// The repositories, as many as are asked for.
    pub(super) fn catalog(&self, query: &HashMap<String, String>) -> Result<Reply, Refusal> {
        let (page, more) = page(self.store.repositories()?, query)?;
        let body = json!({ "repositories": &page }).to_string();
        let reply = json(StatusCode::OK, JSON, body.into_bytes());
        Ok(linked(reply, "/v2/_catalog", &page, more))
    }

    /// What the manifests of a repository say about one of them.
    pub(super) fn referrers(
        &self,
        name: &Reference,
        about: &Digest,
        query: &HashMap<String, String>,
    ) -> Result<Reply, Refusal> {
        let mut entries = Vec::new();
        for entry in self.store.manifests_of(name)? {
            let Ok(Some(bytes)) = self.store.read_blob(&entry.digest, MANIFEST_LIMIT) else {
                continue;
            };
            if subject(&bytes).is_some_and(|subject| subject.digest == *about) {
                entries.push(described(&entry, &bytes));
            }
        }
        let wanted = query.get("artifactType");
        entries.retain(|entry| wanted.is_none() || entry.artifact_type.as_ref() == wanted);
        entries.sort_by(|left, right| left.digest.cmp(&right.digest));
        let reply = json(
            StatusCode::OK,
            media::OCI_INDEX,
            to_json(&Index::new(entries)),
        );
        Ok(match wanted {
            Some(_) => header(reply, "oci-filters-applied", "artifactType"),
            None => reply,
        })
    }
}

/// One page of a sorted list, and whether there is more.
fn page(all: Vec<String>, query: &HashMap<String, String>) -> Result<(Vec<String>, bool), Refusal> {
    let number = query.get("n").map(|text| text.parse::<usize>()).transpose();
    let number =
        number.map_err(|_invalid| Refusal::new(Code::Unsupported, "n is no number of entries"))?;
    let after = query.get("last");
    let mut rest: Vec<String> = all
        .into_iter()
        .filter(|entry| after.is_none_or(|after| entry > after))
        .collect();
    let number = number.unwrap_or(rest.len());
    let more = rest.len() > number;
    rest.truncate(number);
    Ok((rest, more))
}

fn linked(reply: Reply, path: &str, page: &[String], more: bool) -> Reply {
    match page.last().filter(|_| more) {
        Some(last) => {
            let next = format!("<{path}?n={}&last={last}>; rel=\"next\"", page.len());
            header(reply, LINK, &next)
        }
        None => reply,
    }
}
