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

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, ContainerId, Error, Result, VolumeName};
use berth_image::Merged;
use berth_linux_runtime::mount_on_host;
use berth_monitor::volume::{CONTENT, Held, goes_with_last, is_mounted, join, release_unused};
use berth_sys::error::Explain as _;
use berth_sys::fault;
use berth_sys::file::unique_name;
use serde::{Deserialize, Serialize};

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

    /// The same for one that lies elsewhere.
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

/// What `/dev/shm` is of a container whose IPC namespace others may join: a volume of its own, in its
/// directory, which is mounted while it runs.
///
/// # Errors
/// None: an id is a volume's name.
pub(crate) fn shared_memory(id: &ContainerId, created: u64, size: u64) -> Result<Volume> {
    let options = [
        ("type", "tmpfs".to_owned()),
        ("device", "shm".to_owned()),
        ("o", format!("mode=1777,nosuid,nodev,noexec,size={size}")),
    ];
    Ok(Volume {
        name: id.as_str().parse()?,
        created,
        labels: BTreeMap::new(),
        anonymous: false,
        options: options.map(|(key, value)| (key.to_owned(), value)).into(),
    })
}

/// Checks the options of the driver `local`, by Docker's rules.
///
/// # Errors
/// An option is unknown or missing, or the file system is one that needs a program of the host.
pub fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    let refuse = |message: String| Err(Error::new(Class::Invalid, message));
    let known = ["type", "device", "o"];
    if let Some(unknown) = options.keys().find(|key| !known.contains(&key.as_str())) {
        if unknown == "size" {
            return Err(
                Error::new(Class::Unsupported, "cannot limit the size of a volume")
                    .caused_by("a plain directory has no size of its own")
                    .hint("-o type=tmpfs -o device=tmpfs -o o=size=64m is a volume in memory"),
            );
        }
        return Err(
            Error::new(Class::Invalid, format!("invalid volume option {unknown:?}"))
                .hint("the options are type, device and o"),
        );
    }
    if options.is_empty() {
        return Ok(());
    }
    if let Some(missing) = ["type", "device"]
        .iter()
        .find(|key| !options.contains_key(**key))
    {
        return refuse(format!("the volume option {missing} is missing"));
    }
    let kind = options["type"].as_str();
    if matches!(kind, "nfs" | "nfs4" | "cifs" | "smb3") {
        return Err(
            Error::new(Class::Unsupported, format!("cannot mount {kind} volumes"))
                .caused_by("the kernel needs the help of mount(8) for it")
                .hint("mount it on the host and use -v PATH:TARGET"),
        );
    }
    let words = options.get("o").map(String::as_str).unwrap_or_default();
    let binds = words
        .split(',')
        .any(|word| matches!(word, "bind" | "rbind"));
    if binds && !options["device"].starts_with('/') {
        return refuse(format!(
            "the volume option device={} is not an absolute path",
            options["device"]
        ));
    }
    Ok(())
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

/// Fills an empty volume with what the image has at `path`: files, owners, modes, attributes.
///
/// # Errors
/// The image cannot be read, or the volume not be written.
pub fn fill(paths: &Paths, name: &VolumeName, image: &Merged, path: &Path) -> Result<()> {
    let directory = paths.volume(name);
    let data = directory.join(CONTENT);
    let explain = || {
        format!(
            "cannot copy {} of the image into the volume {name}",
            path.display()
        )
    };
    if !is_empty(&data).explain(explain)? {
        return Ok(());
    }
    let _lock = lock(&directory).explain(explain)?;
    if !is_empty(&data).explain(explain)? {
        return Ok(());
    }
    if is_mounted(&directory).explain(explain)? {
        // Nothing can be renamed over a mount point.
        return berth_image::copy_tree(image, path, &data).map(|_| ());
    }
    let first = directory.join("_first");
    remove_if_there(&first).explain(explain)?;
    fs::create_dir(&first).explain(explain)?;
    if berth_image::copy_tree(image, path, &first)? {
        fault::point("host-volume-copied");
        fs::rename(&first, &data).explain(explain)
    } else {
        remove_if_there(&first).explain(explain)
    }
}

/// Fills an empty volume with an archive's files; one that fails leaves it empty.
///
/// # Errors
/// Class `Conflict` when there is something in it, `Invalid` for what is no archive or a hostile one.
pub fn import(paths: &Paths, name: &VolumeName, archive: impl io::Read) -> Result<()> {
    let directory = paths.volume(name);
    let data = directory.join(CONTENT);
    let explain = || format!("cannot import into the volume {name}");
    let _lock = lock(&directory).explain(explain)?;
    if !is_empty(&data).explain(explain)? {
        return Err(Error::new(
            Class::Conflict,
            format!("cannot import into the volume {name}"),
        )
        .caused_by("it is not empty")
        .hint("berth volume create another one"));
    }
    if is_mounted(&directory).explain(explain)? {
        return berth_image::unpack_archive(archive, &data)
            .map_err(|error| error.context(explain()));
    }
    let first = directory.join("_first");
    remove_if_there(&first).explain(explain)?;
    fs::create_dir(&first).explain(explain)?;
    match berth_image::unpack_archive(archive, &first) {
        Ok(()) => fs::rename(&first, &data).explain(explain),
        Err(error) => {
            remove_if_there(&first).explain(explain)?;
            Err(error.context(explain()))
        }
    }
}

/// Keeps others from filling the volume; waits only while another does.
fn lock(directory: &Path) -> io::Result<fs::File> {
    let lock = fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("lock"))?;
    lock.lock()?;
    Ok(lock)
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
            prefer: None,
            data,
        }))
    }

    fn volume(name: &str) -> Volume {
        Volume {
            name: name.parse().unwrap(),
            created: 1,
            labels: BTreeMap::new(),
            anonymous: false,
            options: BTreeMap::new(),
        }
    }

    #[test]
    fn made_once_filled_once_removed() {
        let scratch = scratch("once");
        let paths = &scratch.0;
        let volume = volume("data");
        assert!(ensure(paths, &volume, None).unwrap());
        assert!(!ensure(paths, &volume, None).unwrap());
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
        ensure(paths, &volume, None).unwrap();
        fs::create_dir_all(paths.volume(&volume.name).join("_first")).unwrap();
        fs::write(paths.volume(&volume.name).join("_first/half"), "x").unwrap();
        let layer = paths.data().join("layer");
        fs::create_dir_all(layer.join("srv/whole")).unwrap();
        let image = Merged::open(&[layer]).unwrap();
        fill(paths, &volume.name, &image, Path::new("/srv")).unwrap();
        let data = content(paths, &volume.name);
        assert!(data.join("whole").exists() && !data.join("half").exists());
    }
}
