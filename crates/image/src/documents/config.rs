//! The image config: OCI's fields and those Docker adds (`Healthcheck`, `Shell`, `OnBuild`).
//!
//! `null` and a missing field mean the same, since Docker writes both.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_contract::{Digest, Result};
use serde::{Deserialize, Deserializer, Serialize};

use super::{CONFIG_LIMIT, check_size, from_json};
use crate::platform::Platform;

/// An image config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// RFC 3339 time of creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// `amd64`, `wasm`, …
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// `linux`, `wasip1`, …
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// `v7`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How its containers run by default.
    #[serde(default, deserialize_with = "or_default")]
    pub config: ContainerConfig,
    /// Its layers before compression.
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// How it was made.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
    /// Docker's note of `docker import -m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What a builder keeps here for `--cache-from` (`BuildKit`'s inline cache, in base64).
    #[serde(
        rename = "moby.buildkit.cache.v0",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache: Option<String>,
    /// A wasm artifact's exports and imports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<serde_json::Value>,
}

impl Configuration {
    /// Reads an image config, or the config of a wasm artifact (the common fields have the same names).
    ///
    /// # Errors
    /// Class `Invalid`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        check_size(bytes, CONFIG_LIMIT, "image config")?;
        from_json(bytes, "image config")
    }

    /// What it runs on, if it says so; configs of old wasm tools do not.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let known = !self.os.is_empty() && !self.architecture.is_empty();
        known.then(|| Platform {
            variant: self.variant.clone(),
            ..Platform::new(&self.os, &self.architecture)
        })
    }

    /// What `--cache-from` reads of an image.
    #[must_use]
    pub fn inline_cache(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.cache.as_deref()?).ok()
    }

    /// Keeps something for `--cache-from`.
    pub fn set_inline_cache(&mut self, cache: &[u8]) {
        self.cache = Some(STANDARD.encode(cache));
    }
}

/// The digests of the layers before compression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Bottom first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        }
    }
}

/// One step of how an image was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// `{}`: the value of a set written as a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// How containers of an image run unless told otherwise; the field names are Docker's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// `user[:group]`, names or numbers.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// `80/tcp`, …
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub env: Vec<String>,
    /// The program; `None` and an empty one differ for derived images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Its arguments, or the program where there is no entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths that get a volume of their own.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the program starts.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// Labels.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// What asks the program to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds between that and SIGKILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How to ask whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// What the shell form of instructions uses.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub shell: Vec<String>,
    /// Instructions for derived images.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub on_build: Vec<String>,
}

impl ContainerConfig {
    /// Where the program is that a container runs by default: the first word, from the working directory.
    #[must_use]
    pub fn program(&self) -> Option<String> {
        let mut words = self.entrypoint.iter().chain(&self.cmd).flatten();
        let program = words.next()?;
        Some(match program.starts_with('/') {
            true => program.clone(),
            false => format!("{}/{program}", self.working_dir),
        })
    }
}

/// How to ask a container whether it is well; durations are nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", …]`.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// How long one may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// How long failures after the start do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i64>,
    /// Time between two checks within the start period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<i64>,
    /// How many failures in a row make it unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
}

/// `null` reads as the default.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_nulls_and_extras_read() {
        let text = br#"{"architecture":"amd64","os":"linux","container":"abc",
            "config":{"Hostname":"","Env":null,"Cmd":["sh"],"Entrypoint":null,"ArgsEscaped":true,
              "Volumes":{"/data":{}},"Healthcheck":{"Test":["NONE"]}},
            "rootfs":{"type":"layers","diff_ids":null},"history":[{"empty_layer":true}]}"#;
        let config = Configuration::parse(text).unwrap();
        assert_eq!(config.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(config.config.entrypoint, None);
        assert!(config.config.volumes.contains_key("/data"));
        assert!(config.history[0].empty_layer);
    }

    #[test]
    fn a_wasm_artifacts_config_reads_too() {
        let text = br#"{"created":"2026-01-01T00:00:00Z","architecture":"wasm","os":"wasip2",
            "layerDigests":[],"component":{"exports":["wasi:cli/run@0.2.0"],"imports":[]}}"#;
        let config = Configuration::parse(text).unwrap();
        assert_eq!(
            (config.os.as_str(), config.component.is_some()),
            ("wasip2", true)
        );
    }
}
