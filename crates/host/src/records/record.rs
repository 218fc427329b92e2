//! A container's record: what was asked, with the image's defaults filled in.

use std::path::{Path, PathBuf};

use berth_contract::{ContainerId, ContainerName, Result, VolumeName};
use berth_monitor::launch::RuntimeKind;
use berth_sys::error::Explain as _;
use berth_sys::fault;
use serde::{Deserialize, Serialize};

use super::document::{read_document, write_document};
use crate::api::types::{
    ContainerConfig, ContainerSummary, HostConfig, MountPoint, NetworkingConfig, SummaryHostConfig,
};

/// The record's file name in a container's directory.
pub const RECORD_FILE: &str = "record.json";
/// The file that a listing reads in place of the record.
pub const SUMMARY_FILE: &str = "summary.json";

/// What was asked of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// The id.
    pub id: ContainerId,
    /// The name.
    pub name: ContainerName,
    /// When it was made: nanoseconds since the Unix epoch.
    pub created: u64,
    /// The image's id; empty with `--rootfs`.
    #[serde(default, rename = "ImageID")]
    pub image_id: String,
    /// Which runtime runs it.
    pub runtime: RuntimeKind,
    /// The configuration with the image's defaults filled in.
    pub config: ContainerConfig,
    /// What was asked of the host.
    pub host_config: HostConfig,
    /// What was asked of networks.
    #[serde(default)]
    pub networking_config: NetworkingConfig,
    /// The directory that is run in place of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// Its mounts.
    #[serde(default)]
    pub mounts: Vec<MountPoint>,
    /// Volumes made for it alone, removed with it on request.
    #[serde(default)]
    pub anonymous_volumes: Vec<VolumeName>,
    /// Layers of images mounted in it, which must not be collected.
    #[serde(default)]
    pub layers: Vec<PathBuf>,
}

impl Record {
    /// Reads the record in a container's directory; `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn read(container: &Path) -> Result<Option<Self>> {
        read_document(&container.join(RECORD_FILE))
    }

    /// Writes the record, then the summary made from it.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn write(&self, container: &Path) -> Result<()> {
        write_document(&container.join(RECORD_FILE), self)?;
        fault::point("host-record-written");
        let stored = StoredSummary {
            nanoseconds: self.created,
            summary: self.summary(),
        };
        write_document(&container.join(SUMMARY_FILE), &stored)
    }

    /// Replaces the record of a container that others see: a listing reads no summary meanwhile, so that
    /// none tells what the record does not.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub(crate) fn rewrite(&self, container: &Path) -> Result<()> {
        let summary = container.join(SUMMARY_FILE);
        match std::fs::remove_file(&summary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).explain(|| format!("cannot replace {}", summary.display()));
            }
            _ => {}
        }
        self.write(container)
    }

    /// What is executed, and its arguments.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        command(&self.config)
    }

    /// Docker's word for the runtime.
    #[must_use]
    pub fn runtime_name(&self) -> &'static str {
        runtime_name(self.runtime)
    }

    /// The part of a listing that does not change while the container runs.
    #[must_use]
    pub fn summary(&self) -> ContainerSummary {
        ContainerSummary {
            id: self.id.to_string(),
            names: vec![format!("/{}", self.name)],
            image: self.config.image.clone(),
            image_id: self.image_id.clone(),
            command: self.command().join(" "),
            created: i64::try_from(self.created / 1_000_000_000).unwrap_or_default(),
            labels: self.config.labels.clone(),
            host_config: SummaryHostConfig {
                network_mode: self.host_config.network_mode.clone(),
            },
            mounts: self.mounts.clone(),
            runtime: self.runtime_name().to_owned(),
            exposed_ports: self.config.exposed_ports.keys().cloned().collect(),
            ..ContainerSummary::default()
        }
    }
}

/// The summary file: the part of a listing that does not change while the container runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StoredSummary {
    /// When the container was made; seconds are not enough to sort by.
    pub(crate) nanoseconds: u64,
    /// The rest.
    pub(crate) summary: ContainerSummary,
}

/// Entrypoint and arguments in one list.
pub(crate) fn command(config: &ContainerConfig) -> Vec<String> {
    let entrypoint = config.entrypoint.iter().flatten();
    entrypoint
        .chain(config.cmd.iter().flatten())
        .cloned()
        .collect()
}

/// `linux` or `wasm`.
pub(crate) fn runtime_name(runtime: RuntimeKind) -> &'static str {
    match runtime {
        RuntimeKind::Linux => "linux",
        RuntimeKind::Wasm => "wasm",
    }
}
