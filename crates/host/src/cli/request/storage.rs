//! What is mounted into the container.

use berth_contract::{Class, Error, Result};
use berth_host::api::types::{CreateRequest, Mount, MountKind};
use clap::Args;

use super::absolute;
use crate::cli::parse::{mount, size};

/// Flags about files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Storage options")]
pub(crate) struct StorageFlags {
    /// Mount a path or a volume: [SOURCE:]TARGET[:ro,…] (can be repeated)
    #[arg(short, long, value_name = "MOUNT")]
    volume: Vec<String>,

    /// Mount with all options: type=bind|volume|tmpfs|image,source=…,target=…,… (can be repeated)
    #[arg(long, value_name = "FIELDS", value_parser = mount::mount)]
    mount: Vec<Mount>,

    /// Mount memory at this path: PATH[:size=64m,…] (can be repeated)
    #[arg(long, value_name = "PATH[:OPTIONS]", value_parser = mount::tmpfs_path)]
    tmpfs: Vec<(String, String)>,

    /// Mount what another container mounts: NAME[:ro] (can be repeated)
    #[arg(long, value_name = "CONTAINER", value_parser = mount::volumes_from)]
    volumes_from: Vec<String>,

    /// The driver of new volumes; only local
    #[arg(long, value_name = "DRIVER", value_parser = driver)]
    volume_driver: Option<String>,

    /// Make the root file system read-only
    #[arg(long)]
    read_only: bool,

    /// The size of /dev/shm
    #[arg(long, value_name = "BYTES", value_parser = size::bytes)]
    shm_size: Option<i64>,
}

impl StorageFlags {
    pub(super) fn apply(self, request: &mut CreateRequest) -> Result<()> {
        for volume in &self.volume {
            let checked = bind(volume)?;
            // As in Docker's documents, a bare target is a volume like the image's own.
            if checked.contains(':') {
                request.host_config.binds.push(checked);
            } else {
                let volumes = &mut request.config.volumes;
                volumes.insert(checked, Default::default());
            }
        }
        let host = &mut request.host_config;
        for mut mount in self.mount {
            if mount.kind == MountKind::Bind {
                mount.source = absolute(&mount.source)?.display().to_string();
            }
            host.mounts.push(mount);
        }
        host.tmpfs = self.tmpfs.into_iter().collect();
        host.volumes_from = self.volumes_from;
        host.volume_driver = self.volume_driver.unwrap_or_default();
        host.readonly_rootfs = self.read_only;
        host.shm_size = self.shm_size.unwrap_or_default();
        Ok(())
    }
}

/// Checks `[SOURCE:]TARGET[:OPTIONS]` and makes a source that begins with a dot absolute, because the
/// working directory is the caller's; a source without a slash names a volume.
pub(crate) fn bind(text: &str) -> Result<String> {
    let wrong = |reason: &str| {
        Error::new(
            Class::Invalid,
            format!("invalid value {text:?} for --volume"),
        )
        .caused_by(reason.to_owned())
        .hint("write SOURCE:TARGET, such as -v ./data:/data")
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, None),
        [source, target] => (source, target, None),
        [source, target, options] => (source, target, Some(options)),
        _ => {
            return Err(wrong(
                "it has more than two colons; --mount takes paths with colons",
            ));
        }
    };
    if !target.starts_with('/') {
        return Err(wrong(&format!(
            "the target {target:?} is not an absolute path"
        )));
    }
    if parts.len() == 1 {
        return Ok(text.to_owned());
    }
    if source.is_empty() {
        return Err(wrong("the source is empty"));
    }
    if !source.starts_with('.') {
        return Ok(text.to_owned());
    }
    let source = absolute(source)?;
    let mut bind = format!("{}:{target}", source.display());
    if let Some(options) = options {
        bind.push(':');
        bind.push_str(options);
    }
    Ok(bind)
}

fn driver(text: &str) -> Result<String, String> {
    match text {
        "" | "local" => Ok(text.to_owned()),
        _ => Err("only the driver local exists".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_sources_become_absolute() {
        let here = std::env::current_dir().unwrap();
        let expected = format!("{}/data:/data:ro", here.display());
        assert_eq!(bind("./data:/data:ro").unwrap(), expected);
        for unchanged in ["/a:/b", "name:/b:ro,z", "/anonymous"] {
            assert_eq!(bind(unchanged).unwrap(), unchanged);
        }
        for wrong in ["", "a", "a:b", ":/b", "/a:/b:ro:x", "/a:"] {
            assert!(bind(wrong).is_err(), "{wrong}");
        }
    }
}
