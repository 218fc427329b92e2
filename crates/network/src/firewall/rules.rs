//! Which rules the engine's table has.
//!
//! ```text
//! table inet berth
//!   map ports4_at    host address . protocol . port  →  container address . port
//!   map ports4       protocol . port                 →  container address . port     (any host address)
//!   chain ports      translate by ports4_at, then by ports4; the same for IPv6
//!   chain incoming   prerouting: to an address of this host → ports
//!   chain own        output:     the same, loopback left to the proxy
//!   chain outgoing   postrouting: masquerade what leaves the network, and what comes back into it
//!                    through a published port (the answer must pass the translation again)
//!   chain forward    into the network: only answers and published ports; out of it: everything
//! ```

use std::net::Ipv4Addr;

use berth_sys::netlink::nftables::{Batch, Expression, Field, Hook, Interface, Type};

use crate::definition::{Definition, PREFIX6};

/// The versions of IP a table is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions {
    pub(super) ipv4: bool,
    pub(super) ipv6: bool,
}

/// Makes the table with its maps, chains and rules.
pub(super) fn rules(batch: &mut Batch, network: &Definition, versions: Versions) {
    batch.create_table();
    batch.create_chain("ports", None);
    batch.create_chain("incoming", Some(Hook::TranslateIncoming));
    batch.create_chain("own", Some(Hook::TranslateOwn));
    batch.create_chain("outgoing", Some(Hook::TranslateOutgoing));
    batch.create_chain("forward", Some(Hook::FilterForwarded));
    let link = network.link.as_str();
    if versions.ipv4 {
        let subnet = network.subnet.octets();
        let loopback = Ipv4Addr::new(127, 0, 0, 0).octets();
        version(
            batch,
            link,
            &Version {
                ipv4: true,
                maps: ("ports4_at", "ports4"),
                address: Type::Ipv4,
                source: Field::SourceIpv4,
                destination: Field::DestinationIpv4,
                subnet: (&subnet, network.prefix.into()),
                loopback: (&loopback, 8),
            },
        );
    }
    if versions.ipv6
        && let Some(subnet) = network.subnet6
    {
        let subnet = subnet.octets();
        let mut loopback = [0; 16];
        loopback[15] = 1;
        version(
            batch,
            link,
            &Version {
                ipv4: false,
                maps: ("ports6_at", "ports6"),
                address: Type::Ipv6,
                source: Field::SourceIpv6,
                destination: Field::DestinationIpv6,
                subnet: (&subnet, PREFIX6.into()),
                loopback: (&loopback, 128),
            },
        );
    }
    let into = Expression::Interface {
        which: Interface::Outgoing,
        name: link,
        is: true,
    };
    let from = Expression::Interface {
        which: Interface::Incoming,
        name: link,
        is: true,
    };
    // Neighbours of a bridge pass through here when br_netfilter is loaded.
    batch.add_rule("forward", &[into.clone(), from.clone(), Expression::Accept]);
    batch.add_rule(
        "forward",
        &[into.clone(), Expression::Established, Expression::Accept],
    );
    batch.add_rule(
        "forward",
        &[
            into.clone(),
            Expression::DestinationTranslated,
            Expression::Accept,
        ],
    );
    // Whoever routes packets to us on purpose must not reach ports that were never published.
    batch.add_rule("forward", &[into, Expression::Drop]);
    batch.add_rule("forward", &[from, Expression::Accept]);
}

/// What differs between the versions of IP.
#[derive(Debug)]
struct Version<'a> {
    ipv4: bool,
    maps: (&'static str, &'static str),
    address: Type,
    source: Field,
    destination: Field,
    subnet: (&'a [u8], u32),
    loopback: (&'a [u8], u32),
}

fn version(batch: &mut Batch, link: &str, version: &Version<'_>) {
    let (at, any) = version.maps;
    let data = [version.address, Type::Port];
    batch.create_map(at, &[version.address, Type::Protocol, Type::Port], &data);
    batch.create_map(any, &[Type::Protocol, Type::Port], &data);
    translate(batch, version);
    let is_version = Expression::IsIpv4(version.ipv4);
    let local = Expression::DestinationIsLocal;
    let jump = Expression::Jump("ports");
    batch.add_rule(
        "incoming",
        &[is_version.clone(), local.clone(), jump.clone()],
    );
    let (value, bits) = version.loopback;
    let no_loopback = Expression::Prefix {
        field: version.destination,
        value,
        bits,
        is: false,
    };
    batch.add_rule("own", &[is_version.clone(), no_loopback, local, jump]);
    let (value, bits) = version.subnet;
    let ours = Expression::Prefix {
        field: version.source,
        value,
        bits,
        is: true,
    };
    let leaves = |is: bool| Expression::Interface {
        which: Interface::Outgoing,
        name: link,
        is: !is,
    };
    batch.add_rule(
        "outgoing",
        &[
            is_version.clone(),
            ours.clone(),
            leaves(true),
            Expression::Masquerade,
        ],
    );
    batch.add_rule(
        "outgoing",
        &[
            is_version,
            ours,
            leaves(false),
            Expression::DestinationTranslated,
            Expression::Masquerade,
        ],
    );
}

/// The rules that send published ports to their containers.
fn translate(batch: &mut Batch, version: &Version<'_>) {
    let (at, any) = version.maps;
    let is_version = Expression::IsIpv4(version.ipv4);
    let translation = Expression::TranslateDestination { ipv4: version.ipv4 };
    let words = if version.ipv4 { 1 } else { 4 };
    batch.add_rule(
        "ports",
        &[
            is_version.clone(),
            Expression::Load {
                field: version.destination,
                word: 0,
            },
            Expression::LoadProtocol { word: words },
            Expression::Load {
                field: Field::DestinationPort,
                word: words + 1,
            },
            Expression::Map(at),
            translation.clone(),
        ],
    );
    batch.add_rule(
        "ports",
        &[
            is_version.clone(),
            Expression::LoadProtocol { word: 0 },
            Expression::Load {
                field: Field::DestinationPort,
                word: 1,
            },
            Expression::Map(any),
            translation,
        ],
    );
}
