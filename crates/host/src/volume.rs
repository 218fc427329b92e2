//! Volumes: directories that outlive the containers they are mounted in.
//!
//! ```text
//!  volumes/<name>/_data/         what is mounted
//!                 volume.json    name, labels, whether anybody named it
//!                 lock           held while the first content is copied
//!                 _first/        that content on its way; renamed over an empty _data, or garbage
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, ContainerId, Error, Result, VolumeName};
use berth_image::Merged;
use berth_sys::error::Explain as _;
use serde::{Deserialize, Serialize};

use crate::paths::Paths;
use crate::records::{Record, identifiers, write_document};

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
    /// Whether nobody named it: it goes with its container when asked.
    #[serde(default)]
    pub anonymous: bool,
}

/// The file that holds a [`Volume`].
pub const VOLUME_FILE: &str = "volume.json";

/// Where a volume's content is.
#[must_use]
pub fn content(paths: &Paths, name: &VolumeName) -> PathBuf {
    paths.volume(name).join("_data")
}

/// Makes a volume unless it is there, and says whether it was made now.
///
/// # Errors
/// The data directory cannot be written to.
pub fn ensure(paths: &Paths, volume: &Volume) -> Result<bool> {
    let directory = paths.volume(&volume.name);
    if directory.join(VOLUME_FILE).exists() {
        return Ok(false);
    }
    // A leading dot is no volume's name, so listings never show what is half made.
    let aside = paths.volumes().join(format!(".new-{}", volume.name));
    let explain = || format!("cannot make the volume {}", volume.name);
    remove_if_there(&aside).explain(explain)?;
    let private = |path: &Path| {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
    };
    private(&aside).explain(explain)?;
    // What the guest sees at its mount point when the image has nothing there.
    fs::DirBuilder::new()
        .mode(0o755)
        .create(aside.join("_data"))
        .explain(explain)?;
    write_document(&aside.join(VOLUME_FILE), volume)?;
    match fs::rename(&aside, &directory) {
        Ok(()) => Ok(true),
        // Another process made it meanwhile.
        Err(_) if directory.join(VOLUME_FILE).exists() => {
            remove_if_there(&aside).explain(explain)?;
            Ok(false)
        }
        Err(error) => Err(error).explain(explain),
    }
}

/// Fills an empty volume with what the image has at `path`: files, owners, modes, attributes.
///
/// # Errors
/// The image cannot be read, or the volume not be written.
pub fn fill(paths: &Paths, name: &VolumeName, image: &Merged, path: &Path) -> Result<()> {
    let directory = paths.volume(name);
    let data = directory.join("_data");
    let explain = || {
        format!(
            "cannot copy {} of the image into the volume {name}",
            path.display()
        )
    };
    if !is_empty(&data).explain(explain)? {
        return Ok(());
    }
    let lock = fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("lock"))
        .explain(explain)?;
    // Blocks only while another container copies the same content into the same volume.
    lock.lock().explain(explain)?;
    if !is_empty(&data).explain(explain)? {
        return Ok(());
    }
    let first = directory.join("_first");
    remove_if_there(&first).explain(explain)?;
    fs::create_dir(&first).explain(explain)?;
    if berth_image::copy_tree(image, path, &first)? {
        fs::rename(&first, &data).explain(explain)
    } else {
        remove_if_there(&first).explain(explain)
    }
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
    crate::records::discard(paths, &directory)
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(directory)?.next().is_none())
}

fn remove_if_there(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    struct Scratch(Paths);

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(self.0.data()));
        }
    }

    fn scratch(name: &str) -> Scratch {
        let data = std::env::temp_dir().join(format!("berth-volume-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&data));
        fs::create_dir_all(&data).unwrap();
        Scratch(Paths::new(&Config {
            run: data.join("run"),
            programs: data.clone(),
            executable: data.join("berth"),
            data,
        }))
    }

    fn volume(name: &str) -> Volume {
        Volume {
            name: name.parse().unwrap(),
            created: 1,
            labels: BTreeMap::new(),
            anonymous: false,
        }
    }

    #[test]
    fn made_once_filled_once_removed() {
        let scratch = scratch("once");
        let paths = &scratch.0;
        let volume = volume("data");
        assert!(ensure(paths, &volume).unwrap());
        assert!(!ensure(paths, &volume).unwrap());
        let layer = paths.data().join("layer");
        fs::create_dir_all(layer.join("srv/sub")).unwrap();
        fs::write(layer.join("srv/sub/file"), "first").unwrap();
        let image = Merged::open(std::slice::from_ref(&layer)).unwrap();
        fill(paths, &volume.name, &image, Path::new("/srv")).unwrap();
        let file = content(paths, &volume.name).join("sub/file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "first");
        fs::write(&file, "kept").unwrap();
        fill(paths, &volume.name, &image, Path::new("/srv")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        remove(paths, &volume.name).unwrap();
        assert_eq!(
            remove(paths, &volume.name).unwrap_err().class(),
            Class::NotFound
        );
    }

    #[test]
    fn a_killed_copy_is_started_again() {
        let scratch = scratch("killed");
        let paths = &scratch.0;
        let volume = volume("data");
        ensure(paths, &volume).unwrap();
        fs::create_dir_all(paths.volume(&volume.name).join("_first")).unwrap();
        fs::write(paths.volume(&volume.name).join("_first/half"), "x").unwrap();
        fs::create_dir_all(paths.volumes().join(".new-data")).unwrap();
        let layer = paths.data().join("layer");
        fs::create_dir_all(layer.join("srv/whole")).unwrap();
        let image = Merged::open(&[layer]).unwrap();
        fill(paths, &volume.name, &image, Path::new("/srv")).unwrap();
        let data = content(paths, &volume.name);
        assert!(data.join("whole").exists() && !data.join("half").exists());
    }
}
