//! What is told about images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::Empty;
use super::health::HealthConfig;
use super::inspect::GraphDriver;
use super::null;

/// One image in full, as `image inspect` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageInspect {
    /// The digest of its config.
    pub id: String,
    /// Its names with tags.
    pub repo_tags: Vec<String>,
    /// Its names with manifest digests.
    pub repo_digests: Vec<String>,
    /// The image it was built from; always empty, as of images that were pulled.
    pub parent: String,
    /// A remark of whoever made it.
    pub comment: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Docker's version that made it; always empty.
    pub docker_version: String,
    /// Who made it.
    pub author: String,
    /// Its configuration.
    pub config: ImageConfig,
    /// `amd64`, `arm64`, `wasm`, …
    pub architecture: String,
    /// The architecture's variant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `linux`, `wasi`, …
    pub os: String,
    /// Bytes of its extracted layers.
    pub size: i64,
    /// Where its layers lie.
    pub graph_driver: GraphDriver,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// The media type of its config: tells wasm artifacts from images.
    pub config_media_type: String,
    /// The digest of its manifest.
    pub manifest_digest: String,
    /// Its manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The configuration an image gives its containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// The default user.
    pub user: String,
    /// Ports it listens on.
    #[serde(with = "null", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`.
    #[serde(with = "null")]
    pub env: Vec<String>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// Where its anonymous volumes are.
    #[serde(with = "null")]
    pub volumes: BTreeMap<String, Empty>,
    /// The default working directory.
    pub working_dir: String,
    /// What is executed.
    pub entrypoint: Option<Vec<String>>,
    /// Build triggers.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    #[serde(with = "null")]
    pub labels: BTreeMap<String, String>,
    /// What `stop` sends.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Its health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// The shell of shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// An image's layers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The digests of the uncompressed layers, lowest first.
    pub layers: Vec<String>,
}

/// One image in a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageSummary {
    /// The digest of its config.
    pub id: String,
    /// The id of the image it was built from; always empty.
    pub parent_id: String,
    /// Its names with tags.
    pub repo_tags: Vec<String>,
    /// Its names with manifest digests.
    pub repo_digests: Vec<String>,
    /// When it was made: seconds since the Unix epoch.
    pub created: i64,
    /// The same in nanoseconds, to tell apart what was made within a second.
    #[serde(skip)]
    pub created_nanoseconds: i64,
    /// Bytes of its extracted layers.
    pub size: i64,
    /// Bytes shared with other images; -1 means not computed.
    pub shared_size: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers use it; -1 means not computed.
    pub containers: i64,
    /// `linux/amd64`, `wasi/wasm`, …
    pub platform: String,
    /// Whether its name leads to a list for several platforms.
    #[serde(skip)]
    pub is_listed: bool,
}

/// One step of an image's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HistoryEntry {
    /// The image's id for the newest step, else `<missing>`.
    pub id: String,
    /// When: seconds since the Unix epoch.
    pub created: i64,
    /// The instruction.
    pub created_by: String,
    /// The image's tags, at the newest step.
    pub tags: Option<Vec<String>>,
    /// Bytes of the layer it made.
    pub size: i64,
    /// A remark.
    pub comment: String,
}

/// One step of removing an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeletedImage {
    /// A name that was removed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub untagged: String,
    /// An image or layer that was removed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deleted: String,
}
