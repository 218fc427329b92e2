//! Listing containers: three small files each, no lock taken unless a monitor was lost.

use std::collections::BTreeMap;

use berth_contract::{Class, ContainerId, Exit, Result, State};
use berth_monitor::status::{Observation, Status};
use berth_network::{Attached, Protocol};

use super::Engine;
use super::collect::damaged;
use super::network::DEFAULT;
use super::networks::{endpoint_id, network_id};
use super::options::Listing;
use crate::api::types::{ContainerSummary, EndpointSettings, Port, SummaryNetworks};
use crate::format::human;
use crate::records::{Record, SUMMARY_FILE, StoredSummary, identifiers, quarantine, read_document};

impl Engine {
    /// All containers, newest first. Damaged ones are put aside and told.
    ///
    /// # Errors
    /// The directory of containers cannot be read.
    pub fn list(&self) -> Result<Listing> {
        let now = berth_sys::clock::realtime();
        let mut found: Vec<(u64, ContainerSummary)> = Vec::new();
        let mut damaged_ones = Vec::new();
        for id in identifiers(self.paths())? {
            match self.summary(&id, now) {
                Ok(Some(summary)) => found.push(summary),
                // It was removed while we looked.
                Ok(None) => {}
                Err(error) => damaged_ones.push(self.put_aside(&id, error)),
            }
        }
        found.sort_by(|(left, a), (right, b)| right.cmp(left).then_with(|| a.id.cmp(&b.id)));
        let containers = found.into_iter().map(|(_, summary)| summary).collect();
        Ok(Listing {
            containers,
            damaged: damaged_ones,
        })
    }

    pub(super) fn put_aside(
        &self,
        id: &ContainerId,
        error: berth_contract::Error,
    ) -> berth_contract::Error {
        // A container that runs is told about and left alone.
        let alive = self.observe(id).is_ok_and(|seen| seen.alive);
        let kept = if alive {
            Err(self.not_running(id))
        } else {
            quarantine(self.paths(), id)
        };
        damaged(id, error, kept)
    }

    fn summary(&self, id: &ContainerId, now: u64) -> Result<Option<(u64, ContainerSummary)>> {
        let container = self.paths().container(id);
        let stored: Result<Option<StoredSummary>> = read_document(&container.join(SUMMARY_FILE));
        let (created, mut summary) = match stored {
            Ok(Some(stored)) => (stored.nanoseconds, stored.summary),
            // The summary can be made again from the record.
            Ok(None) | Err(_) => match Record::read(&container)? {
                Some(record) => (record.created, record.summary()),
                None if container.exists() => {
                    return Err(berth_contract::Error::new(
                        Class::Internal,
                        "its record is missing",
                    ));
                }
                None => return Ok(None),
            },
        };
        let seen = match self.settle(id) {
            Err(error) if error.class() == Class::NotFound => return Ok(None),
            // What cannot be cleared up is shown all the same.
            Err(_) => self.observe(id)?,
            Ok(seen) => seen,
        };
        complete(&mut summary, &seen, now);
        Ok(Some((created, summary)))
    }
}

fn complete(summary: &mut ContainerSummary, seen: &Observation, now: u64) {
    let status = &seen.status;
    status.state.as_str().clone_into(&mut summary.state);
    summary.status = in_words(status, now);
    summary.exit_code = status
        .exit
        .as_ref()
        .map_or(0, |exit| i32::from(exit.status()));
    let nothing = Attached::default();
    let attached = if seen.alive {
        summary.ports = ports(&status.network, &summary.exposed_ports);
        &status.network
    } else {
        &nothing
    };
    let mode = &summary.host_config.network_mode;
    summary.network_settings = SummaryNetworks {
        networks: endpoints(&summary.id, mode, BTreeMap::new(), attached),
    };
}

/// `Up 3 minutes`, `Exited (0) 2 hours ago`, as Docker says it.
fn in_words(status: &Status, now: u64) -> String {
    let since =
        |then: u64| human::duration(std::time::Duration::from_nanos(now.saturating_sub(then)));
    let code = status.exit.as_ref().map_or(0, Exit::status);
    match status.state {
        State::Created => "Created".to_owned(),
        State::Running => format!("Up {}", since(status.started_at)),
        State::Paused => format!("Up {} (Paused)", since(status.started_at)),
        State::Restarting => format!("Restarting ({code}) {} ago", since(status.finished_at)),
        // A lost monitor could not write when its guest ended.
        State::Exited if status.finished_at == 0 => format!("Exited ({code})"),
        State::Exited => format!("Exited ({code}) {} ago", since(status.finished_at)),
        State::Removing => "Removal In Progress".to_owned(),
        State::Dead => "Dead".to_owned(),
    }
}

fn ports(attached: &Attached, exposed: &[String]) -> Vec<Port> {
    let mut ports: Vec<Port> = attached
        .ports
        .iter()
        .map(|port| Port {
            ip: Some(port.host_address.to_string()),
            private_port: port.container_port,
            public_port: Some(port.host_port),
            kind: protocol(port.protocol).to_owned(),
        })
        .collect();
    for text in exposed {
        let (number, kind) = text.split_once('/').unwrap_or((text, "tcp"));
        let Ok(private_port) = number.parse() else {
            continue;
        };
        if !ports
            .iter()
            .any(|port| port.private_port == private_port && port.kind == kind)
        {
            ports.push(Port {
                ip: None,
                private_port,
                public_port: None,
                kind: kind.to_owned(),
            });
        }
    }
    ports.sort();
    ports
}

pub(super) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// A container's places in its networks: what was asked for, and what it was given while it runs.
pub(super) fn endpoints(
    container: &str,
    mode: &str,
    asked: BTreeMap<String, EndpointSettings>,
    attached: &Attached,
) -> BTreeMap<String, EndpointSettings> {
    let mut networks = asked;
    if !mode.starts_with("container:") {
        let name = match mode {
            "" | "default" => DEFAULT,
            name => name,
        };
        networks.entry(name.to_owned()).or_default();
    }
    for (name, settings) in &mut networks {
        settings.network_id = network_id(name);
    }
    for endpoint in &attached.endpoints {
        let text = |address: Option<std::net::Ipv6Addr>| {
            address
                .map(|address| address.to_string())
                .unwrap_or_default()
        };
        let name = endpoint.network.to_string();
        let settings = EndpointSettings {
            mac_address: mac(endpoint.mac),
            network_id: network_id(&name),
            endpoint_id: endpoint_id(container, &name),
            gateway: endpoint.gateway.to_string(),
            ip_address: endpoint.address.to_string(),
            ip_prefix_len: endpoint.prefix,
            ipv6_gateway: text(endpoint.gateway6),
            global_ipv6_address: text(endpoint.address6),
            global_ipv6_prefix_len: endpoint.prefix6,
            ..networks.remove(&name).unwrap_or_default()
        };
        networks.insert(name, settings);
    }
    networks
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_in_words() {
        const MINUTE: u64 = 60_000_000_000;
        let mut status = Status::created();
        assert_eq!(in_words(&status, 0), "Created");
        status.state = State::Running;
        assert_eq!(in_words(&status, 3 * MINUTE), "Up 3 minutes");
        status.state = State::Exited;
        status.exit = Some(Exit::Code { code: 7 });
        status.finished_at = MINUTE;
        assert_eq!(in_words(&status, 6 * MINUTE), "Exited (7) 5 minutes ago");
        status.exit = Some(Exit::Lost);
        status.finished_at = 0;
        assert_eq!(in_words(&status, 6 * MINUTE), "Exited (137)");
    }
}
