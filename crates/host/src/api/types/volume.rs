//! What is told about a volume.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null;

/// One volume, as `volume inspect` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeInspect {
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// `local`.
    pub driver: String,
    /// Its labels.
    #[serde(with = "null")]
    pub labels: BTreeMap<String, String>,
    /// Where its content is on the host.
    pub mountpoint: String,
    /// Its name.
    pub name: String,
    /// The options of its own file system.
    pub options: Option<BTreeMap<String, String>>,
    /// `local`.
    pub scope: String,
}
