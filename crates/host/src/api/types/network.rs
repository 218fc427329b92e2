//! Per-network settings of a container, asked for and given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which networks a container joins, with what addresses and aliases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    /// By network name.
    pub endpoints_config: BTreeMap<String, EndpointSettings>,
}

/// A container's place in one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSettings {
    /// The addresses that were asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<IpamConfig>,
    /// Links to other containers; berth has none.
    pub links: Option<Vec<String>>,
    /// Further names of the container in this network.
    pub aliases: Option<Vec<String>>,
    /// The hardware address.
    pub mac_address: String,
    /// Driver options.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// The higher, the sooner its gateway becomes the default one.
    pub gw_priority: i64,
    /// The network's id.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// The endpoint's id.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// The IPv4 gateway.
    pub gateway: String,
    /// The IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// The length of the IPv4 prefix.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// The IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// The IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// The length of the IPv6 prefix.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// Names under which the network's members find the container.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// One network in full, as `network inspect` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the Engine API's own fields")]
pub struct NetworkInspect {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// `local`.
    pub scope: String,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// Whether its containers have IPv4 addresses.
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    /// Whether its containers have IPv6 addresses.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// Its addresses.
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    /// Whether it has no way out.
    pub internal: bool,
    /// Swarm's.
    pub attachable: bool,
    /// Swarm's.
    pub ingress: bool,
    /// Swarm's.
    pub config_from: ConfigReference,
    /// Swarm's.
    pub config_only: bool,
    /// The running containers on it, by id.
    pub containers: BTreeMap<String, NetworkMember>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// How a network's addresses are given out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    /// `default`.
    pub driver: String,
    /// The driver's options.
    pub options: Option<BTreeMap<String, String>>,
    /// Its ranges; `None` where there are none to give.
    pub config: Option<Vec<IpamRange>>,
}

/// One range of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamRange {
    /// `172.30.0.0/16`.
    pub subnet: String,
    /// The gateway.
    pub gateway: String,
}

/// The network whose configuration is used: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConfigReference {
    /// Its name.
    pub network: String,
}

/// A container on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkMember {
    /// The container's name.
    pub name: String,
    /// Its endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Its hardware address.
    pub mac_address: String,
    /// Its IPv4 address and prefix.
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    /// Its IPv6 address and prefix.
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// Addresses asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfig {
    /// `--ip`.
    #[serde(rename = "IPv4Address", skip_serializing_if = "String::is_empty")]
    pub ipv4_address: String,
    /// `--ip6`.
    #[serde(rename = "IPv6Address", skip_serializing_if = "String::is_empty")]
    pub ipv6_address: String,
    /// `--link-local-ip`.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
}
