//! A platform as Docker and as Podman have it on the command line.

use berth_contract::Result;
use berth_image::Platform;

/// Docker's `--platform`, and Podman's flags for each of its parts.
#[derive(Debug, clap::Args)]
pub(crate) struct PlatformFlags {
    /// The image's platform, as in linux/arm64 or wasi/wasm
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// The image's architecture
    #[arg(long, value_name = "ARCH", conflicts_with = "platform")]
    arch: Option<String>,
    /// The image's operating system
    #[arg(long, value_name = "OS", conflicts_with = "platform")]
    os: Option<String>,
    /// The image's variant of the architecture
    #[arg(long, value_name = "VARIANT", conflicts_with = "platform")]
    variant: Option<String>,
}

impl PlatformFlags {
    /// The platform that is asked for, if one is; what is not said of it is this host's.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn platform(&self) -> Result<Option<Platform>> {
        if let Some(platform) = &self.platform {
            return platform.parse().map(Some);
        }
        of_parts(
            self.os.as_deref(),
            self.arch.as_deref(),
            self.variant.as_deref(),
        )
    }
}

/// The platform of what is said of it, if anything is; the rest is this host's.
///
/// # Errors
/// It is none.
pub(crate) fn of_parts(
    os: Option<&str>,
    architecture: Option<&str>,
    variant: Option<&str>,
) -> Result<Option<Platform>> {
    if os.is_none() && architecture.is_none() && variant.is_none() {
        return Ok(None);
    }
    let host = Platform::host();
    let os = os.unwrap_or(&host.os);
    let architecture = architecture.unwrap_or(&host.architecture);
    let variant = variant.map(|variant| format!("/{variant}"));
    let text = format!("{os}/{architecture}{}", variant.unwrap_or_default());
    text.parse().map(Some)
}
