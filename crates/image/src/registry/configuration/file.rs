//! `registries.conf` as it is written (containers-registries.conf(5), version 2).

use std::collections::BTreeMap;

use berth_contract::{Class, Error, Result};
use serde::Deserialize;

/// One file. What is not known here (`additional-layer-stores`, …) is somebody else's.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct File {
    #[serde(default)]
    pub(super) unqualified_search_registries: Option<Vec<String>>,
    #[serde(default)]
    pub(super) registry: Vec<Registry>,
    #[serde(default)]
    pub(super) aliases: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) credential_helpers: Option<Vec<String>>,
    /// The table of version 1, which nobody reads any more.
    #[serde(default)]
    registries: Option<serde::de::IgnoredAny>,
}

/// A `[[registry]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "the file's own fields")]
pub(super) struct Registry {
    #[serde(default)]
    pub(super) prefix: String,
    #[serde(default)]
    pub(super) location: String,
    #[serde(default)]
    pub(super) insecure: bool,
    #[serde(default)]
    pub(super) blocked: bool,
    #[serde(default)]
    pub(super) mirror: Vec<Mirror>,
    #[serde(default)]
    pub(super) mirror_by_digest_only: bool,
}

/// A `[[registry.mirror]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Mirror {
    #[serde(default)]
    pub(super) location: String,
    #[serde(default)]
    pub(super) insecure: bool,
    #[serde(default)]
    pub(super) pull_from_mirror: Source,
}

/// Which pulls a mirror serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Source {
    #[default]
    #[serde(alias = "")]
    All,
    DigestOnly,
    TagOnly,
}

impl File {
    /// Reads one file.
    ///
    /// # Errors
    /// Class `Invalid` for what is not TOML of version 2.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let invalid = |reason: String| {
            Error::new(Class::Invalid, "cannot use registries.conf").caused_by(reason)
        };
        let mut file: Self =
            toml::from_str(text).map_err(|error| invalid(error.message().to_owned()))?;
        if file.registries.is_some() {
            return Err(invalid("it is of version 1".into())
                .hint("write it anew with [[registry]] tables: containers-registries.conf(5)"));
        }
        for registry in &mut file.registry {
            registry.complete().map_err(invalid)?;
        }
        Ok(file)
    }
}

impl Registry {
    /// Fills in what may be left away and refuses what has no meaning.
    fn complete(&mut self) -> Result<(), String> {
        clean(&mut self.location)?;
        clean(&mut self.prefix)?;
        if self.prefix.is_empty() {
            if self.location.is_empty() {
                return Err("a [[registry]] has neither prefix nor location".into());
            }
            self.prefix.clone_from(&self.location);
        }
        if self.prefix.starts_with("*.") {
            if self.prefix.contains('/') {
                return Err(format!(
                    "the prefix {} has a path behind its *",
                    self.prefix
                ));
            }
        } else if self.prefix.contains('*') {
            return Err(format!("the prefix {} may only begin with *.", self.prefix));
        } else if self.location.is_empty() {
            self.location.clone_from(&self.prefix);
        }
        for mirror in &mut self.mirror {
            clean(&mut mirror.location)?;
            if mirror.location.is_empty() {
                return Err(format!("a mirror of {} has no location", self.prefix));
            }
            if self.mirror_by_digest_only && mirror.pull_from_mirror != Source::All {
                return Err(format!(
                    "{} has both mirror-by-digest-only and pull-from-mirror",
                    self.prefix
                ));
            }
        }
        Ok(())
    }
}

fn clean(location: &mut String) -> Result<(), String> {
    if location.contains("://") {
        return Err(format!("{location:?} has a scheme; write only the host"));
    }
    location.truncate(location.trim_end_matches('/').len());
    Ok(())
}
