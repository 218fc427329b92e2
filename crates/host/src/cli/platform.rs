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
        if self.os.is_none() && self.arch.is_none() && self.variant.is_none() {
            return Ok(None);
        }
        let host = Platform::host();
        let os = self.os.as_deref().unwrap_or(&host.os);
        let architecture = self.arch.as_deref().unwrap_or(&host.architecture);
        let variant = self.variant.iter().map(|variant| format!("/{variant}"));
        let text = format!("{os}/{architecture}{}", variant.collect::<String>());
        text.parse().map(Some)
    }
}
