//! The operations on volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use berth_contract::{Class, ContainerId, Error, Result, VolumeName};
use berth_monitor::volume::Held;
use berth_sys::error::Explain as _;

use super::Engine;
use super::remove::directory_size;
use crate::api::types::{PruneReport, VolumeInspect};
use crate::format::time::rfc3339;
use crate::paths::Paths;
use crate::records::{Record, identifiers, read_document};
use crate::volume::{self, VOLUME_FILE, Volume};

/// A volume as `prune` and `ls` choose among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeEntry {
    /// What is told about it.
    pub volume: VolumeInspect,
    /// Whether nobody named it.
    pub anonymous: bool,
    /// Whether a container mounts it.
    pub used: bool,
}

impl Engine {
    /// All volumes by name, and whether containers mount them.
    ///
    /// # Errors
    /// The volumes or the containers cannot be listed.
    pub fn volumes(&self) -> Result<Vec<VolumeEntry>> {
        let used = used(self.paths())?;
        let names = names(self.paths())?;
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            // One that is being removed at this moment is none any more.
            if let Some(volume) = read(self.paths(), &name)? {
                let used = used.contains(name.as_str());
                entries.push(VolumeEntry {
                    anonymous: volume.anonymous,
                    volume: shown(self.paths(), volume),
                    used,
                });
            }
        }
        Ok(entries)
    }

    /// One volume.
    ///
    /// # Errors
    /// Class `NotFound` when there is none of that name.
    pub fn volume(&self, name: &str) -> Result<VolumeInspect> {
        Ok(shown(self.paths(), self.stored_volume(name)?))
    }

    /// Makes a volume; one of the same name is left as it is, as in Docker.
    ///
    /// # Errors
    /// The data directory cannot be written to.
    pub fn create_volume(
        &self,
        name: Option<VolumeName>,
        labels: BTreeMap<String, String>,
        options: BTreeMap<String, String>,
    ) -> Result<VolumeName> {
        volume::check_options(&options)?;
        let anonymous = name.is_none();
        let name = match name {
            Some(name) => name,
            None => random_name()?,
        };
        let created = berth_sys::clock::realtime();
        volume::ensure(
            self.paths(),
            &Volume {
                name: name.clone(),
                created,
                labels,
                anonymous,
                options,
            },
            None,
        )?;
        Ok(name)
    }

    /// Writes what a volume holds as a tar.
    ///
    /// # Errors
    /// Class `NotFound` when there is none of that name; it cannot be read, or `sink` takes no more.
    pub fn export_volume(&self, name: &str, sink: impl io::Write) -> Result<()> {
        let volume = self.stored_volume(name)?;
        let held = volume.mount(self.paths())?;
        let written = berth_image::pack_archive(&volume::content(self.paths(), &volume.name), sink);
        held.map_or(Ok(()), Held::release)?;
        written
    }

    /// Fills an empty volume with a tar's files, plain or compressed.
    ///
    /// # Errors
    /// Class `NotFound` when there is none of that name, `Conflict` when it is not empty, `Invalid` for
    /// what is no archive; the volume stays empty then.
    pub fn import_volume(&self, name: &str, archive: impl io::Read) -> Result<()> {
        let volume = self.stored_volume(name)?;
        let held = volume.mount(self.paths())?;
        let imported = volume::import(self.paths(), &volume.name, archive);
        held.map_or(Ok(()), Held::release)?;
        imported
    }

    fn stored_volume(&self, name: &str) -> Result<Volume> {
        let volume = match name.parse::<VolumeName>() {
            Ok(parsed) => read(self.paths(), &parsed)?,
            Err(_) => None,
        };
        volume.ok_or_else(|| missing(name))
    }

    /// Removes a volume that no container mounts.
    ///
    /// # Errors
    /// Class `Conflict` when a container mounts it, `NotFound` when there is none.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        let Ok(parsed) = name.parse::<VolumeName>() else {
            return Err(missing(name));
        };
        volume::remove(self.paths(), &parsed)
    }

    /// Removes the unused volumes that `chosen` picks, and tells how many bytes that set free.
    ///
    /// # Errors
    /// The volumes cannot be listed, or one cannot be removed.
    pub fn prune_volumes(&self, chosen: &dyn Fn(&VolumeEntry) -> bool) -> Result<PruneReport> {
        let mut report = PruneReport::default();
        for entry in self
            .volumes()?
            .into_iter()
            .filter(|entry| !entry.used && chosen(entry))
        {
            // What an own file system holds is not on the disk of the volumes.
            let bytes = match entry.volume.options {
                None => directory_size(Path::new(&entry.volume.mountpoint)),
                Some(_) => 0,
            };
            match self.remove_volume(&entry.volume.name) {
                Ok(()) => {
                    report.space_reclaimed += bytes;
                    report.deleted.push(entry.volume.name);
                }
                // A container took it, or another command removed it, since it was listed.
                Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }
}

fn missing(name: &str) -> Error {
    Error::new(Class::NotFound, format!("no such volume: {name}"))
        .hint("berth volume ls lists the volumes")
}

pub(super) fn read(paths: &Paths, name: &VolumeName) -> Result<Option<Volume>> {
    read_document(&paths.volume(name).join(VOLUME_FILE))
}

fn shown(paths: &Paths, volume: Volume) -> VolumeInspect {
    VolumeInspect {
        created_at: rfc3339(volume.created),
        driver: "local".into(),
        labels: volume.labels,
        mountpoint: volume::content(paths, &volume.name).display().to_string(),
        name: volume.name.to_string(),
        options: Some(volume.options).filter(|options| !options.is_empty()),
        scope: "local".into(),
    }
}

/// The names of all volumes, sorted.
fn names(paths: &Paths) -> Result<Vec<VolumeName>> {
    let directory = paths.volumes();
    let explain = || format!("cannot read {}", directory.display());
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).explain(explain),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.explain(explain)?.file_name();
        // What begins with a dot is half made, and no name.
        names.extend(name.to_str().and_then(|name| name.parse().ok()));
    }
    names.sort();
    Ok(names)
}

/// The names of the volumes that containers mount: each record is read once.
fn used(paths: &Paths) -> Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for id in identifiers(paths)? {
        // A damaged record is told by `ps`; what it mounts is not known.
        if let Ok(Some(record)) = Record::read(&paths.container(&id)) {
            used.extend(record.mounts.into_iter().map(|mount| mount.name));
        }
    }
    Ok(used)
}

/// 64 random hexadecimal digits, as Docker names what nobody named.
pub(super) fn random_name() -> Result<VolumeName> {
    let bytes =
        berth_sys::random::bytes().explain(|| "cannot choose a name for the volume".to_owned())?;
    ContainerId::from_random(bytes).as_str().parse()
}
