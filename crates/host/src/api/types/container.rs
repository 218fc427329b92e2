//! What is asked of a new container: the part that does not depend on the host.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::health::HealthConfig;
use super::host::HostConfig;
use super::network::NetworkingConfig;
use super::null;

/// The value of Docker's JSON sets (`{"80/tcp": {}}`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// A request to make a container.
///
/// The Engine API puts the fields of `Config` at the top level; the socket server merges the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateRequest {
    /// The part that does not depend on the host.
    pub config: ContainerConfig,
    /// The part that does.
    pub host_config: HostConfig,
    /// Per-network settings.
    pub networking_config: NetworkingConfig,
    /// A directory to run in place of an image (`--rootfs`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// Whether the file in place of an image is wasm in text form (`--wat`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wat: bool,
}

/// The part of a container's configuration that does not depend on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the Engine API's own fields")]
pub struct ContainerConfig {
    /// The host name; empty means the first twelve digits of the id.
    pub hostname: String,
    /// The NIS domain name.
    pub domainname: String,
    /// `user`, `uid`, `user:group`, … ; empty inherits the image's.
    pub user: String,
    /// Whether standard input is attached at creation.
    pub attach_stdin: bool,
    /// Whether standard output is attached at creation.
    pub attach_stdout: bool,
    /// Whether standard error is attached at creation.
    pub attach_stderr: bool,
    /// Ports the program listens on: `80/tcp`.
    #[serde(with = "null", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Whether the program gets a terminal (`-t`).
    pub tty: bool,
    /// Whether standard input stays open (`-i`).
    pub open_stdin: bool,
    /// Whether standard input closes when the first attached client leaves.
    pub stdin_once: bool,
    /// `NAME=value`; a bare `NAME` removes the image's variable.
    #[serde(deserialize_with = "null::deserialize")]
    pub env: Vec<String>,
    /// The arguments, or the whole command without an entrypoint.
    pub cmd: Option<Vec<String>>,
    /// The health check; `None` inherits the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// The image as the user wrote it.
    pub image: String,
    /// Where anonymous volumes are mounted.
    #[serde(with = "null")]
    pub volumes: BTreeMap<String, Empty>,
    /// The working directory; empty inherits the image's.
    pub working_dir: String,
    /// What is executed; `None` inherits the image's, `[""]` removes it.
    pub entrypoint: Option<Vec<String>>,
    /// Whether networking is off.
    #[serde(skip_serializing_if = "is_false")]
    pub network_disabled: bool,
    /// The hardware address on the first network.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Build triggers of the image.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    #[serde(deserialize_with = "null::deserialize")]
    pub labels: BTreeMap<String, String>,
    /// What `stop` sends; `None` inherits the image's, else `SIGTERM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How many seconds `stop` waits; -1 waits for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of the image's shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes the field by reference"
)]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}
