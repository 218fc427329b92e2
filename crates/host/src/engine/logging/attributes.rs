//! What is told of a container with its log: labels, variables, and the tag.

use std::collections::BTreeMap;

use berth_contract::Result;
use regex_lite::Regex;
use serde_json::json;

use super::options::text;
use super::{Subject, refuse};
use crate::api::types::LogConfig;
use crate::format::template::{Record, Template};

/// What a tag is when nobody says.
const TAG: &str = "{{.ID}}";

/// The labels and variables that `labels`, `labels-regex`, `env` and `env-regex` choose.
pub(super) fn chosen(subject: Subject<'_>, log: &LogConfig) -> Result<BTreeMap<String, String>> {
    let labels = subject.config.labels.iter();
    let labels: Vec<(&str, &str)> = labels.map(|(name, value)| (&**name, &**value)).collect();
    let variables = subject.config.env.iter();
    let variables: Vec<(&str, &str)> = variables
        .filter_map(|variable| variable.split_once('='))
        .collect();
    let mut chosen = BTreeMap::new();
    for (known, key) in [(labels, "labels"), (variables, "env")] {
        let named = text(log, key);
        let pattern = pattern(log, &format!("{key}-regex"))?;
        for (name, value) in known {
            let fits = named.split(',').any(|wanted| wanted == name)
                || pattern
                    .as_ref()
                    .is_some_and(|pattern| pattern.is_match(name));
            if fits {
                chosen.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    Ok(chosen)
}

fn pattern(log: &LogConfig, key: &str) -> Result<Option<Regex>> {
    let pattern = text(log, key);
    if pattern.is_empty() {
        return Ok(None);
    }
    Regex::new(pattern)
        .map(Some)
        .map_err(|error| refuse(format!("invalid log option {key}={pattern}")).caused_by(error))
}

/// The tag: a template over what Docker's drivers know of a container.
pub(super) fn tag(subject: Subject<'_>, log: &LogConfig) -> Result<String> {
    let asked = match text(log, "tag") {
        "" => TAG,
        asked => asked,
    };
    let config = subject.config;
    let command = crate::records::command(config);
    let image_id = subject.image_id;
    // Docker's twelve characters begin with `sha256:`.
    let short_image_id = image_id.get(..12).unwrap_or(image_id);
    let fields = json!({
        "ID": subject.id.short(),
        "FullID": subject.id.as_str(),
        "ContainerID": subject.id.as_str(),
        "Name": subject.name,
        "ContainerName": format!("/{}", subject.name),
        "ImageID": short_image_id,
        "ImageFullID": image_id,
        "ContainerImageID": image_id,
        "ImageName": config.image,
        "ContainerImageName": config.image,
        "Command": command.join(" "),
        "ContainerEntrypoint": command.first(),
        "ContainerArgs": command.get(1..).unwrap_or_default(),
        "ContainerEnv": config.env,
        "ContainerLabels": config.labels,
        "DaemonName": "berth",
    });
    Template::parse(asked)
        .and_then(|template| template.render(&Record::new(fields)))
        .map_err(|error| refuse(format!("invalid log option tag={asked}")).caused_by(error))
}
