//! The guest's `/dev`: nodes, links, and the console of a guest with a terminal.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_contract::oci::{LinuxDevice, LinuxDeviceType};
use berth_contract::{Class, Error, Result, TerminalSize};
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::path::{self, Directory, Node};
use berth_sys::{mount, terminal};

use crate::defaults;

const DEV: &str = "/dev";

/// Makes the nodes that the spec adds, and the default nodes and links where nothing else was asked for.
pub(crate) fn populate(root: &Directory, extra: &[LinuxDevice]) -> Result<()> {
    let dev = dev(root)?;
    for device in extra {
        add(root, device)?;
    }
    for (name, major, minor) in defaults::DEVICES {
        node(&dev, name, Node::Character(major, minor), 0o666)?;
    }
    for (name, target) in defaults::DEVICE_LINKS {
        match path::make_link(&dev, name, target) {
            Err(error) if !error::is(&error, Errno::EXIST) => {
                return Err(error).explain(|| format!("cannot make /dev/{name}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The guest's `/dev`, which must not be a symbolic link (CVE-2026-41579).
fn dev(root: &Directory) -> Result<Directory> {
    let found = match root.resolve_plain(Path::new(DEV)) {
        Err(error) if error::is(&error, Errno::NOENT) => {
            root.make_directories(Path::new(DEV), 0o755)
        }
        result => result,
    };
    found
        .map(Directory::from_fd)
        .explain(|| "cannot use the image's /dev".into())
}

fn node(directory: &Directory, name: &str, node: Node, mode: u32) -> Result<()> {
    let sentence = || format!("cannot make the device {name}");
    match path::make_node(directory, name, node, mode) {
        Err(error) if error::is(&error, Errno::EXIST) => Ok(()),
        // Not permitted in a user namespace: the host's own node is bound instead.
        Err(error) if error::is(&error, Errno::PERM) => {
            let host = mount::clone_path(&Path::new(DEV).join(name), false).explain(sentence)?;
            mount::make_read_only(&host).explain(sentence)?;
            let target = directory
                .make_file(Path::new(name), 0o666)
                .explain(sentence)?;
            mount::attach(host, target).explain(sentence)
        }
        result => result.explain(sentence),
    }
}

fn add(root: &Directory, device: &LinuxDevice) -> Result<()> {
    let whole = &device.path;
    let sentence = || format!("cannot make the device {}", whole.display());
    let number = |value: i64| {
        u32::try_from(value)
            .map_err(|error| Error::new(Class::Invalid, sentence()).caused_by(error))
    };
    let (major, minor) = (number(device.major)?, number(device.minor)?);
    let kind = match device.kind {
        LinuxDeviceType::Block => Node::Block(major, minor),
        LinuxDeviceType::Character | LinuxDeviceType::Unbuffered => Node::Character(major, minor),
        LinuxDeviceType::Fifo => Node::Fifo,
        LinuxDeviceType::All => {
            return Err(Error::new(Class::Invalid, sentence()).caused_by("it has no type"));
        }
    };
    let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) else {
        return Err(Error::new(Class::Invalid, sentence()).caused_by("it has no name"));
    };
    let parent = Directory::from_fd(root.make_directories(parent, 0o755).explain(sentence)?);
    let mode = device.file_mode.unwrap_or(0o666) & 0o7777;
    match path::make_node(&parent, name, kind, mode) {
        Err(error) if error::is(&error, Errno::PERM) => {
            let host = mount::clone_path(whole, false).explain(sentence)?;
            mount::make_read_only(&host).explain(sentence)?;
            let target = parent.make_file(Path::new(name), 0o666).explain(sentence)?;
            return mount::attach(host, target).explain(sentence);
        }
        // A guest with the host's /dev has it already.
        Err(error) if error::is(&error, Errno::EXIST) => {
            let there = path::status_at(&parent, name).explain(sentence)?;
            return match path::is_node(&there, kind) {
                true => Ok(()),
                false => Err(Error::new(Class::Conflict, sentence())
                    .caused_by("something else is there already")),
            };
        }
        result => result.explain(sentence)?,
    }
    if device.uid.is_some() || device.gid.is_some() {
        let (user, group) = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
        path::set_owner_at(&parent, name, user, group).explain(sentence)?;
    }
    Ok(())
}

/// A new pty of the guest's own devpts: master and slave.
///
/// The slave comes from the master itself (`TIOCGPTPEER`), not from a path that the guest could have
/// replaced (CVE-2025-52565).
pub(crate) fn pty(root: &Directory, size: TerminalSize) -> Result<(OwnedFd, OwnedFd)> {
    let sentence = || "cannot make a terminal for the container".to_owned();
    let master = root
        .open_at(
            Path::new("/dev/pts/ptmx"),
            path::READ_WRITE_TERMINAL,
            path::NO_MODE,
        )
        .explain(sentence)?;
    if !path::is_on(&master, path::DEVPTS).explain(sentence)? {
        return Err(Error::new(Class::Invalid, sentence()).caused_by("/dev/pts is no devpts"));
    }
    berth_sys::process::unlock_terminal(&master).explain(sentence)?;
    let slave = terminal::open_peer(master.as_fd()).explain(sentence)?;
    terminal::set_size(&master, size).explain(sentence)?;
    Ok((master, slave))
}

/// Makes the terminal the guest's `/dev/console`.
pub(crate) fn console(root: &Directory, slave: BorrowedFd<'_>) -> Result<()> {
    let sentence = || "cannot make /dev/console".to_owned();
    let dev = dev(root)?;
    let mount = mount::clone_tree(slave, false).explain(sentence)?;
    let target = match dev.resolve_plain(Path::new("console")) {
        Err(error) if error::is(&error, Errno::NOENT) => dev.make_file(Path::new("console"), 0o600),
        result => result,
    };
    mount::attach(mount, target.explain(sentence)?).explain(sentence)
}
