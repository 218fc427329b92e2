//! A volume's first content: of the image, or of an archive; whole or not at all.

use std::fs;
use std::io;
use std::path::Path;

use berth_contract::{Class, Error, Result, VolumeName};
use berth_image::Merged;
use berth_monitor::volume::{CONTENT, is_mounted};
use berth_sys::error::Explain as _;
use berth_sys::fault;
use berth_sys::file::Directory;

use super::remove_if_there;
use crate::paths::Paths;

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
    put(&directory, &explain, |place| {
        berth_image::copy_tree(image, path, place)
    })
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
    put(&directory, &explain, |place| {
        berth_image::unpack_archive(archive, place)
            .map(|()| true)
            .map_err(|error| error.context(explain()))
    })
}

/// Has an empty volume's content written and shows it at once; whoever writes says whether there is any.
fn put(
    directory: &Path,
    explain: &dyn Fn() -> String,
    write: impl FnOnce(&Path) -> Result<bool>,
) -> Result<()> {
    let data = directory.join(CONTENT);
    if is_mounted(directory).explain(explain)? {
        // Nothing can be renamed over a mount point.
        return write(&data).map(drop).inspect_err(|_| {
            // Best effort: the failure that matters is the first one.
            drop(clear(&data));
        });
    }
    let first = directory.join("_first");
    remove_if_there(&first).explain(explain)?;
    fs::create_dir(&first).explain(explain)?;
    match write(&first) {
        Ok(true) => {
            fault::point("host-volume-copied");
            fs::rename(&first, &data).explain(explain)
        }
        other => {
            remove_if_there(&first).explain(explain)?;
            other.map(drop)
        }
    }
}

/// Takes out what was there for nobody yet.
fn clear(place: &Path) -> io::Result<()> {
    let place = Directory::open(place)?;
    for name in place.names()? {
        place.remove_all(&name)?;
    }
    Ok(())
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

fn is_empty(directory: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(directory)?.next().is_none())
}
