//! One container in full, in Docker's shape.

use std::collections::BTreeMap;

use berth_contract::{ContainerId, Result, Rootfs, State};
use berth_linux_runtime::defaults;
use berth_monitor::launch::Launch;
use berth_monitor::status::Observation;
use berth_network::Attached;

use super::Engine;
use super::list::{endpoints, protocol};
use super::network::DEFAULT;
use super::remove::directory_size;
use super::spec::SHM_SIZE;
use crate::api::types::{
    ContainerInspect, ContainerState, GraphDriver, HostConfig, NetworkSettings, PortBinding,
};
use crate::format::time::{self, NEVER};
use crate::records::Record;

impl Engine {
    /// Everything that is known of a container; `size` asks for the size of its layer as well.
    ///
    /// # Errors
    /// It does not exist, or its record is damaged.
    pub fn inspect(&self, id: &ContainerId, size: bool) -> Result<ContainerInspect> {
        let record = self.record(id)?;
        let launch = self.launch(id)?;
        let seen = self.settle(id)?;
        let container = self.paths().container(id);
        let mut command = record.command().into_iter();
        let path = |name: &str| container.join(name).display().to_string();
        let sizes = size.then(|| {
            let own = self.writable_size(id);
            let layers = super::start::lowers(&launch);
            let all = layers
                .iter()
                .map(|layer| directory_size(layer))
                .fold(own, u64::saturating_add);
            (
                i64::try_from(own).unwrap_or(i64::MAX),
                i64::try_from(all).unwrap_or(i64::MAX),
            )
        });
        Ok(ContainerInspect {
            id: record.id.to_string(),
            created: time::rfc3339(record.created),
            path: command.next().unwrap_or_default(),
            args: command.collect(),
            state: state(&seen),
            image: record.image_id.clone(),
            resolv_conf_path: path("resolv.conf"),
            hostname_path: path("hostname"),
            hosts_path: path("hosts"),
            // As in Docker: where other drivers keep what `logs` reads is nobody's matter.
            log_path: match (
                &launch.log.file,
                record.host_config.log_config.kind.as_str(),
            ) {
                (Some(file), "json-file") => file.path.display().to_string(),
                _ => String::new(),
            },
            name: format!("/{}", record.name),
            restart_count: seen.status.restart_count,
            driver: driver(&launch).to_owned(),
            platform: "linux".to_owned(),
            runtime: record.runtime_name().to_owned(),
            exec_ids: Some(seen.status.execs.clone()).filter(|execs| !execs.is_empty()),
            graph_driver: graph(&launch, &seen),
            size_rw: sizes.map(|(own, _)| own),
            size_root_fs: sizes.map(|(_, all)| all),
            mounts: record.mounts.clone(),
            network_settings: network(&record, &seen),
            host_config: shown(&record),
            config: record.config,
            ..ContainerInspect::default()
        })
    }
}

fn state(seen: &Observation) -> ContainerState {
    let status = &seen.status;
    let moment = |nanoseconds: u64| match nanoseconds {
        0 => NEVER.to_owned(),
        moment => time::rfc3339(moment),
    };
    let exit = status
        .exit
        .as_ref()
        .filter(|_| !matches!(status.state, State::Running | State::Paused));
    ContainerState {
        status: status.state.to_string(),
        running: status.state.is_live() && seen.alive,
        paused: status.state == State::Paused,
        restarting: status.state == State::Restarting,
        oom_killed: status.out_of_memory,
        dead: status.state == State::Dead,
        pid: if seen.alive { status.pid } else { 0 },
        exit_code: exit.map_or(0, |exit| i32::from(exit.status())),
        error: exit.map(berth_contract::Exit::error).unwrap_or_default(),
        started_at: moment(status.started_at),
        finished_at: moment(status.finished_at),
        leftovers: status.leftovers.clone(),
    }
}

fn driver(launch: &Launch) -> &'static str {
    match launch.rootfs {
        Rootfs::Overlay { .. } => "overlay2",
        Rootfs::Directory(_) => "directory",
    }
}

/// What was asked of the host, with the defaults that hold where nothing was.
fn shown(record: &Record) -> HostConfig {
    let mut host = record.host_config.clone();
    let default = |field: &mut String, value: &str| {
        if field.is_empty() {
            value.clone_into(field);
        }
    };
    default(&mut host.network_mode, DEFAULT);
    default(&mut host.restart_policy.name, "no");
    default(&mut host.ipc_mode, "private");
    default(&mut host.cgroupns_mode, "private");
    default(&mut host.runtime, record.runtime_name());
    if host.shm_size == 0 {
        host.shm_size = i64::try_from(SHM_SIZE).unwrap_or(i64::MAX);
    }
    host.oom_kill_disable.get_or_insert(false);
    if !host.privileged {
        host.masked_paths.get_or_insert_with(defaults::masked_paths);
        host.readonly_paths
            .get_or_insert_with(defaults::read_only_paths);
    }
    host
}

fn graph(launch: &Launch, seen: &Observation) -> GraphDriver {
    let mut data = BTreeMap::new();
    match &launch.rootfs {
        Rootfs::Overlay {
            lowers,
            upper,
            work,
            ..
        } => {
            let lowers: Vec<_> = lowers
                .iter()
                .map(|lower| lower.display().to_string())
                .collect();
            data.insert("LowerDir".to_owned(), lowers.join(":"));
            data.insert("UpperDir".to_owned(), upper.display().to_string());
            data.insert("WorkDir".to_owned(), work.display().to_string());
        }
        Rootfs::Directory(path) => {
            data.insert("RootDir".to_owned(), path.display().to_string());
        }
    }
    if seen.alive && seen.status.pid > 0 {
        // It is mounted nowhere else than in the container itself.
        let merged = format!("/proc/{}/root", seen.status.pid);
        data.insert("MergedDir".to_owned(), merged);
    }
    GraphDriver {
        name: driver(launch).to_owned(),
        data,
    }
}

fn network(record: &Record, seen: &Observation) -> NetworkSettings {
    let nothing = Attached::default();
    let attached = if seen.alive {
        &seen.status.network
    } else {
        &nothing
    };
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> = record
        .config
        .exposed_ports
        .keys()
        .map(|port| (port.clone(), None))
        .collect();
    for port in &attached.ports {
        let key = format!("{}/{}", port.container_port, protocol(port.protocol));
        let binding = PortBinding {
            host_ip: port.host_address.to_string(),
            host_port: port.host_port.to_string(),
        };
        ports
            .entry(key)
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    let networks = endpoints(
        record.id.as_str(),
        &record.host_config.network_mode,
        record.networking_config.endpoints_config.clone(),
        attached,
    );
    let first = attached
        .endpoints
        .first()
        .and_then(|endpoint| networks.get(endpoint.network.as_str()))
        .cloned()
        .unwrap_or_default();
    NetworkSettings {
        sandbox_id: if seen.alive {
            record.id.to_string()
        } else {
            String::new()
        },
        sandbox_key: match seen.status.pid {
            pid if seen.alive && pid > 0 => format!("/proc/{pid}/ns/net"),
            _ => String::new(),
        },
        ports,
        endpoint_id: first.endpoint_id,
        gateway: first.gateway,
        ip_address: first.ip_address,
        ip_prefix_len: first.ip_prefix_len,
        ipv6_gateway: first.ipv6_gateway,
        global_ipv6_address: first.global_ipv6_address,
        global_ipv6_prefix_len: first.global_ipv6_prefix_len,
        mac_address: first.mac_address,
        networks,
        ..NetworkSettings::default()
    }
}
