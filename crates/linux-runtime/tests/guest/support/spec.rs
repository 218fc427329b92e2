//! Changes of a spec.

use std::collections::BTreeMap;

use berth_contract::oci::{
    self, Capabilities, LinuxCapabilities, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType,
    Mount, Process, Spec,
};
use berth_linux_runtime::defaults;

pub(crate) fn args(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn process(spec: &mut Spec, change: impl FnOnce(&mut Process)) {
    change(spec.process.as_mut().unwrap());
}

pub(crate) fn linux(spec: &mut Spec, change: impl FnOnce(&mut oci::Linux)) {
    change(spec.linux.as_mut().unwrap());
}

pub(super) fn set_capabilities(spec: &mut Spec, capabilities: &Capabilities) {
    let sets = LinuxCapabilities {
        bounding: Some(capabilities.clone()),
        effective: Some(capabilities.clone()),
        permitted: Some(capabilities.clone()),
        ..LinuxCapabilities::default()
    };
    process(spec, |process| {
        process.capabilities = Some(sets);
    });
}

pub(crate) fn capabilities(spec: &mut Spec, capabilities: Capabilities) {
    set_capabilities(spec, &capabilities);
    linux(spec, |linux| {
        linux.seccomp = Some(defaults::seccomp(&capabilities));
    });
}

pub(crate) fn add_mount(
    spec: &mut Spec,
    destination: &str,
    kind: &str,
    source: &str,
    options: &[&str],
) {
    let mount = Mount {
        destination: destination.into(),
        kind: Some(kind.to_owned()),
        source: Some(source.into()),
        options: Some(args(options)),
        ..Mount::default()
    };
    spec.mounts.as_mut().unwrap().push(mount);
}

/// Maps the ids of the last mount: on its file system, in the kernel, how many.
pub(crate) fn map_mount(spec: &mut Spec, lines: &[(u32, u32, u32)]) {
    let line = |(inside, outside, count): &(u32, u32, u32)| LinuxIdMapping {
        container_id: *inside,
        host_id: *outside,
        size: *count,
    };
    let lines: Vec<_> = lines.iter().map(line).collect();
    let mount = spec.mounts.as_mut().unwrap().last_mut().unwrap();
    mount.uid_mappings = Some(lines.clone());
    mount.gid_mappings = Some(lines);
}

pub(crate) fn read_only_root(spec: &mut Spec) {
    spec.root.as_mut().unwrap().readonly = Some(true);
}

pub(crate) fn annotate(spec: &mut Spec, key: &str, value: &str) {
    let mut annotations = spec.annotations.clone().unwrap_or_default();
    annotations.insert(key.to_owned(), value.to_owned());
    spec.annotations = Some(annotations);
}

pub(crate) fn sysctl(spec: &mut Spec, values: &[(&str, &str)]) {
    let all: BTreeMap<String, String> = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    linux(spec, |linux| {
        linux.sysctl = Some(all);
    });
}

pub(crate) fn map_users(spec: &mut Spec, outside: u32, count: u32) {
    let mapping = LinuxIdMapping {
        host_id: outside,
        container_id: 0,
        size: count,
    };
    linux(spec, |linux| {
        let mut namespaces = linux.namespaces.clone().unwrap();
        namespaces.push(LinuxNamespace {
            kind: LinuxNamespaceType::User,
            path: None,
        });
        linux.namespaces = Some(namespaces);
        linux.uid_mappings = Some(vec![mapping]);
        linux.gid_mappings = Some(vec![mapping]);
    });
}

/// Joins namespaces of a process, each named as in the specification and as in `/proc/PID/ns`.
pub(crate) fn join(spec: &mut Spec, pid: i32, kinds: &[(LinuxNamespaceType, &str)]) {
    linux(spec, |linux| {
        for namespace in linux.namespaces.iter_mut().flatten() {
            if let Some((_, file)) = kinds.iter().find(|(kind, _)| *kind == namespace.kind) {
                namespace.path = Some(format!("/proc/{pid}/ns/{file}").into());
            }
        }
    });
}
