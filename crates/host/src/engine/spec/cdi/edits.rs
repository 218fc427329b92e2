//! What a device changes in a container that gets it.

use std::path::PathBuf;

use berth_contract::oci::{
    Hook, Hooks, LinuxDevice, LinuxDeviceType, LinuxNamespaceType, Mount, Process, Spec,
};
use berth_contract::{Class, Error, Result};
use serde::Deserialize;

use crate::engine::spec::devices::{self, collect, rule};
use crate::engine::spec::mounts::device;
use crate::engine::spec::process::overlay;

/// What changes in a container that gets a device. What stands here and is not understood is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Bind>,
    hooks: Vec<NamedHook>,
    additional_gids: Vec<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Node {
    path: PathBuf,
    host_path: Option<PathBuf>,
    #[serde(rename = "type")]
    kind: String,
    major: i64,
    minor: i64,
    file_mode: Option<u32>,
    permissions: String,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bind {
    host_path: PathBuf,
    container_path: PathBuf,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamedHook {
    hook_name: String,
    path: PathBuf,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    timeout: Option<i64>,
}

impl Edits {
    pub(super) fn apply(&self, spec: &mut Spec) -> Result<()> {
        if let Some(process) = &mut spec.process {
            self.apply_to_process(process);
        }
        for node in &self.device_nodes {
            node.apply(spec)?;
        }
        let mut mounts = spec.mounts.clone().unwrap_or_default();
        mounts.extend(self.mounts.iter().map(Bind::mount));
        spec.mounts = Some(mounts);
        let mut hooks = spec.hooks.clone().unwrap_or_default();
        for hook in &self.hooks {
            hook.add(&mut hooks)?;
        }
        spec.hooks = Some(hooks).filter(|hooks| *hooks != Hooks::default());
        Ok(())
    }

    fn apply_to_process(&self, process: &mut Process) {
        let environment = process.env.clone().unwrap_or_default();
        process.env = Some(overlay(environment, &self.env));
        let user = &mut process.user;
        let mut groups = user.additional_gids.clone().unwrap_or_default();
        for group in self.additional_gids.iter().filter(|group| **group != 0) {
            if !groups.contains(group) {
                groups.push(*group);
            }
        }
        user.additional_gids = Some(groups);
    }
}

impl Node {
    fn apply(&self, spec: &mut Spec) -> Result<()> {
        let mut nodes = Vec::new();
        match self.kind.as_str() {
            "c" | "u" | "b" if self.major > 0 => {
                let kind = match self.kind.as_str() {
                    "b" => LinuxDeviceType::Block,
                    _ => LinuxDeviceType::Character,
                };
                let device = LinuxDevice {
                    path: self.path.clone(),
                    kind,
                    major: self.major,
                    minor: self.minor,
                    file_mode: None,
                    uid: None,
                    gid: None,
                };
                nodes.push(devices::Node {
                    device,
                    source: self.host_path.as_ref().unwrap_or(&self.path).clone(),
                });
            }
            _ => {
                let source = self.host_path.as_ref().unwrap_or(&self.path);
                collect(source, &self.path, &mut nodes)?;
            }
        }
        let access = match self.permissions.as_str() {
            "" => "rwm",
            some => some,
        };
        let Some(linux) = &mut spec.linux else {
            return Ok(());
        };
        // With users of its own a container cannot make nodes: they are bound.
        let mut namespaces = linux.namespaces.iter().flatten();
        let bound = namespaces.any(|namespace| namespace.kind == LinuxNamespaceType::User);
        let mut binds = Vec::new();
        let mut resources = linux.resources.clone().unwrap_or_default();
        let mut rules = resources.devices.clone().unwrap_or_default();
        let mut devices = linux.devices.clone().unwrap_or_default();
        for found in nodes {
            let mut node = found.device.clone();
            node.file_mode = self.file_mode.or(node.file_mode);
            node.uid = self.uid.or(node.uid);
            node.gid = self.gid.or(node.gid);
            rules.push(rule(node.kind, Some(node.major), Some(node.minor), access));
            if bound {
                binds.push(device(&found));
                continue;
            }
            devices.retain(|known| known.path != node.path);
            devices.push(node);
        }
        resources.devices = Some(rules);
        linux.resources = Some(resources);
        linux.devices = Some(devices);
        if !binds.is_empty() {
            spec.mounts.get_or_insert_default().extend(binds);
        }
        Ok(())
    }
}

impl Bind {
    fn mount(&self) -> Mount {
        let mut options = self.options.clone();
        let kind = match self.kind.as_str() {
            "" => {
                if !options
                    .iter()
                    .any(|word| matches!(word.as_str(), "bind" | "rbind"))
                {
                    options.push("rbind".to_owned());
                }
                "bind"
            }
            kind => kind,
        };
        Mount {
            destination: self.container_path.clone(),
            source: Some(self.host_path.clone()),
            kind: Some(kind.to_owned()),
            options: Some(options),
            ..Mount::default()
        }
    }
}

impl NamedHook {
    fn add(&self, hooks: &mut Hooks) -> Result<()> {
        let hook = Hook {
            path: self.path.clone(),
            args: Some(self.args.clone()),
            env: Some(self.env.clone()),
            timeout: self.timeout,
        };
        let list = match self.hook_name.as_str() {
            "createRuntime" => &mut hooks.create_runtime,
            "createContainer" => &mut hooks.create_container,
            "startContainer" => &mut hooks.start_container,
            "poststart" => &mut hooks.poststart,
            "poststop" => &mut hooks.poststop,
            other => {
                return Err(Error::new(
                    Class::Unsupported,
                    format!("cannot run the hook {other} of a device"),
                ));
            }
        };
        list.get_or_insert_default().push(hook);
        Ok(())
    }
}
