//! From what a person types to a container: its name, its id, or the beginning of its id.

use std::fs;

use berth_contract::{Class, ContainerId, ContainerName, Error, Result};
use berth_sys::error::Explain as _;

use super::name::holder;
use crate::paths::Paths;

/// The container with this name, id, or unique beginning of an id, in this order.
///
/// # Errors
/// None or several match.
pub fn find(paths: &Paths, text: &str) -> Result<ContainerId> {
    let text = text.strip_prefix('/').unwrap_or(text);
    if let Ok(id) = text.parse::<ContainerId>()
        && paths.container(&id).is_dir()
    {
        return Ok(id);
    }
    if let Ok(name) = text.parse::<ContainerName>()
        && let Some(id) = holder(paths, &name)?
        && paths.container(&id).is_dir()
    {
        return Ok(id);
    }
    let unknown =
        || Error::new(Class::NotFound, format!("no such container: {text}")).hint("berth ps -a");
    if text.is_empty()
        || !text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(unknown());
    }
    let mut matching: Vec<ContainerId> = identifiers(paths)?
        .into_iter()
        .filter(|id| id.as_str().starts_with(text))
        .collect();
    match (matching.pop(), matching.len()) {
        (None, _) => Err(unknown()),
        (Some(id), 0) => Ok(id),
        (Some(_), more) => Err(Error::new(
            Class::Invalid,
            format!("{text} is the beginning of {} ids", more + 1),
        )
        .hint("write more of the id, or the name")),
    }
}

/// The ids of all containers, in no order.
///
/// # Errors
/// The directory of containers is there and cannot be read.
pub fn identifiers(paths: &Paths) -> Result<Vec<ContainerId>> {
    let directory = paths.containers();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).explain(|| format!("cannot list {}", directory.display())),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.explain(|| format!("cannot list {}", directory.display()))?;
        if let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            ids.push(id);
        }
    }
    Ok(ids)
}
