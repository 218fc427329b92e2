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
    #[serde(skip_serializing_if = "is_nothing")]
    pub interval: i64,
    /// Nanoseconds a check may take; 0 inherits.
    #[serde(skip_serializing_if = "is_nothing")]
    pub timeout: i64,
    /// Nanoseconds after the start in which a failure does not count.
    #[serde(skip_serializing_if = "is_nothing")]
    pub start_period: i64,
    /// Nanoseconds between two checks during the start period.
    #[serde(skip_serializing_if = "is_nothing")]
    pub start_interval: i64,
    /// How many failures in a row make the container unhealthy.
    #[serde(skip_serializing_if = "is_nothing")]
    pub retries: u32,
}

/// Whether a value is the one that says nothing.
fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
