//! The engine's packet filter table; a published port is one map element of it.
//!
//! Kernels without `inet` address translation (before 5.2) get a table `ip` and a table `ip6`.

mod rules;

use std::io;
use std::net::{IpAddr, SocketAddr};

use berth_contract::{Class, Error, Result};
use berth_sys::netlink::nftables::{Batch, Expression, Family, Hook, Interface, Nftables};

use self::rules::{Versions, rules};
use crate::definition::Definition;
use crate::request::{Protocol, Published};

/// Where iptables-nft keeps the host's own filter of forwarded packets.
const HOST_TABLE: &str = "filter";
const HOST_CHAIN: &str = "FORWARD";

/// An open way to the engine's table.
#[derive(Debug)]
pub(crate) struct Firewall {
    nft: Nftables,
    table: String,
    split: bool,
}

impl Firewall {
    /// Opens the way to the table; says whether the table is there.
    pub(crate) fn open(table: String) -> Result<(Self, bool)> {
        let ask = || -> io::Result<(Nftables, bool, bool)> {
            let mut nft = Nftables::open()?;
            if nft.has_table(Family::Inet, &table)? {
                return Ok((nft, false, true));
            }
            let split = nft.has_table(Family::Ipv4, &table)?;
            Ok((nft, split, split))
        };
        match ask() {
            Ok((nft, split, present)) => Ok((Self { nft, table, split }, present)),
            Err(error) => Err(refused(error)),
        }
    }

    /// Makes the table with its maps and rules.
    pub(crate) fn build(&mut self, network: &Definition) -> Result<()> {
        let mut whole = Batch::new(Family::Inet, &self.table);
        rules(
            &mut whole,
            network,
            Versions {
                ipv4: true,
                ipv6: network.subnet6.is_some(),
            },
        );
        let Err(first) = self.nft.apply(&whole) else {
            self.split = false;
            return Ok(());
        };
        if matches!(first.kind(), io::ErrorKind::PermissionDenied) {
            return Err(refused(first));
        }
        let mut ipv4 = Batch::new(Family::Ipv4, &self.table);
        rules(
            &mut ipv4,
            network,
            Versions {
                ipv4: true,
                ipv6: false,
            },
        );
        // The first failure says why; the second only that the way round it is closed too.
        if self.nft.apply(&ipv4).is_err() {
            return Err(refused(first));
        }
        if network.subnet6.is_some() {
            let mut ipv6 = Batch::new(Family::Ipv6, &self.table);
            rules(
                &mut ipv6,
                network,
                Versions {
                    ipv4: false,
                    ipv6: true,
                },
            );
            self.nft.apply(&ipv6).map_err(refused)?;
        }
        self.split = true;
        Ok(())
    }

    /// Drops what the host is asked to pass on, unless a rule says otherwise: it is to be done before forwarding is
    /// switched on for containers, so that the host becomes no router for everybody else.
    ///
    /// The place is the one where Docker does it and where everybody looks for it, not our own table: a verdict to
    /// drop there could not be overruled by others who come later and want their packets passed on.
    pub(crate) fn drop_forwarded(&mut self, family: Family) -> Result<()> {
        let mut batch = Batch::new(family, HOST_TABLE);
        batch.create_table();
        batch.drop_by_default(HOST_CHAIN, Hook::FilterForwarded);
        self.nft.apply(&batch).map_err(refused)
    }

    /// Lets a network's packets pass a host-wide filter that drops what is forwarded.
    ///
    /// Docker, ufw and others set the policy of iptables' chain FORWARD to drop; a verdict in our own
    /// table cannot overrule that. Hosts without that chain, or with filters we cannot read, stay as
    /// they are.
    pub(crate) fn pass_host_filter(&mut self, link: &str) {
        for family in [Family::Ipv4, Family::Ipv6] {
            let Ok(known) = self.nft.rules_about(family, HOST_TABLE, HOST_CHAIN, link) else {
                continue;
            };
            if !known.is_empty() {
                continue;
            }
            let mut batch = Batch::new(family, HOST_TABLE);
            for which in [Interface::Incoming, Interface::Outgoing] {
                let is_ours = Expression::Interface {
                    which,
                    name: link,
                    is: true,
                };
                batch.insert_rule(HOST_CHAIN, &[is_ours, Expression::Accept]);
            }
            // No such chain: nothing to pass.
            drop(self.nft.apply(&batch));
        }
    }

    /// Removes the table, and what lets the network's packets pass the host's own filter.
    pub(crate) fn dismantle(&mut self, link: &str) -> Result<()> {
        for family in [Family::Ipv4, Family::Ipv6] {
            let known = self.nft.rules_about(family, HOST_TABLE, HOST_CHAIN, link);
            for handle in known.unwrap_or_default() {
                let mut batch = Batch::new(family, HOST_TABLE);
                batch.delete_rule(HOST_CHAIN, handle);
                // Removed by somebody else meanwhile is removed as well.
                drop(self.nft.apply(&batch));
            }
        }
        for family in [Family::Inet, Family::Ipv4, Family::Ipv6] {
            let mut batch = Batch::new(family, &self.table);
            batch.delete_table();
            match self.nft.apply(&batch) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::new(
                        Class::Internal,
                        format!("cannot remove packet filter table {}", self.table),
                    )
                    .caused_by(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Publishes a port: whoever asks the host for it is sent to the container.
    pub(crate) fn publish(&mut self, port: &Published, container: IpAddr) -> Result<()> {
        let failed = |error: io::Error| {
            Error::new(
                Class::Internal,
                format!("cannot publish port {}", port.host_port),
            )
            .caused_by(error)
        };
        let (map, key) = element(port);
        let data = address_and_port(SocketAddr::new(container, port.container_port));
        let mut add = self.batch(port);
        add.add_element(map, &key, &data);
        match self.nft.apply(&add) {
            Ok(()) => Ok(()),
            // We hold the host's socket, so whoever left this here is gone.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.withdraw(port)?;
                self.nft.apply(&add).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes a published port back; one that is not published is none.
    pub(crate) fn withdraw(&mut self, port: &Published) -> Result<()> {
        let (map, key) = element(port);
        let mut delete = self.batch(port);
        delete.delete_element(map, &key);
        match self.nft.apply(&delete) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::new(
                Class::Internal,
                format!("cannot withdraw port {}", port.host_port),
            )
            .caused_by(error)),
            _ => Ok(()),
        }
    }

    fn batch(&self, port: &Published) -> Batch {
        let family = match (self.split, port.host_address) {
            (false, _) => Family::Inet,
            (true, IpAddr::V4(_)) => Family::Ipv4,
            (true, IpAddr::V6(_)) => Family::Ipv6,
        };
        Batch::new(family, &self.table)
    }
}

fn refused(error: io::Error) -> Error {
    let class = if error.kind() == io::ErrorKind::PermissionDenied {
        Class::Denied
    } else {
        Class::Unsupported
    };
    Error::new(
        class,
        "cannot set up the packet filter of the bridge network",
    )
    .caused_by(error)
    .hint("use --network none or --network host")
}

/// The map and the key of a published port.
fn element(port: &Published) -> (&'static str, Vec<u8>) {
    let (any, at) = match port.host_address {
        IpAddr::V4(_) => ("ports4", "ports4_at"),
        IpAddr::V6(_) => ("ports6", "ports6_at"),
    };
    let mut key = Vec::with_capacity(24);
    let map = if port.host_address.is_unspecified() {
        any
    } else {
        key.extend_from_slice(&octets(port.host_address));
        at
    };
    let protocol = match port.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    };
    key.extend_from_slice(&[protocol, 0, 0, 0]);
    key.extend_from_slice(&port.host_port.to_be_bytes());
    key.extend_from_slice(&[0, 0]);
    (map, key)
}

fn address_and_port(address: SocketAddr) -> Vec<u8> {
    let mut data = octets(address.ip());
    data.extend_from_slice(&address.port().to_be_bytes());
    data.extend_from_slice(&[0, 0]);
    data
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_padded_to_words() {
        let port = |address: &str, protocol| Published {
            protocol,
            host_address: address.parse().unwrap(),
            host_port: 0x1f90,
            container_port: 80,
        };
        assert_eq!(
            element(&port("0.0.0.0", Protocol::Tcp)),
            ("ports4", vec![6, 0, 0, 0, 0x1f, 0x90, 0, 0])
        );
        assert_eq!(
            element(&port("10.0.0.1", Protocol::Udp)),
            (
                "ports4_at",
                vec![10, 0, 0, 1, 17, 0, 0, 0, 0x1f, 0x90, 0, 0]
            )
        );
        let (map, key) = element(&port("fd00::1", Protocol::Tcp));
        assert_eq!((map, key.len()), ("ports6_at", 24));
        assert_eq!(
            address_and_port("10.0.0.2:80".parse().unwrap()),
            [10, 0, 0, 2, 0, 80, 0, 0]
        );
    }
}
