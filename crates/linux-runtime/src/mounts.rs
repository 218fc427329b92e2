//! The guest's mounts, made as detached ones and put in place by descriptor.
//!
//! No path of an image is ever used as a string: a destination is resolved beneath the guest's root, and
//! what is missing is made there (CVE-2021-30465, CVE-2024-45310). `/proc`, `/sys` and `/dev` must not be
//! symbolic links at all (CVE-2023-27561, CVE-2023-28642, CVE-2026-41579).

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::mount::{self, Attributes, Change, FileSystem};
use berth_sys::path::{self, Directory};
use berth_sys::process;

use crate::opened::Opened;
use crate::plan::options::Options;
use crate::plan::{MountPlan, MountSource};

/// Makes one mount; returns it when it is the guest's own procfs.
pub(crate) fn perform(
    root: &Directory,
    plan: &MountPlan,
    opened: &Opened,
) -> Result<Option<OwnedFd>> {
    let sentence = || format!("cannot mount {}", plan.destination.display());
    match &plan.source {
        MountSource::Bind { path, recursive } => {
            let source = match &opened.source {
                Some(source) => berth_sys::fd::duplicate(source).explain(sentence)?,
                None => clone_source(path, plan.options.subpath.as_deref(), *recursive)?,
            };
            let kind = path::status(&source).explain(sentence)?;
            bind(&source, &plan.options).explain(sentence)?;
            put(root, plan, &source, path::is_directory(&kind))?;
            Ok(None)
        }
        MountSource::New { kind, source } => {
            let made = match &opened.source {
                Some(made) => berth_sys::fd::duplicate(made),
                None => new(kind, source, &plan.options),
            }
            .explain(sentence)?;
            let (made, directory) = match &plan.options.subpath {
                Some(within) => part_of(root, made, within)?,
                None => (made, true),
            };
            bind_rest(&made, &plan.options).explain(sentence)?;
            if plan.options.copy_up {
                copy_up(root, plan, &made)?;
            }
            put(root, plan, &made, directory)?;
            Ok((kind == "proc").then_some(made))
        }
        MountSource::Cgroup => {
            crate::cgroup_view::mount(root, plan)?;
            Ok(None)
        }
        MountSource::Remount => {
            let target = root.resolve(&plan.destination).explain(sentence)?;
            bind(&target, &plan.options).explain(sentence)?;
            Ok(None)
        }
    }
}

/// A detached mount of a path of the host, or of what lies at `within` beneath it.
///
/// A guest that can write beneath the path may put links there; they lead nowhere else
/// (CVE-2017-1002101).
pub(crate) fn clone_source(path: &Path, within: Option<&Path>, recursive: bool) -> Result<OwnedFd> {
    let cloned = match within {
        None => mount::clone_path(path, recursive),
        Some(within) => Directory::open(path)
            .and_then(|base| base.resolve(within))
            .and_then(|part| mount::clone_tree(part, recursive)),
    };
    let path = within.map_or_else(|| path.to_owned(), |within| path.join(within));
    cloned.map_err(|error| {
        let missing = error::is(&error, Errno::NOENT);
        let class = if missing {
            Class::Invalid
        } else {
            error::class(&error)
        };
        let error = Error::new(
            class,
            format!("cannot mount {} into the container", path.display()),
        )
        .caused_by(error);
        if missing {
            error.hint(format!("mkdir -p {}", path.display()))
        } else {
            error
        }
    })
}

/// A detached mount of what lies at `within` in a new file system, and whether it is a directory.
///
/// Before Linux 6.15 only a mount that is in place can be cloned, so the file system lies on the root
/// for a moment; `root` itself stays beneath it.
fn part_of(root: &Directory, whole: OwnedFd, within: &Path) -> Result<(OwnedFd, bool)> {
    let sentence = || format!("cannot mount {} of the source", within.display());
    mount::attach(&whole, root).explain(sentence)?;
    let whole = Directory::from_fd(whole);
    let part = whole
        .resolve(within)
        .and_then(|part| mount::clone_tree(part, false));
    process::change_directory(&whole)
        .and_then(|()| mount::unmount_here())
        .and_then(|()| process::change_directory(root))
        .explain(sentence)?;
    let part = part.explain(sentence)?;
    let kind = path::status(&part).explain(sentence)?;
    Ok((part, path::is_directory(&kind)))
}

/// Mounts a file system, or a directory with the option `bind`, on a trusted path of the host.
///
/// # Errors
/// The kernel refuses.
pub fn mount_on_host(kind: &str, source: &Path, options: &[String], place: &Path) -> Result<()> {
    let sentence = || format!("cannot mount {} ({kind})", source.display());
    let options = Options::parse(options);
    let made = match options.bind {
        Some(recursive) => {
            let made = clone_source(source, None, recursive)?;
            bind(&made, &options).explain(sentence)?;
            made
        }
        None => {
            let made = new(kind, source, &options).explain(sentence)?;
            bind_rest(&made, &options).explain(sentence)?;
            made
        }
    };
    let place = Directory::open(place).explain(sentence)?;
    mount::attach(&made, place).explain(sentence)
}

/// Applies the attributes of a bind mount, while it is still detached.
fn bind(mount: &OwnedFd, options: &Options) -> io::Result<()> {
    let attributes = options.attributes;
    if !attributes.is_empty() {
        let change = Change {
            set: attributes.set,
            clear: attributes.clear,
            ..Change::default()
        };
        mount::set_attributes(mount, &change)?;
    }
    bind_rest(mount, options)
}

/// What applies to bind mounts and new file systems alike.
fn bind_rest(mount: &OwnedFd, options: &Options) -> io::Result<()> {
    let attributes = options.recursive;
    if !attributes.is_empty() {
        let (set, clear) = (attributes.set, attributes.clear);
        mount::set_attributes(
            mount,
            &Change {
                set,
                clear,
                recursive: true,
                ..Change::default()
            },
        )?;
    }
    for (propagation, recursive) in &options.propagation {
        let change = Change {
            propagation: Some(*propagation),
            recursive: *recursive,
            ..Change::default()
        };
        mount::set_attributes(mount, &change)?;
    }
    Ok(())
}

/// A new file system as a detached mount.
pub(crate) fn new(kind: &str, source: &Path, options: &Options) -> io::Result<OwnedFd> {
    let file_system = FileSystem::new(kind)?;
    if !source.as_os_str().is_empty() {
        file_system.string("source", source)?;
    }
    for (key, value) in &options.data {
        match value {
            Some(value) => file_system.string(key, value)?,
            None => file_system.flag(key)?,
        }
    }
    for flag in &options.flags {
        file_system.flag(flag)?;
    }
    file_system.mount(Attributes::from_bits_retain(
        u32::try_from(options.attributes.set).unwrap_or(0),
    ))
}

/// Attaches a detached mount at its destination, which is made when it is missing.
pub(crate) fn put(
    root: &Directory,
    plan: &MountPlan,
    mount: &OwnedFd,
    directory: bool,
) -> Result<()> {
    let destination = &plan.destination;
    let sentence = || format!("cannot mount {}", destination.display());
    let target = target(root, destination, directory).map_err(|error| {
        if error::is(&error, Errno::LOOP) {
            return Error::new(Class::Invalid, sentence()).caused_by(
                "the image has a symbolic link there in place of an ordinary directory",
            );
        }
        Error::new(error::class(&error), sentence()).caused_by(error)
    })?;
    mount::attach(mount, target).explain(sentence)
}

fn target(root: &Directory, destination: &Path, directory: bool) -> io::Result<OwnedFd> {
    if is_system(destination) {
        match root.resolve_plain(destination) {
            Err(error) if error::is(&error, Errno::NOENT) => {}
            result => return result,
        }
        if let Some(parent) = destination.parent().filter(|parent| is_system(parent)) {
            match root.resolve_plain(parent) {
                // A link on the way would have been found first; what is missing is made.
                Err(error) if error::is(&error, Errno::NOENT) => {}
                result => drop(result?),
            }
        }
    }
    if directory {
        root.make_directories(destination, 0o755)
    } else {
        root.make_file(destination, 0o644)
    }
}

/// `/proc`, `/sys`, `/dev` and what is beneath them.
fn is_system(destination: &Path) -> bool {
    let first = destination.components().find_map(|part| match part {
        std::path::Component::Normal(name) => Some(name),
        _ => None,
    });
    first.is_some_and(|name| name == "proc" || name == "sys" || name == "dev")
}

/// Fills a new tmpfs with what it is going to hide.
fn copy_up(root: &Directory, plan: &MountPlan, tmpfs: &OwnedFd) -> Result<()> {
    let sentence = || {
        format!(
            "cannot copy the image's files into {}",
            plan.destination.display()
        )
    };
    let hidden = match root.open_at(&plan.destination, path::READ_DIRECTORY, path::NO_MODE) {
        Ok(hidden) => hidden,
        Err(error) if error::is(&error, Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error).explain(sentence),
    };
    // The descriptor of a new mount is a mere reference.
    let tmpfs = path::open_child(tmpfs.as_fd(), ".", path::READ_DIRECTORY).explain(sentence)?;
    berth_sys::copy::tree(hidden.as_fd(), tmpfs.as_fd()).explain(sentence)
}
