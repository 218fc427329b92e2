//! What is mounted in a container, in the order in which it has to happen.

use std::path::{Path, PathBuf};

use berth_contract::oci::Mount;
use berth_linux_runtime::defaults;

use super::devices::Node;
use super::namespaces::{Namespaces, Origin};
use super::security::Security;
use crate::api::types::HostConfig;
use crate::engine::id_maps::{Maps, mappings, outside};
use crate::engine::mount::{Material, Planned};

/// 64 MiB, as Docker.
pub(crate) const SHM_SIZE: u64 = 64 << 20;

/// The group of terminals.
const TERMINALS: u32 = 5;

/// Files of the container's directory that it sees below `/etc`.
#[derive(Debug, Clone)]
pub(crate) struct EtcFiles {
    pub(crate) hosts: PathBuf,
    pub(crate) hostname: PathBuf,
    pub(crate) resolv_conf: PathBuf,
}

/// All mounts: the default ones that nothing replaces, then the user's and `/etc`'s, shallow ones first.
#[expect(
    clippy::too_many_arguments,
    reason = "each decides about one group of mounts"
)]
pub(super) fn mounts(
    host: &HostConfig,
    (namespaces, maps): (&Namespaces, Option<&Maps>),
    security: &Security,
    planned: &[Planned],
    files: &EtcFiles,
    shared_memory: Option<&Path>,
) -> Vec<Mount> {
    let replaced = |place: &Path| planned.iter().any(|planned| planned.destination == place);
    let mut mounts = defaults::mounts(shared_memory_size(host));
    for mount in &mut mounts {
        adapt(mount, host, namespaces, security, shared_memory);
        let terminals = mount.destination == Path::new("/dev/pts");
        if terminals && maps.is_some_and(|maps| outside(&maps.groups, TERMINALS).is_none()) {
            leave_out(mount, &format!("gid={TERMINALS}"));
        }
    }
    mounts.retain(|mount| {
        let hidden = host.ipc_mode == "none" && mount.destination == Path::new("/dev/shm");
        !hidden && !replaced(&mount.destination)
    });
    let mut extra: Vec<Mount> = planned.iter().map(mount_of).collect();
    for (place, source, left) in [
        ("/etc/hosts", &files.hosts, host.no_hosts),
        ("/etc/hostname", &files.hostname, host.no_hostname),
        ("/etc/resolv.conf", &files.resolv_conf, false),
    ] {
        if !left && !replaced(Path::new(place)) {
            extra.push(mount(
                Path::new(place),
                "bind",
                source,
                &["rbind", "rprivate"],
            ));
        }
    }
    // Stable: mounts of the same depth keep the order they were asked for in.
    extra.sort_by_key(|mount| mount.destination.components().count());
    mounts.extend(extra);
    mounts
}

/// How large `/dev/shm` is (`--shm-size`).
pub(crate) fn shared_memory_size(host: &HostConfig) -> u64 {
    let asked = u64::try_from(host.shm_size).ok();
    asked.filter(|size| *size > 0).unwrap_or(SHM_SIZE)
}

fn adapt(
    mount: &mut Mount,
    host: &HostConfig,
    namespaces: &Namespaces,
    security: &Security,
    shared_memory: Option<&Path>,
) {
    let place = mount.destination.clone();
    match place.to_str() {
        Some("/sys") if host.privileged => allow_writing(mount),
        Some("/sys/fs/cgroup") if security.writable_cgroups => allow_writing(mount),
        Some("/dev/shm") if namespaces.ipc == Origin::Host => {
            *mount = self::mount(
                &place,
                "bind",
                Path::new("/dev/shm"),
                &["rbind", "rprivate"],
            );
        }
        Some("/dev/shm") => {
            if let Some(shared) = shared_memory {
                let options = ["rbind", "rprivate", "nosuid", "nodev", "noexec"];
                *mount = self::mount(&place, "bind", shared, &options);
            }
        }
        _ => {}
    }
}

fn allow_writing(mount: &mut Mount) {
    leave_out(mount, "ro");
}

fn leave_out(mount: &mut Mount, word: &str) {
    let options = mount
        .options
        .iter()
        .flatten()
        .filter(|option| *option != word)
        .cloned();
    let options = options.collect();
    mount.options = Some(options);
}

fn mount(destination: &Path, kind: &str, source: &Path, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: Some(options.iter().map(|option| (*option).to_owned()).collect()),
        ..Mount::default()
    }
}

fn mount_of(planned: &Planned) -> Mount {
    let mut options: Vec<&str> = planned.options.iter().map(String::as_str).collect();
    let (kind, source) = match &planned.material {
        Material::Path(path) => ("bind", path.as_path()),
        Material::Tmpfs => ("tmpfs", Path::new("tmpfs")),
        // Overlayfs needs two lower directories when there is no upper one.
        Material::Layers(layers) if layers.len() < 2 => {
            options.push("rbind");
            (
                "bind",
                layers.first().map_or(Path::new("/"), PathBuf::as_path),
            )
        }
        Material::Layers(_) => ("overlay", Path::new("overlay")),
    };
    let mut mount = mount(&planned.destination, kind, source, &options);
    if let Some(maps) = &planned.mapping {
        mount.uid_mappings = Some(mappings(&maps.users));
        mount.gid_mappings = Some(mappings(&maps.groups));
    }
    if let (Material::Layers(layers), "overlay") = (&planned.material, kind) {
        let lowers: Vec<_> = layers
            .iter()
            .map(|layer| layer.display().to_string())
            .collect();
        let lowers = format!("lowerdir={}", lowers.join(":"));
        let options = mount
            .options
            .iter()
            .flatten()
            .cloned()
            .chain([lowers])
            .collect();
        mount.options = Some(options);
    }
    mount
}

/// A device for a container that cannot make nodes, because its users are its own: the host's is bound, with
/// the owners it has there.
pub(super) fn device(node: &Node) -> Mount {
    let options = ["bind", "rprivate", "nosuid", "noexec"];
    mount(&node.device.path, "bind", &node.source, &options)
}

/// The root's own propagation must let through what a mount inside asks for.
pub(super) fn root_propagation(planned: &[Planned]) -> Option<String> {
    let asked = |words: [&str; 2]| {
        planned.iter().any(|mount| {
            mount
                .options
                .iter()
                .any(|option| words.contains(&option.as_str()))
        })
    };
    if asked(["shared", "rshared"]) {
        return Some("rshared".to_owned());
    }
    asked(["slave", "rslave"]).then(|| "rslave".to_owned())
}
