//! From what was asked to the OCI runtime-spec: pure, but for looking devices up.
//!
//! ```text
//!  ContainerConfig (image defaults filled in) ─┐
//!  HostConfig ─────────────────────────────────┼─► build() ─► oci::Spec ─► config.json ─► a runtime
//!  Identity, planned mounts, files, capacity ──┘
//! ```

mod capabilities;
mod cdi;
mod devices;
mod limits;
mod mounts;
mod namespaces;
mod process;
mod seccomp_profile;
mod security;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use berth_contract::oci::{Linux, LinuxIdMapping, Root, Spec};
use berth_contract::{Class, ContainerId, Error, Result};
use berth_linux_runtime::defaults;

use super::id_maps::{self, Line, Maps};
use super::mount::Planned;
use super::user::Identity;
use crate::api::types::{ContainerConfig, HostConfig};

pub(crate) use capabilities::{for_user as capabilities_for, set as capabilities_of};
pub(crate) use cdi::{
    DIRECTORIES as CDI_DIRECTORIES, Named as NamedDevice, named as named_devices,
};
pub(crate) use limits::Capacity;
pub(crate) use mounts::{EtcFiles, SHM_SIZE, shared_memory_size};
pub(crate) use namespaces::{Namespaces, Origin};
pub(crate) use process::{name as variable_name, overlay, user, working_directory};
pub(crate) use security::Modules;

/// The version of the runtime-spec that is written.
const VERSION: &str = "1.3.0";
/// Where containers' cgroups lie unless `--cgroup-parent` says otherwise.
const CGROUP_PARENT: &str = "/berth";

/// Everything a spec is made of.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) config: &'a ContainerConfig,
    pub(crate) host: &'a HostConfig,
    pub(crate) hostname: &'a str,
    pub(crate) identity: &'a Identity,
    pub(crate) namespaces: &'a Namespaces,
    /// The maps of the container's user namespace, when it has one.
    pub(crate) maps: Option<&'a Maps>,
    pub(crate) mounts: &'a [Planned],
    pub(crate) files: &'a EtcFiles,
    /// A directory shared as `/dev/shm` with containers that join the IPC namespace.
    pub(crate) shared_memory: Option<&'a Path>,
    pub(crate) root: &'a Path,
    pub(crate) capacity: &'a Capacity,
    pub(crate) modules: fn() -> Modules,
}

/// A spec, and what was accepted and will not do what it says.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) spec: Spec,
    pub(crate) warnings: Vec<String>,
}

/// Builds the runtime-spec of a container.
pub(crate) fn build(inputs: &Inputs<'_>) -> Result<Built> {
    let (config, host) = (inputs.config, inputs.host);
    let security = security::parse(host, inputs.modules)?;
    let held = capabilities::set(&host.cap_add, &host.cap_drop, host.privileged)?;
    let devices = devices::devices(host)?;
    let (mut resources, mut warnings) = limits::resources(host, inputs.capacity)?;
    resources.devices = Some(devices.rules);
    let mut process = process::process(config, host, inputs.identity, inputs.hostname)?;
    process.capabilities = Some(capabilities::for_user(&held, inputs.identity.uid));
    process.no_new_privileges = Some(security.no_new_privileges);
    process.apparmor_profile = security.apparmor.clone();
    process.selinux_label = security.selinux.clone();
    process.oom_score_adj = oom_score(host.oom_score_adj)?;
    process.rlimits = Some(limits::rlimits(&host.ulimits)?).filter(|limits| !limits.is_empty());
    let own_users = inputs.namespaces.user != Origin::Host;
    let nodes = devices.nodes.iter().filter(|_| !own_users);
    let linux = Linux {
        namespaces: Some(inputs.namespaces.list()),
        uid_mappings: mappings(inputs, |maps| &maps.users),
        gid_mappings: mappings(inputs, |maps| &maps.groups),
        devices: Some(nodes.map(|node| node.device.clone()).collect()),
        cgroups_path: Some(cgroup(host, inputs.id)?),
        resources: Some(resources),
        sysctl: sysctls(host, inputs.namespaces)?,
        seccomp: security.seccomp.rules(&held)?,
        rootfs_propagation: mounts::root_propagation(inputs.mounts),
        masked_paths: Some(paths(&host.masked_paths, &security, defaults::masked_paths)),
        readonly_paths: Some(paths(
            &host.readonly_paths,
            &security,
            defaults::read_only_paths,
        )),
        ..Linux::default()
    };
    let root = Root {
        path: inputs.root.to_owned(),
        readonly: Some(host.readonly_rootfs),
    };
    let mut list = mounts::mounts(
        host,
        (inputs.namespaces, inputs.maps),
        &security,
        inputs.mounts,
        inputs.files,
        inputs.shared_memory,
    );
    if own_users {
        list.extend(devices.nodes.iter().map(mounts::device));
    }
    let own_name = inputs.namespaces.uts == Origin::Own;
    let mut spec = Spec {
        version: VERSION.to_owned(),
        root: Some(root),
        mounts: Some(list),
        process: Some(process),
        hostname: own_name.then(|| inputs.hostname.to_owned()),
        domainname: Some(config.domainname.clone()).filter(|name| own_name && !name.is_empty()),
        annotations: annotations(host),
        linux: Some(linux),
        ..Spec::default()
    };
    cdi::inject(&host.device_requests, &mut spec)?;
    warnings.extend(security.warnings);
    Ok(Built { spec, warnings })
}

/// The maps of a new user namespace; one that is joined has its own.
fn mappings(inputs: &Inputs<'_>, lines: fn(&Maps) -> &Vec<Line>) -> Option<Vec<LinuxIdMapping>> {
    let maps = inputs
        .maps
        .filter(|_| inputs.namespaces.user == Origin::Own)?;
    Some(id_maps::mappings(lines(maps)))
}

fn oom_score(score: i32) -> Result<Option<i32>> {
    match score {
        0 => Ok(None),
        -1000..=1000 => Ok(Some(score)),
        _ => Err(Error::new(
            Class::Invalid,
            format!("invalid OOM score adjustment {score}: it goes from -1000 to 1000"),
        )),
    }
}

fn cgroup(host: &HostConfig, id: &ContainerId) -> Result<PathBuf> {
    let parent = match host.cgroup_parent.as_str() {
        "" => CGROUP_PARENT,
        parent => parent,
    };
    if parent.split('/').any(|part| part == "..") || parent.contains('\0') {
        return Err(Error::new(
            Class::Invalid,
            format!("invalid --cgroup-parent {parent:?}"),
        ));
    }
    Ok(Path::new("/").join(parent).join(id.as_str()))
}

fn sysctls(host: &HostConfig, namespaces: &Namespaces) -> Result<Option<BTreeMap<String, String>>> {
    for (key, value) in &host.sysctls {
        defaults::check_sysctl(key, value, namespaces.own())?;
    }
    Ok(Some(host.sysctls.clone()).filter(|sysctls| !sysctls.is_empty()))
}

fn paths(
    asked: &Option<Vec<String>>,
    security: &security::Security,
    default: fn() -> Vec<String>,
) -> Vec<String> {
    match asked {
        _ if security.bare_system_paths => Vec::new(),
        Some(paths) => paths.clone(),
        None => default(),
    }
}

fn annotations(host: &HostConfig) -> Option<BTreeMap<String, String>> {
    let mut annotations = host.annotations.clone();
    if host.init == Some(true) {
        annotations.insert("berth.init".to_owned(), "true".to_owned());
    }
    Some(annotations).filter(|annotations| !annotations.is_empty())
}

/// An absolute path without `.`, `..` and doubled slashes: resolved as text, as Docker does with
/// destinations, because nothing is mounted yet.
pub(crate) fn clean(text: &str) -> PathBuf {
    let mut path = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                path.pop();
            }
            _ => {}
        }
    }
    path
}

#[cfg(test)]
mod tests;
