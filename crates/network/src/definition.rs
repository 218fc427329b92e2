//! What a network is: its bridge, its addresses. Pure, but for reading and writing the file.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use berth_contract::{Class, Error, NetworkName, Result};
use berth_sys::netlink::route::Prefix;
use serde::{Deserialize, Serialize};

/// A bridge network, as kept in `DATA/networks/<name>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// Its name.
    pub(crate) name: NetworkName,
    /// The name of its bridge in the kernel.
    pub(crate) link: String,
    /// Its IPv4 network's first address.
    pub(crate) subnet: Ipv4Addr,
    /// The length of that network's prefix.
    pub(crate) prefix: u8,
    /// Its IPv6 network's first address: unique-local, 64 bits of prefix.
    #[serde(default)]
    pub(crate) subnet6: Option<Ipv6Addr>,
    /// The largest packet.
    pub(crate) mtu: u32,
}

/// A network as it is told to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name of its bridge in the kernel.
    pub link: String,
    /// Its addresses: IPv4, then IPv6.
    pub subnets: Vec<Subnet>,
    /// The largest packet.
    pub mtu: u32,
}

/// A range of addresses and the gateway in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The first address.
    pub address: IpAddr,
    /// The length of the prefix.
    pub prefix: u8,
    /// The gateway.
    pub gateway: IpAddr,
}

impl From<&Definition> for Description {
    fn from(definition: &Definition) -> Self {
        let mut subnets = vec![Subnet {
            address: definition.subnet.into(),
            prefix: definition.prefix,
            gateway: definition.gateway().into(),
        }];
        if let (Some(address), Some(gateway)) = (definition.subnet6, definition.gateway6()) {
            subnets.push(Subnet {
                address: address.into(),
                prefix: PREFIX6,
                gateway: gateway.into(),
            });
        }
        Self {
            link: definition.link.clone(),
            subnets,
            mtu: definition.mtu,
        }
    }
}

/// The length of an IPv6 network's prefix.
pub(crate) const PREFIX6: u8 = 64;

impl Definition {
    /// The bridge's own IPv4 address: the containers' gateway.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet) + 1)
    }

    /// The bridge's own IPv6 address.
    pub(crate) fn gateway6(&self) -> Option<Ipv6Addr> {
        self.subnet6
            .map(|subnet| Ipv6Addr::from(u128::from(subnet) + 1))
    }

    /// The IPv4 network.
    pub(crate) fn network(&self) -> Prefix {
        Prefix {
            address: self.subnet.into(),
            length: self.prefix,
        }
    }

    /// The IPv6 address that belongs to an IPv4 address: unique because the other is.
    pub(crate) fn address6(&self, address: Ipv4Addr) -> Option<Ipv6Addr> {
        self.subnet6
            .map(|subnet| Ipv6Addr::from(u128::from(subnet) | u128::from(u32::from(address))))
    }

    /// The addresses containers may have: without network, gateway and broadcast.
    pub(crate) fn range(&self) -> std::ops::Range<u32> {
        let first = u32::from(self.subnet);
        let size = 1_u32
            .checked_shl(u32::from(32 - self.prefix.min(32)))
            .unwrap_or(u32::MAX);
        first + 2..first + size.max(4) - 1
    }

    /// Reads a definition; `None` when there is no such network.
    pub(crate) fn load(directory: &Path, name: &NetworkName) -> Result<Option<Self>> {
        let path = directory.join(format!("{name}.json"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(
                    Error::new(Class::Internal, format!("cannot read {}", path.display()))
                        .caused_by(error),
                );
            }
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Error::new(Class::Internal, format!("network {name} is damaged"))
                .caused_by(error)
                .hint(format!("remove {} while no container runs", path.display()))
        })
    }

    /// Writes the definition beside its place and puts it there as a whole.
    pub(crate) fn save(&self, directory: &Path) -> Result<()> {
        let path = directory.join(format!("{}.json", self.name));
        let aside = directory.join(format!(".{}.json", self.name));
        let failed = |error: io::Error| {
            Error::new(Class::Internal, format!("cannot write {}", path.display())).caused_by(error)
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        fs::write(&aside, text).map_err(failed)?;
        fs::rename(&aside, &path).map_err(failed)
    }
}

/// The networks to choose from: 172.30/16 down to 172.18/16, then 10.192.0.0/10 in pieces of 20 bits.
///
/// An engine with directories of its own begins somewhere among the pieces, so that two of them that
/// choose at the same moment rarely choose the same.
fn candidates(start: Option<u64>) -> impl Iterator<Item = (Ipv4Addr, u8)> {
    const PIECES: u32 = 1 << 10;
    let large = (18_u8..=30)
        .rev()
        .map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let skip = u32::try_from(start.unwrap_or(0) % u64::from(PIECES)).unwrap_or(0);
    let small = (0..PIECES).map(move |index| {
        let piece = (index + skip) % PIECES;
        (
            Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 192, 0, 0)) + (piece << 12)),
            20,
        )
    });
    let large = large.take(if start.is_some() { 0 } else { usize::MAX });
    large.chain(small)
}

/// The first candidate that overlaps nothing in use; `attempt` further on after a collision.
pub(crate) fn choose(
    used: &[Prefix],
    start: Option<u64>,
    attempt: usize,
) -> Option<(Ipv4Addr, u8)> {
    candidates(start)
        .filter(|(address, length)| {
            let candidate = Prefix {
                address: (*address).into(),
                length: *length,
            };
            used.iter().all(|other| !overlap(candidate, *other))
        })
        .nth(attempt)
}

/// Whether two networks have an address in common. Default routes are in nobody's way.
pub(crate) fn overlap(one: Prefix, other: Prefix) -> bool {
    let (IpAddr::V4(first), IpAddr::V4(second)) = (one.address, other.address) else {
        return false;
    };
    let shorter = one.length.min(other.length);
    if shorter == 0 {
        return false;
    }
    let shift = u32::from(32 - shorter.min(32));
    let head = |address| u32::from(address).checked_shr(shift).unwrap_or(0);
    head(first) == head(second)
}

/// A unique-local IPv6 network (RFC 4193) from random bytes.
pub(crate) fn unique_local(random: [u8; 32]) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..8].copy_from_slice(&random[..7]);
    Ipv6Addr::from(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix {
            address: address.parse().unwrap(),
            length: length.parse().unwrap(),
        }
    }

    #[test]
    fn networks_in_use_are_passed_over() {
        let chosen = |used: &[&str], start, attempt| {
            let used: Vec<_> = used.iter().map(|text| prefix(text)).collect();
            choose(&used, start, attempt).map(|(address, length)| format!("{address}/{length}"))
        };
        assert_eq!(chosen(&[], None, 0).unwrap(), "172.30.0.0/16");
        assert_eq!(chosen(&[], None, 1).unwrap(), "172.29.0.0/16");
        assert_eq!(
            chosen(&["172.30.7.0/24"], None, 0).unwrap(),
            "172.29.0.0/16"
        );
        assert_eq!(
            chosen(&["172.16.0.0/12", "fd00::/8"], None, 0).unwrap(),
            "10.192.0.0/20"
        );
        assert_eq!(chosen(&["0.0.0.0/0"], None, 0).unwrap(), "172.30.0.0/16");
        assert_eq!(chosen(&[], Some(1025), 0).unwrap(), "10.192.16.0/20");
        assert_eq!(chosen(&["10.0.0.0/8"], Some(3), 0), None);
    }

    #[test]
    fn addresses_follow_from_the_network() {
        let network = Definition {
            name: "bridge".parse().unwrap(),
            link: "berth0".to_owned(),
            subnet: Ipv4Addr::new(172, 30, 0, 0),
            prefix: 16,
            subnet6: Some("fd01:2:3:4::".parse().unwrap()),
            mtu: 1500,
        };
        assert_eq!(network.gateway().to_string(), "172.30.0.1");
        assert_eq!(network.gateway6().unwrap().to_string(), "fd01:2:3:4::1");
        let address = network.address6("172.30.0.9".parse().unwrap()).unwrap();
        assert_eq!(address.to_string(), "fd01:2:3:4::ac1e:9");
        let range = network.range();
        assert_eq!(Ipv4Addr::from(range.start).to_string(), "172.30.0.2");
        assert_eq!(Ipv4Addr::from(range.end - 1).to_string(), "172.30.255.254");
    }
}
