//! A health check as images and `--health-*` describe it.

use serde::{Deserialize, Serialize};

/// How a container's health is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `["NONE"]`, `["CMD", argument…]` or `["CMD-SHELL", command]`; empty inherits the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Nanoseconds between two checks; 0 inherits.
    pub interval: i64,
    /// Nanoseconds a check may take; 0 inherits.
    pub timeout: i64,
    /// Nanoseconds after the start in which a failure does not count.
    pub start_period: i64,
    /// Nanoseconds between two checks during the start period.
    pub start_interval: i64,
    /// How many failures in a row make the container unhealthy.
    pub retries: u32,
}
