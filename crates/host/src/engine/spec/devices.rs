//! Devices of the host inside a container: nodes to make and rules that let them be used.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use berth_contract::oci::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};
use berth_contract::{Class, Error, Result};
use berth_linux_runtime::defaults;
use berth_sys::error::Explain as _;

use crate::api::types::HostConfig;

/// Nodes, and rules for the devices cgroup.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub(super) nodes: Vec<Node>,
    pub(super) rules: Vec<LinuxDeviceCgroup>,
}

/// A device, and where the host has it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) device: LinuxDevice,
    pub(super) source: PathBuf,
}

/// What a container may use.
pub(super) fn devices(host: &HostConfig) -> Result<Devices> {
    if host.privileged {
        let mut nodes = Vec::new();
        collect(Path::new("/dev"), Path::new("/dev"), &mut nodes)?;
        nodes.retain(|node| !is_default(&node.device.path));
        return Ok(Devices {
            nodes,
            rules: vec![rule(LinuxDeviceType::All, None, None, "rwm")],
        });
    }
    let mut devices = Devices {
        nodes: Vec::new(),
        rules: defaults::devices(),
    };
    for mapping in &host.devices {
        let access = if mapping.cgroup_permissions.is_empty() {
            "rwm"
        } else {
            check_access(&mapping.cgroup_permissions)?
        };
        let source = Path::new(&mapping.path_on_host);
        let inside = if mapping.path_in_container.is_empty() {
            source
        } else {
            Path::new(&mapping.path_in_container)
        };
        if !inside.is_absolute() || inside.components().any(|part| part.as_os_str() == "..") {
            let message = format!("{} is not an absolute path for a device", inside.display());
            return Err(Error::new(Class::Invalid, message));
        }
        let mut nodes = Vec::new();
        collect(source, inside, &mut nodes)?;
        if nodes.is_empty() {
            let message = format!("{} is not a device", source.display());
            return Err(Error::new(Class::Invalid, message));
        }
        for node in &nodes {
            let device = &node.device;
            let (major, minor) = (Some(device.major), Some(device.minor));
            devices.rules.push(rule(device.kind, major, minor, access));
        }
        devices.nodes.append(&mut nodes);
    }
    for text in &host.device_cgroup_rules {
        devices.rules.push(parse_rule(text)?);
    }
    Ok(devices)
}

/// The numbers of a block device.
pub(super) fn block_numbers(path: &Path) -> Result<(i64, i64)> {
    let metadata = fs::metadata(path).explain(|| format!("cannot use {}", path.display()))?;
    if !metadata.file_type().is_block_device() {
        let message = format!("{} is not a block device", path.display());
        return Err(Error::new(Class::Invalid, message));
    }
    Ok(numbers(metadata.rdev()))
}

/// A device, or every device below a directory; what is neither is passed over.
pub(super) fn collect(source: &Path, inside: &Path, nodes: &mut Vec<Node>) -> Result<()> {
    // A device may be named through a link; below a directory links are passed over.
    let metadata =
        fs::metadata(source).explain(|| format!("cannot use the device {}", source.display()))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return collect_directory(source, inside, nodes);
    }
    let kind = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => LinuxDeviceType::Character,
        (_, true) => LinuxDeviceType::Block,
        _ => return Ok(()),
    };
    let (major, minor) = numbers(metadata.rdev());
    let device = LinuxDevice {
        path: inside.to_owned(),
        kind,
        major,
        minor,
        file_mode: Some(metadata.permissions().mode() & 0o777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    };
    nodes.push(Node {
        device,
        source: source.to_owned(),
    });
    Ok(())
}

/// What these hold belongs to the container itself.
const OWN: [&str; 6] = ["pts", "shm", "fd", "mqueue", "console", ".udev"];

fn collect_directory(source: &Path, inside: &Path, nodes: &mut Vec<Node>) -> Result<()> {
    let explain = || format!("cannot list {}", source.display());
    for entry in fs::read_dir(source).explain(explain)? {
        let entry = entry.explain(explain)?;
        let name = entry.file_name();
        let kind = entry.file_type().explain(explain)?;
        let own = name.to_str().is_some_and(|name| OWN.contains(&name));
        if own || kind.is_symlink() {
            continue;
        }
        collect(&entry.path(), &inside.join(&name), nodes)?;
    }
    Ok(())
}

fn is_default(path: &Path) -> bool {
    let name = path.strip_prefix("/dev").unwrap_or(path);
    let known = |default: &str| Path::new(default) == name;
    defaults::DEVICES.iter().any(|(default, ..)| known(default))
        || defaults::DEVICE_LINKS
            .iter()
            .any(|(default, _)| known(default))
}

/// How glibc and the kernel pack a device number into 64 bits (`makedev(3)`).
fn numbers(device: u64) -> (i64, i64) {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    (
        i64::try_from(major).unwrap_or_default(),
        i64::try_from(minor).unwrap_or_default(),
    )
}

pub(super) fn rule(
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    LinuxDeviceCgroup {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access: Some(access.to_owned()),
    }
}

fn check_access(access: &str) -> Result<&str> {
    let known = !access.is_empty()
        && access.len() <= 3
        && access
            .bytes()
            .all(|byte| matches!(byte, b'r' | b'w' | b'm'));
    if known {
        return Ok(access);
    }
    Err(Error::new(
        Class::Invalid,
        format!("invalid device permissions {access:?}"),
    )
    .hint("write some of rwm"))
}

/// `c 1:3 rwm`, with `*` for any number.
fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let invalid = || {
        Error::new(
            Class::Invalid,
            format!("invalid device cgroup rule {text:?}"),
        )
        .hint("write it as 'c 189:* rmw'")
    };
    let mut words = text.split_ascii_whitespace();
    let (Some(kind), Some(device), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let kind = match kind {
        "a" => LinuxDeviceType::All,
        "b" => LinuxDeviceType::Block,
        "c" => LinuxDeviceType::Character,
        _ => return Err(invalid()),
    };
    let (major, minor) = device.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits
            .parse::<u32>()
            .map(|number| Some(i64::from(number)))
            .map_err(|_unparsable| invalid()),
    };
    Ok(rule(
        kind,
        number(major)?,
        number(minor)?,
        check_access(access)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::DeviceMapping;

    #[test]
    fn a_device_becomes_a_node_and_a_rule() {
        let mapping = DeviceMapping {
            path_on_host: "/dev/null".into(),
            path_in_container: "/dev/nothing".into(),
            cgroup_permissions: "rw".into(),
        };
        let host = HostConfig {
            devices: vec![mapping],
            ..HostConfig::default()
        };
        let found = devices(&host).unwrap();
        assert_eq!(found.nodes.len(), 1);
        let device = &found.nodes[0].device;
        assert_eq!(device.path, Path::new("/dev/nothing"));
        assert_eq!((device.major, device.minor), (1, 3));
        assert_eq!(found.rules.last().unwrap().access.as_deref(), Some("rw"));
    }

    #[test]
    fn rules_parse() {
        let parsed = parse_rule("c 189:* rmw").unwrap();
        assert_eq!((parsed.major, parsed.minor), (Some(189), None));
        for bad in [
            "",
            "c 1:3",
            "x 1:3 r",
            "c 1 r",
            "c 1:3 rx",
            "c 1:-3 r",
            "c 1:3 rwmr",
            "c 1:3 r r",
        ] {
            assert!(parse_rule(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn device_numbers_unpack() {
        assert_eq!(numbers(0x0103), (1, 3));
        assert_eq!(numbers(0x0000_0801), (8, 1));
        assert_eq!(
            numbers((0x12_3000 << 32) | (0x456 << 8) | 0x78),
            (0x12_3456, 0x78)
        );
    }
}
