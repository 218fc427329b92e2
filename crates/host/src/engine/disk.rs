//! `system df`: who owns the bytes of the data directory, every one of them.
//!
//! ```text
//!  oci/ layers/ ─► images, artifacts      containers/ ─► containers      volumes/ ─► volumes      build/ ─► build cache
//!  wasm/ ─► compiled modules   ingest/ ─► downloads           trash/   ─► trash        the rest ─► records
//! ```

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use berth_contract::{ContainerId, Result};
use berth_image::ImageUsage;
use berth_sys::error::Explain as _;

use super::in_use::InUse;
use super::{Engine, VolumeEntry};
use crate::api::types::ContainerSummary;

/// One kind of things, and what it takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// What they are called.
    pub kind: &'static str,
    /// How many there are.
    pub total: usize,
    /// How many are in use.
    pub active: usize,
    /// Bytes on disk.
    pub size: u64,
    /// Bytes that pruning would free.
    pub reclaimable: u64,
}

/// A container or a volume, and the bytes it takes.
#[derive(Debug, Clone)]
pub struct Measured<T> {
    /// What it is.
    pub thing: T,
    /// Bytes on disk.
    pub size: u64,
}

/// Who owns the bytes of the data directory.
#[derive(Debug, Default)]
pub struct DiskUsage {
    /// Every kind: Docker's four first, then those only berth has.
    pub shares: Vec<Share>,
    /// The images.
    pub images: Vec<ImageUsage>,
    /// The containers.
    pub containers: Vec<Measured<ContainerSummary>>,
    /// The volumes.
    pub volumes: Vec<Measured<VolumeEntry>>,
}

impl Engine {
    /// Measures the data directory.
    ///
    /// # Errors
    /// Something of it cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        self.require_root("cannot measure the data directory")?;
        let in_use = InUse::read(self.paths());
        let used = |id: &berth_contract::Digest| !in_use.of(id).is_empty();
        let survey = self.store().survey(&used, in_use.layers())?;
        let mut usage = DiskUsage {
            containers: self.measured_containers()?,
            volumes: self.measured_volumes()?,
            images: survey.images,
            shares: Vec::new(),
        };
        usage.shares = self.shares(&usage, (survey.reclaimable, survey.artifacts))?;
        Ok(usage)
    }

    /// Sums of the parts, and what is left of the whole for the records.
    fn shares(
        &self,
        usage: &DiskUsage,
        (reclaimable, artifacts): (u64, u64),
    ) -> Result<Vec<Share>> {
        let tree = self.tree_sizes()?;
        let sum = |names: &[&str]| -> u64 {
            let own = tree
                .iter()
                .filter(|(name, _, _)| names.contains(&name.as_str()));
            own.map(|(_, size, _)| size).sum()
        };
        let count = |wanted: &str| {
            let own = tree.iter().find(|(name, _, _)| name == wanted);
            own.map_or(0, |(_, _, count)| *count)
        };
        let stopped = |one: &&Measured<ContainerSummary>| !is_running(&one.thing);
        let unused = |one: &&Measured<VolumeEntry>| !one.thing.used;
        let artifacts = share_of_artifacts(&usage.images, artifacts);
        let images = Share {
            kind: "Images",
            total: usage.images.len() - artifacts.total,
            active: usage.images.iter().filter(|image| image.used).count(),
            size: sum(&["oci", "layers"]).saturating_sub(artifacts.size),
            reclaimable,
        };
        let containers = Share {
            kind: "Containers",
            total: usage.containers.len(),
            active: usage
                .containers
                .iter()
                .filter(|one| is_running(&one.thing))
                .count(),
            size: sum(&["containers"]),
            reclaimable: usage
                .containers
                .iter()
                .filter(stopped)
                .map(|one| one.size)
                .sum(),
        };
        let volumes = Share {
            kind: "Local Volumes",
            total: usage.volumes.len(),
            active: usage.volumes.iter().filter(|one| one.thing.used).count(),
            size: sum(&["volumes"]),
            reclaimable: usage
                .volumes
                .iter()
                .filter(unused)
                .map(|one| one.size)
                .sum(),
        };
        let mut shares = vec![images, containers, volumes];
        for (kind, name, frees) in [
            ("Build Cache", "build", true),
            ("Compiled Modules", "wasm", false),
            ("Downloads", "ingest", true),
            ("Damaged", "damaged", false),
            ("Trash", "trash", true),
        ] {
            // An empty directory is not a thing: it counts among the records.
            let total = count(name);
            let size = if total > 0 { sum(&[name]) } else { 0 };
            shares.push(Share {
                kind,
                total,
                active: 0,
                size,
                reclaimable: if frees { size } else { 0 },
            });
        }
        shares.push(artifacts);
        let known: u64 = shares.iter().map(|share| share.size).sum();
        let all: u64 = tree.iter().map(|(_, size, _)| size).sum();
        shares.push(Share {
            kind: "Records",
            size: all.saturating_sub(known),
            ..Share::default()
        });
        Ok(shares)
    }

    fn measured_containers(&self) -> Result<Vec<Measured<ContainerSummary>>> {
        let mut measured = Vec::new();
        for summary in self.list()?.containers {
            let id: ContainerId = summary.id.parse()?;
            measured.push(Measured {
                size: occupied(&self.paths().container(&id)),
                thing: summary,
            });
        }
        Ok(measured)
    }

    fn measured_volumes(&self) -> Result<Vec<Measured<VolumeEntry>>> {
        let measure = |entry: VolumeEntry| Measured {
            size: occupied(&self.paths().volumes().join(&entry.volume.name)),
            thing: entry,
        };
        Ok(self.volumes()?.into_iter().map(measure).collect())
    }

    /// Every entry of the data directory with its bytes and how many entries it has; the directory itself
    /// is the first.
    fn tree_sizes(&self) -> Result<Vec<(String, u64, usize)>> {
        let data = self.paths().data();
        let explain = || format!("cannot read {}", data.display());
        let own = fs::symlink_metadata(data).map(|metadata| metadata.blocks() * 512);
        let mut sizes = vec![(String::new(), own.unwrap_or(0), 0)];
        let entries = match fs::read_dir(data) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(sizes),
            Err(error) => return Err(error).explain(explain),
        };
        for entry in entries {
            let entry = entry.explain(explain)?;
            let count = fs::read_dir(entry.path()).map_or(0, Iterator::count);
            let name = entry.file_name().to_string_lossy().into_owned();
            sizes.push((name, occupied(&entry.path()), count));
        }
        Ok(sizes)
    }
}

fn share_of_artifacts(images: &[ImageUsage], size: u64) -> Share {
    Share {
        kind: "Artifacts",
        total: images.iter().filter(|one| one.artifact).count(),
        size,
        ..Share::default()
    }
}

/// Whether a container's bytes are those of something that runs.
fn is_running(container: &ContainerSummary) -> bool {
    matches!(
        container.state.as_str(),
        "running" | "paused" | "restarting"
    )
}

/// The bytes that a tree occupies on disk, itself included; files with several names count in shares,
/// and what vanishes meanwhile counts nothing.
pub(super) fn occupied(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    let own = metadata.blocks().saturating_mul(512);
    if !metadata.is_dir() {
        return own / metadata.nlink().max(1);
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| occupied(&entry.path()))
        .fold(own, u64::saturating_add)
}
