//! What is asked of a container's network, and what came of it: plain data, kept on disk by others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use berth_contract::{ContainerId, NetworkName};
use serde::{Deserialize, Serialize};

/// Which network a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Its own network namespace with `lo` alone.
    None,
    /// The host's.
    Host,
    /// Another container's.
    Container(ContainerId),
    /// One or more bridge networks.
    Networks(Vec<Join>),
}

/// Membership in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The network; `bridge` is the default one.
    pub network: NetworkName,
    /// A fixed IPv4 address (`--ip`).
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// A fixed IPv6 address (`--ip6`).
    #[serde(default)]
    pub address6: Option<Ipv6Addr>,
    /// Further addresses, which nobody routes to (`--link-local-ip`).
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    /// A fixed hardware address (`--mac-address`).
    #[serde(default)]
    pub mac: Option<[u8; 6]>,
    /// Further names under which the network's members find the container.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// A transport protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One port to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The protocol.
    pub protocol: Protocol,
    /// The host address to listen on; `None` means every address, IPv4 and IPv6.
    pub host_address: Option<IpAddr>,
    /// The host port; `0` means that the kernel chooses one.
    pub host_port: u16,
    /// The port inside the container.
    pub container_port: u16,
}

/// Everything a container asks of its network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The container.
    pub container: ContainerId,
    /// Its network.
    pub mode: Mode,
    /// The ports to publish; only with [`Mode::Networks`].
    #[serde(default)]
    pub publish: Vec<Publish>,
}

/// One interface a container was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network.
    pub network: NetworkName,
    /// The interface's name inside: `eth0`, …
    pub interface: String,
    /// Its IPv4 address.
    pub address: Ipv4Addr,
    /// The length of the IPv4 network's prefix.
    pub prefix: u8,
    /// The IPv4 default gateway.
    pub gateway: Ipv4Addr,
    /// Its IPv6 address, where the host has IPv6.
    #[serde(default)]
    pub address6: Option<Ipv6Addr>,
    /// The length of the IPv6 network's prefix.
    #[serde(default)]
    pub prefix6: u8,
    /// The IPv6 default gateway.
    #[serde(default)]
    pub gateway6: Option<Ipv6Addr>,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Further addresses, which nobody routes to.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
}

/// One published port as it is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The protocol.
    pub protocol: Protocol,
    /// The host address.
    pub host_address: IpAddr,
    /// The host port, never 0.
    pub host_port: u16,
    /// The port inside the container.
    pub container_port: u16,
}

/// What a container was given: kept in its state file, shown by `inspect`, `port` and `ps`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Its interfaces, in the order of the request.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Its published ports.
    #[serde(default)]
    pub ports: Vec<Published>,
}
