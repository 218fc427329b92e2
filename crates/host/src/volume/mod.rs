//! Volumes: directories that outlive the containers they are mounted in.
//!
//! ```text
//!  volumes/<name>/_data/         what is mounted
//!                 volume.json    name, labels, whether anybody named it
//!                 lock           held while the first content is copied
//!                 _first/        that content on its way; renamed over an empty _data, or garbage
//! ```
//! A volume with options has a file system of its own, which is mounted on `_data` while somebody runs
//! with it; what counts users and runs is in [`berth_monitor::volume`].

mod fill;
mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, ContainerId, Error, Result, VolumeName};
use berth_linux_runtime::mount_on_host;
use berth_monitor::volume::{CONTENT, Held, goes_with_last, join, release_unused};
use berth_sys::error::Explain as _;
use berth_sys::fault;
use berth_sys::file::unique_name;
use serde::{Deserialize, Serialize};

pub use self::fill::{fill, import};
pub use self::options::check_options;
pub(crate) use self::options::shared_memory;
use crate::paths::Paths;
use crate::records::{Record, entries, identifiers, write_document};

/// What is kept of a volume beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// When it was made: nanoseconds since the Unix epoch.
    pub created: u64,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether nobody named it: it goes with its last container when asked.
    #[serde(default)]
    pub anonymous: bool,
    /// The options of its own file system: `type`, `device`, `o`; without them it is a plain directory.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Volume {
    /// Mounts its own file system, if it has one, until what is returned is released.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn mount(&self, paths: &Paths) -> Result<Option<Held>> {
        self.mount_in(&paths.volume(&self.name))
    }

    /// Writes what makes an empty directory this volume.
    fn write(&self, directory: &Path) -> Result<()> {
        // What the guest sees at its mount point when the image has nothing there.
        fs::DirBuilder::new()
            .mode(0o755)
            .create(directory.join(CONTENT))
            .explain(|| format!("cannot make the volume {}", self.name))?;
        write_document(&directory.join(VOLUME_FILE), self)
    }

    /// Makes a directory that nobody sees yet, and this volume in it.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn prepare(&self, directory: &Path) -> Result<()> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(directory)
            .explain(|| format!("cannot make {}", directory.display()))?;
        self.write(directory)
    }

    /// As [`Self::mount`], for a volume that lies in this directory.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn mount_in(&self, directory: &Path) -> Result<Option<Held>> {
        if self.options.is_empty() {
            return Ok(None);
        }
        let option = |key| {
            self.options
                .get(key)
                .map(String::as_str)
                .unwrap_or_default()
        };
        let words: Vec<String> = option("o").split(',').map(str::to_owned).collect();
        Held::mount(directory, |place| {
            mount_on_host(option("type"), Path::new(option("device")), &words, place)
                .map_err(|error| error.context(format!("cannot mount the volume {}", self.name)))
        })
        .map(Some)
    }
}

/// What a volume's directory is called while it is being made.
const PREFIX: &str = ".new-";

/// The file that holds a [`Volume`].
pub const VOLUME_FILE: &str = "volume.json";

/// Where a volume's content is.
#[must_use]
pub fn content(paths: &Paths, name: &VolumeName) -> PathBuf {
    paths.volume(name).join(CONTENT)
}

/// Makes a volume unless it is there, and says whether it was made now. One that nobody named counts
/// `user` among its users before anybody can see it.
///
/// # Errors
/// The data directory cannot be written to.
pub fn ensure(paths: &Paths, volume: &Volume, user: Option<&ContainerId>) -> Result<bool> {
    let directory = paths.volume(&volume.name);
    if directory.join(VOLUME_FILE).exists() {
        return Ok(false);
    }
    let explain = || format!("cannot make the volume {}", volume.name);
    let (aside, held) = half_made(paths).explain(explain)?;
    fault::point("host-volume-begun");
    if volume.anonymous {
        goes_with_last(&aside).explain(explain)?;
        if let Some(user) = user {
            join(&aside, user).explain(explain)?;
        }
    }
    volume.write(&aside)?;
    fault::point("host-volume-filled");
    let renamed = fs::rename(&aside, &directory);
    drop(held);
    match renamed {
        Ok(()) => {
            fault::point("host-volume-visible");
            Ok(true)
        }
        // Another process made it meanwhile.
        Err(_) if directory.join(VOLUME_FILE).exists() => {
            remove_if_there(&aside).explain(explain)?;
            Ok(false)
        }
        Err(error) => Err(error).explain(explain),
    }
}

/// Begins a volume under a name of its own, locked as long as it is being made.
fn half_made(paths: &Paths) -> io::Result<(PathBuf, fs::File)> {
    loop {
        // A leading dot is no volume's name, so listings never show what is half made.
        let aside = paths.volumes().join(unique_name(PREFIX));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&aside)?;
        let held = match fs::File::open(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        held.lock()?;
        // Whoever sweeps may have been faster.
        if aside.exists() {
            return Ok((aside, held));
        }
    }
}

/// Removes the volumes that were being made when their makers were killed.
///
/// # Errors
/// One cannot be removed.
pub(crate) fn sweep(paths: &Paths) -> Result<()> {
    for entry in entries(&paths.volumes()) {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Ok(held) = fs::File::open(&path)
            && held.try_lock().is_ok()
        {
            crate::records::discard(paths, &path)?;
        }
    }
    Ok(())
}

/// The containers that mount a volume.
///
/// # Errors
/// The containers cannot be listed.
pub fn users(paths: &Paths, name: &VolumeName) -> Result<Vec<ContainerId>> {
    let mut users = Vec::new();
    for id in identifiers(paths)? {
        // A damaged record is told by `ps`; what it mounts is not known.
        let Ok(Some(record)) = Record::read(&paths.container(&id)) else {
            continue;
        };
        if record
            .mounts
            .iter()
            .any(|mount| mount.name == name.as_str())
        {
            users.push(id);
        }
    }
    Ok(users)
}

/// Removes a volume that no container mounts.
///
/// # Errors
/// Class `Conflict` when a container mounts it, `NotFound` when there is none.
pub fn remove(paths: &Paths, name: &VolumeName) -> Result<()> {
    if let Some(user) = users(paths, name)?.first() {
        return Err(
            Error::new(Class::Conflict, format!("the volume {name} is in use"))
                .caused_by(format!("container {} mounts it", user.short()))
                .hint(format!("berth rm {}", user.short())),
        );
    }
    let directory = paths.volume(name);
    if !directory.exists() {
        return Err(Error::new(
            Class::NotFound,
            format!("no such volume: {name}"),
        ));
    }
    // What is mounted there may be the host's own files: they are not ours to delete.
    if !release_unused(&directory)? {
        return Err(
            Error::new(Class::Conflict, format!("the volume {name} is in use"))
                .caused_by("its file system is mounted"),
        );
    }
    crate::records::discard(paths, &directory)
}

fn remove_if_there(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
