//! One container in full, in Docker's shape.

use std::collections::BTreeMap;

use berth_contract::{ContainerId, Result, Rootfs, State};
use berth_monitor::launch::{Launch, Log};
use berth_monitor::status::Observation;
use berth_network::Attached;

use super::Engine;
use super::list::{endpoints, protocol};
use super::remove::directory_size;
use crate::api::types::{
    ContainerInspect, ContainerState, GraphDriver, NetworkSettings, PortBinding,
};
use crate::format::time;
use crate::records::Record;

/// What Docker shows for a moment that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Engine {
    /// Everything that is known of a container; `size` asks for the size of its layer as well.
    ///
    /// # Errors
    /// It does not exist, or its record is damaged.
    pub fn inspect(&self, id: &ContainerId, size: bool) -> Result<ContainerInspect> {
        let record = self.record(id)?;
        let launch = self.launch(id)?;
        let seen = self.observe(id)?;
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
            log_path: match &launch.log {
                Log::JsonFile { path, .. } => path.display().to_string(),
                Log::None => String::new(),
            },
            name: format!("/{}", record.name),
            restart_count: seen.status.restart_count,
            driver: driver(&launch).to_owned(),
            platform: "linux".to_owned(),
            runtime: record.runtime_name().to_owned(),
            exec_ids: Some(seen.status.execs.clone()).filter(|execs| !execs.is_empty()),
            graph_driver: graph(&launch),
            size_rw: sizes.map(|(own, _)| own),
            size_root_fs: sizes.map(|(_, all)| all),
            mounts: record.mounts.clone(),
            network_settings: network(&record, &seen),
            config: record.config,
            host_config: record.host_config,
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

fn graph(launch: &Launch) -> GraphDriver {
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
    let networks = endpoints(attached);
    let first = attached
        .endpoints
        .first()
        .and_then(|endpoint| networks.get(endpoint.network.as_str()))
        .cloned()
        .unwrap_or_default();
    NetworkSettings {
        sandbox_id: record.id.to_string(),
        sandbox_key: match seen.status.pid {
            pid if seen.alive && pid > 0 => format!("/proc/{pid}/ns/net"),
            _ => String::new(),
        },
        ports,
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
