//! The operations on networks: the default bridge, the host's network, and none.

use std::collections::BTreeMap;

use berth_contract::{Class, ContainerId, Error, NetworkName, Result};
use berth_network::{Description, Mode, Network, Subnet};
use sha2::{Digest as _, Sha256};

use super::Engine;
use super::network::DEFAULT;
use crate::api::types::{
    ContainerSummary, Ipam, IpamRange, NetworkInspect, NetworkMember, PruneReport,
};
use crate::format::time::{self, NEVER};
use crate::records::identifiers;

impl Engine {
    /// All networks, with the running containers on them.
    ///
    /// # Errors
    /// The containers cannot be listed.
    pub fn networks(&self) -> Result<Vec<NetworkInspect>> {
        let containers = self.list()?.containers;
        let name: NetworkName = DEFAULT.parse()?;
        let bridge = self.network_layer().describe(&name)?;
        let mut bridge = NetworkInspect {
            created: self.bridge_created(),
            enable_ipv4: true,
            ..described(DEFAULT, "bridge", bridge.as_ref())
        };
        let mut host = described("host", "host", None);
        let mut none = described("none", "null", None);
        for container in &containers {
            if let Some(endpoint) = container.network_settings.networks.get(DEFAULT) {
                // Only who runs has an address.
                if !endpoint.ip_address.is_empty() {
                    let member = NetworkMember {
                        endpoint_id: endpoint.endpoint_id.clone(),
                        mac_address: endpoint.mac_address.clone(),
                        ipv4_address: with_prefix(&endpoint.ip_address, endpoint.ip_prefix_len),
                        ipv6_address: with_prefix(
                            &endpoint.global_ipv6_address,
                            endpoint.global_ipv6_prefix_len,
                        ),
                        name: own_name(container),
                    };
                    bridge.containers.insert(container.id.clone(), member);
                }
            }
            let without_addresses = match container.host_config.network_mode.as_str() {
                "host" => &mut host,
                "none" => &mut none,
                _ => continue,
            };
            if matches!(container.state.as_str(), "running" | "paused") {
                let member = NetworkMember {
                    name: own_name(container),
                    ..NetworkMember::default()
                };
                let id = container.id.clone();
                without_addresses.containers.insert(id, member);
            }
        }
        Ok(vec![bridge, host, none])
    }

    /// One network, by name, id or beginning of an id.
    ///
    /// # Errors
    /// Class `NotFound` when there is none.
    pub fn network(&self, name: &str) -> Result<NetworkInspect> {
        let mut networks = self.networks()?;
        let position = networks
            .iter()
            .position(|network| network.name == name)
            .or_else(|| {
                let begins = |network: &NetworkInspect| network.id.starts_with(name);
                networks
                    .iter()
                    .position(|network| !name.is_empty() && begins(network))
            });
        position
            .map(|position| networks.swap_remove(position))
            .ok_or_else(|| {
                Error::new(Class::NotFound, format!("no such network: {name}"))
                    .hint("berth network ls lists the networks")
            })
    }

    /// Refuses to remove a network: those there are were made by nobody.
    ///
    /// # Errors
    /// Always: class `Denied`, or `NotFound` when there is no such network.
    pub fn remove_network(&self, name: &str) -> Result<()> {
        let network = self.network(name)?;
        let error = Error::new(
            Class::Denied,
            format!("cannot remove the network {}", network.name),
        )
        .caused_by("it is a predefined network");
        Err(if network.name == DEFAULT {
            error.hint("berth network prune takes it off the host while nobody uses it")
        } else {
            error
        })
    }

    /// Removes the default network's bridge and packet filter table, unless a running container is on
    /// it, and returns the names of what was removed. The next container that needs it makes it anew.
    ///
    /// # Errors
    /// The containers cannot be listed, or the kernel refuses.
    pub fn prune_networks(&self) -> Result<PruneReport> {
        let mut report = PruneReport::default();
        if self.network_layer().dismantle(&|| self.is_bridged())? {
            report.deleted.push(DEFAULT.to_owned());
        }
        Ok(report)
    }

    /// Whether a container that runs, or that a lost monitor left, is on the default network.
    fn is_bridged(&self) -> Result<bool> {
        for id in identifiers(self.paths())? {
            let seen = self.observe(&id)?;
            if !seen.alive && !seen.left_behind {
                continue;
            }
            // One whose description cannot be read may be on it.
            let bridged = |launch: berth_monitor::launch::Launch| {
                matches!(launch.network.mode, Mode::Networks(_))
            };
            if self.launch(&id).map_or(true, bridged) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn network_layer(&self) -> Network {
        Network::open(&berth_network::Directories {
            data: self.directories.data.clone(),
            run: self.directories.run.clone(),
        })
    }

    fn bridge_created(&self) -> String {
        let file = self.paths().networks().join(format!("{DEFAULT}.json"));
        let made = std::fs::metadata(file).and_then(|metadata| metadata.modified());
        let since = made.ok().and_then(|made| {
            made.duration_since(std::time::UNIX_EPOCH)
                .ok()
                .and_then(|since| u64::try_from(since.as_nanos()).ok())
        });
        since.map_or_else(|| NEVER.to_owned(), time::rfc3339)
    }
}

/// The id that a name stands for: networks have no other, and 64 digits are what tools expect.
pub(super) fn network_id(name: &str) -> String {
    identifier(&["network", name])
}

/// The id of a container's place in a network.
pub(super) fn endpoint_id(container: &str, network: &str) -> String {
    identifier(&["endpoint", container, network])
}

fn identifier(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word);
        hash.update([0]);
    }
    ContainerId::from_random(hash.finalize().into()).to_string()
}

fn own_name(container: &ContainerSummary) -> String {
    let name = container.names.first().map(String::as_str);
    name.unwrap_or_default().trim_start_matches('/').to_owned()
}

fn with_prefix(address: &str, prefix: u8) -> String {
    if address.is_empty() {
        return String::new();
    }
    format!("{address}/{prefix}")
}

fn described(name: &str, driver: &str, made: Option<&Description>) -> NetworkInspect {
    let mut options = BTreeMap::new();
    if let Some(made) = made {
        let option = |key: &str| format!("com.docker.network.{key}");
        options.insert(option("bridge.default_bridge"), "true".to_owned());
        options.insert(option("bridge.enable_icc"), "true".to_owned());
        options.insert(option("bridge.enable_ip_masquerade"), "true".to_owned());
        options.insert(option("bridge.name"), made.link.clone());
        options.insert(option("driver.mtu"), made.mtu.to_string());
    }
    let range = |subnet: &Subnet| IpamRange {
        subnet: with_prefix(&subnet.address.to_string(), subnet.prefix),
        gateway: subnet.gateway.to_string(),
    };
    let subnets = made.map(|made| made.subnets.iter());
    NetworkInspect {
        name: name.to_owned(),
        id: network_id(name),
        created: NEVER.to_owned(),
        scope: "local".to_owned(),
        driver: driver.to_owned(),
        enable_ipv4: true,
        enable_ipv6: made.is_some_and(|made| {
            let mut subnets = made.subnets.iter();
            subnets.any(|subnet| subnet.address.is_ipv6())
        }),
        ipam: Ipam {
            driver: "default".to_owned(),
            options: None,
            config: subnets.map(|subnets| subnets.map(range).collect()),
        },
        options,
        ..NetworkInspect::default()
    }
}
