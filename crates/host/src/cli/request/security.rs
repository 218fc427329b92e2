//! What the container's processes may do, and which namespaces they share.

use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_host::api::types::{CreateRequest, DeviceRequest, HostConfig, IdMappings};
use clap::Args;

use super::{conflict, read_text};
use crate::cli::parse::device::{self, Device};
use crate::cli::parse::{Parsed, environment};

/// Flags about privileges and isolation.
#[derive(Debug, Args)]
#[command(next_help_heading = "Security options")]
pub(crate) struct SecurityFlags {
    /// Add a capability; ALL for all (can be repeated)
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,

    /// Drop a capability; ALL for all (can be repeated)
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,

    /// Give all capabilities and devices, mask nothing
    #[arg(long)]
    privileged: bool,

    /// seccomp=FILE|unconfined, apparmor=…, label=…, no-new-privileges, systempaths=unconfined (can be repeated)
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,

    /// Give a device: HOST[:CONTAINER][:rwm], or VENDOR/CLASS=NAME of a CDI file (can be repeated)
    #[arg(long, value_name = "DEVICE", value_parser = device::device)]
    device: Vec<Device>,

    /// Give GPUs that a CDI file describes: all, a number, or device=… (can be repeated)
    #[arg(long, value_name = "GPUS", value_parser = device::gpus)]
    gpus: Vec<DeviceRequest>,

    /// Allow devices by number: 'c 1:3 rwm' (can be repeated)
    #[arg(long, value_name = "RULE", value_parser = device::cgroup_rule)]
    device_cgroup_rule: Vec<String>,

    /// Set a kernel parameter of the container's namespaces (can be repeated)
    #[arg(long, value_name = "NAME=VALUE", value_parser = environment::pair)]
    sysctl: Vec<(String, String)>,

    /// The user namespace: host, auto[:size=N,uidmapping=…,gidmapping=…], container:NAME
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,

    /// Map users of the container to users of the host: CONTAINER:HOST:LENGTH (can be repeated)
    #[arg(long, value_name = "MAP")]
    uidmap: Vec<String>,

    /// Map groups of the container to groups of the host: CONTAINER:HOST:LENGTH (can be repeated)
    #[arg(long, value_name = "MAP")]
    gidmap: Vec<String>,

    /// The IPC namespace: private, shareable, none, host, container:NAME
    #[arg(long, value_name = "MODE", value_parser = ipc_mode)]
    ipc: Option<String>,

    /// The PID namespace: private, host, container:NAME
    #[arg(long, value_name = "MODE", value_parser = pid_mode)]
    pid: Option<String>,

    /// The UTS namespace: private, host
    #[arg(long, value_name = "MODE", value_parser = private_or_host)]
    uts: Option<String>,

    /// The cgroup namespace: private, host
    #[arg(long, value_name = "MODE", value_parser = private_or_host)]
    cgroupns: Option<String>,
}

impl SecurityFlags {
    pub(super) fn apply(self, request: &mut CreateRequest) -> Result<()> {
        let host = &mut request.host_config;
        host.cap_add = self.cap_add;
        host.cap_drop = self.cap_drop;
        host.privileged = self.privileged;
        host.device_requests = self.gpus;
        for device in self.device {
            match device {
                Device::Path(mapping) => host.devices.push(mapping),
                Device::Name(name) => host.device_requests.push(DeviceRequest {
                    driver: "cdi".to_owned(),
                    device_ids: vec![name],
                    ..DeviceRequest::default()
                }),
            }
        }
        host.device_cgroup_rules = self.device_cgroup_rule;
        host.sysctls = self.sysctl.into_iter().collect();
        host.userns_mode = self.userns.unwrap_or_default();
        if !(self.uidmap.is_empty() && self.gidmap.is_empty()) {
            if !matches!(host.userns_mode.as_str(), "" | "private") {
                let reason = "the mode chooses the maps itself";
                return Err(conflict("--userns", "--uidmap and --gidmap", reason));
            }
            "private".clone_into(&mut host.userns_mode);
            host.id_mappings = Some(IdMappings {
                uid_map: self.uidmap,
                gid_map: self.gidmap,
            });
        }
        host.ipc_mode = self.ipc.unwrap_or_default();
        host.pid_mode = without_private(self.pid);
        host.uts_mode = without_private(self.uts);
        host.cgroupns_mode = self.cgroupns.unwrap_or_default();
        security_options(self.security_opt, host)
    }
}

/// What `--security-opt` asks for.
///
/// # Errors
/// A profile cannot be read.
pub(crate) fn security_options(options: Vec<String>, host: &mut HostConfig) -> Result<()> {
    for option in options {
        if matches!(
            option.as_str(),
            "systempaths=unconfined" | "systempaths:unconfined"
        ) {
            host.masked_paths = Some(Vec::new());
            host.readonly_paths = Some(Vec::new());
            continue;
        }
        host.security_opt.push(with_profile(option)?);
    }
    Ok(())
}

/// The Engine API's word for a namespace of its own is the empty one.
fn without_private(mode: Option<String>) -> String {
    mode.filter(|mode| mode != "private").unwrap_or_default()
}

/// Puts the seccomp profile itself in place of its file's name: the engine may run elsewhere.
fn with_profile(option: String) -> Result<String> {
    let file = option
        .strip_prefix("seccomp=")
        .or_else(|| option.strip_prefix("seccomp:"));
    let Some(file) = file.filter(|file| !matches!(*file, "unconfined" | "builtin")) else {
        return Ok(option);
    };
    let text = read_text("--security-opt", Path::new(file))?;
    let profile: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        Error::new(
            Class::Invalid,
            format!("cannot use the seccomp profile {file}"),
        )
        .caused_by(error)
    })?;
    Ok(format!("seccomp={profile}"))
}

fn ipc_mode(text: &str) -> Parsed<String> {
    match text {
        "" | "private" | "shareable" | "none" | "host" => Ok(text.to_owned()),
        _ if names_container(text) => Ok(text.to_owned()),
        _ => Err("it must be private, shareable, none, host or container:NAME".into()),
    }
}

fn pid_mode(text: &str) -> Parsed<String> {
    match text {
        "" | "private" | "host" => Ok(text.to_owned()),
        _ if names_container(text) => Ok(text.to_owned()),
        _ => Err("it must be private, host or container:NAME".into()),
    }
}

fn private_or_host(text: &str) -> Parsed<String> {
    match text {
        "" | "private" | "host" => Ok(text.to_owned()),
        _ => Err("it must be private or host".into()),
    }
}

fn names_container(text: &str) -> bool {
    text.strip_prefix("container:")
        .is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces() {
        assert!(ipc_mode("container:web").is_ok());
        assert!(ipc_mode("container:").is_err());
        assert!(pid_mode("shareable").is_err());
        assert!(private_or_host("container:web").is_err());
        assert_eq!(without_private(Some("private".into())), "");
        assert_eq!(without_private(Some("host".into())), "host");
    }

    #[test]
    fn a_profile_is_read_and_the_words_are_kept() {
        assert_eq!(
            with_profile("seccomp=unconfined".into()).unwrap(),
            "seccomp=unconfined"
        );
        assert_eq!(
            with_profile("no-new-privileges".into()).unwrap(),
            "no-new-privileges"
        );
        assert!(with_profile("seccomp=/no/such/file".into()).is_err());
    }
}
