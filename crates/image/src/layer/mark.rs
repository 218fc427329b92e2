//! overlayfs's marks of what is gone: whiteouts and opaque directories.

use std::ffi::OsStr;
use std::io;

use berth_sys::file::{Directory, Kind};

/// The mark of a directory that hides what is below: by root, and with `userxattr`.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];
/// The mark of an entry that is gone.
pub(crate) const WHITEOUT: Kind = Kind::CharacterDevice(0, 0);

/// Whether an attribute says that a directory is opaque, rather than something of the image.
pub(crate) fn is_mark(key: &OsStr) -> bool {
    OPAQUE.iter().any(|mark| key == *mark)
}

/// Whether a directory hides what is below.
pub(crate) fn is_opaque(directory: &Directory, name: &OsStr) -> io::Result<bool> {
    let attributes = directory.attributes(name)?;
    let mut attributes = attributes.iter();
    Ok(attributes.any(|(key, value)| is_mark(key) && value == b"y"))
}

/// Hides the lower layers' entry. What this layer itself has put there stays: a whiteout speaks of the
/// layers below only (image-spec `layer.md`).
pub(super) fn hide(parent: &Directory, name: &OsStr) -> io::Result<()> {
    match parent.metadata(name)?.map(|metadata| metadata.kind) {
        None => parent.create_node(name, WHITEOUT, 0),
        Some(Kind::Directory) => mark_opaque(parent, name),
        Some(_) => Ok(()),
    }
}

/// Has a directory hide what is below.
pub(super) fn mark_opaque(parent: &Directory, name: &OsStr) -> io::Result<()> {
    let [trusted, user] = OPAQUE;
    match parent.set_attribute(name, OsStr::new(trusted), b"y") {
        // Without CAP_SYS_ADMIN overlays are mounted with userxattr.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            parent.set_attribute(name, OsStr::new(user), b"y")
        }
        other => other,
    }
}
