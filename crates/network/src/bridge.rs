//! The default network's bridge, made when the first container needs it.
//!
//! Order when making it: definition, link, addresses, forwarding, filter table, and the link set up
//! last. A link that is up is therefore complete, and nobody who finds it takes a lock.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use berth_contract::{Class, Error, NetworkName, Result};
use berth_sys::netlink::nftables::Family;
use berth_sys::netlink::route::{Prefix, Route, Step};

use crate::definition::{self, Definition, PREFIX6};
use crate::firewall::Firewall;
use crate::site::Directories;

/// The network that exists without being created.
pub(crate) const DEFAULT: &str = "bridge";

/// How often another choice of addresses is tried after another engine chose the same.
const ATTEMPTS: usize = 16;

/// A network that is ready for containers.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) definition: Definition,
    pub(crate) index: u32,
    pub(crate) firewall: Firewall,
    pub(crate) route: Route,
}

/// Finds a network's bridge, or makes it.
///
/// Nobody dismantles it meanwhile; afterwards the container that asked is there for all to see, because
/// its monitor has taken its lock before it asks.
pub(crate) fn ready(directories: &Directories, name: &NetworkName) -> Result<Bridge> {
    let networks = directories.networks();
    fs::create_dir_all(&networks).map_err(|error| {
        Error::new(
            Class::Internal,
            format!("cannot create {}", networks.display()),
        )
        .caused_by(error)
    })?;
    let _standing = lock(&networks, STANDING, File::lock_shared)?;
    let mut route = Route::open().map_err(|error| refused(name, error))?;
    let (mut firewall, table) = Firewall::open(directories.table())?;
    let known = Definition::load(&networks, name)?;
    if let Some(definition) = &known
        && table
        && let Some(link) = find(&mut route, definition)?
        && link.up
    {
        let definition = without_missing_ipv6(definition.clone());
        return Ok(Bridge {
            definition,
            index: link.index,
            firewall,
            route,
        });
    }
    if known.is_none() && name.as_str() != DEFAULT {
        return Err(Error::new(Class::NotFound, format!("no network {name}"))
            .hint(format!("use --network {DEFAULT}, none or host")));
    }
    let _guard = lock(&networks, MAKING, File::lock)?;
    let (definition, index) = make(directories, (&mut route, &mut firewall), name)?;
    let (mut again, table) = Firewall::open(directories.table())?;
    if !table {
        again.build(&definition)?;
    }
    again.pass_host_filter(&definition.link);
    firewall = again;
    route
        .configure(&[Step::Up(index)])
        .map_err(|error| refused(name, error))?;
    Ok(Bridge {
        definition,
        index,
        firewall,
        route,
    })
}

/// Removes a network's bridge, filter table and definition unless it is in use, which is asked while no
/// container can be given a place in it; whether it was removed.
pub(crate) fn dismantle(
    directories: &Directories,
    name: &NetworkName,
    is_used: &dyn Fn() -> Result<bool>,
) -> Result<bool> {
    let networks = directories.networks();
    if Definition::load(&networks, name)?.is_none() {
        return Ok(false);
    }
    let _standing = lock(&networks, STANDING, File::lock)?;
    // Another process may have dismantled it while this one waited for the lock.
    let Some(definition) = Definition::load(&networks, name)? else {
        return Ok(false);
    };
    if is_used()? {
        return Ok(false);
    }
    let mut route = Route::open().map_err(|error| refused(name, error))?;
    let (mut firewall, _) = Firewall::open(directories.table())?;
    firewall.dismantle(&definition.link)?;
    if let Some(link) = find(&mut route, &definition)? {
        route
            .remove_link(link.index)
            .map_err(|error| refused(name, error))?;
    }
    let path = networks.join(format!("{name}.json"));
    fs::remove_file(&path).map_err(|error| {
        Error::new(Class::Internal, format!("cannot remove {}", path.display())).caused_by(error)
    })?;
    Ok(true)
}

/// Held while a bridge is made.
const MAKING: &str = ".lock";
/// Held by all who need a bridge to stay, and by the one who takes it away.
const STANDING: &str = ".standing";

fn lock(networks: &Path, name: &str, take: fn(&File) -> io::Result<()>) -> Result<File> {
    let path = networks.join(name);
    let failed = |error: io::Error| {
        Error::new(Class::Internal, format!("cannot lock {}", path.display())).caused_by(error)
    };
    let file = File::create(&path).map_err(failed)?;
    take(&file).map_err(failed)?;
    Ok(file)
}

fn find(
    route: &mut Route,
    definition: &Definition,
) -> Result<Option<berth_sys::netlink::route::Link>> {
    route
        .link(&definition.link)
        .map_err(|error| refused(&definition.name, error))
}

/// Makes what is missing of definition, link, addresses and forwarding; the link is not up yet.
fn make(
    directories: &Directories,
    (route, firewall): (&mut Route, &mut Firewall),
    name: &NetworkName,
) -> Result<(Definition, u32)> {
    let networks = directories.networks();
    let failed = |error| refused(name, error);
    for attempt in 0..ATTEMPTS {
        let known = Definition::load(&networks, name)?;
        if let Some(definition) = &known
            && let Some(link) = find(route, definition)?
        {
            if link.up {
                forward(definition, firewall)?;
                return Ok((without_missing_ipv6(definition.clone()), link.index));
            }
            // Its maker was killed half-way.
            route.remove_link(link.index).map_err(failed)?;
        }
        let used = used(route).map_err(failed)?;
        let definition = match known {
            Some(definition) if attempt == 0 && is_free(&definition, &used) => definition,
            _ => {
                let definition = design(directories, route, name, &used)?;
                definition.save(&networks)?;
                definition
            }
        };
        let definition = without_missing_ipv6(definition);
        // The link of a definition that is gone: nothing can be attached to it any more.
        if let Some(link) = find(route, &definition)? {
            route.remove_link(link.index).map_err(failed)?;
        }
        route
            .create_bridge(&definition.link, mac(&definition), definition.mtu)
            .map_err(failed)?;
        let Some(link) = find(route, &definition)? else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        quieten(&definition.link);
        route
            .configure(&addresses(&definition, link.index))
            .map_err(failed)?;
        // Another engine may have chosen the same at the same moment; whoever sees it chooses again.
        let others = used_beside(route, link.index).map_err(failed)?;
        if is_free(&definition, &others) {
            forward(&definition, firewall)?;
            return Ok((definition, link.index));
        }
        route.remove_link(link.index).map_err(failed)?;
    }
    Err(Error::new(
        Class::Unavailable,
        format!("cannot find free addresses for network {name}"),
    )
    .hint("try again, or use --network host"))
}

fn is_free(definition: &Definition, used: &[Prefix]) -> bool {
    used.iter()
        .all(|other| !definition::overlap(definition.network(), *other))
}

fn used(route: &mut Route) -> io::Result<Vec<Prefix>> {
    used_beside(route, 0)
}

/// The networks that other links than `own` have addresses in or routes to.
fn used_beside(route: &mut Route, own: u32) -> io::Result<Vec<Prefix>> {
    let mut all = route.addresses()?;
    all.extend(route.routes()?);
    Ok(all
        .into_iter()
        .filter(|(index, _)| *index != own)
        .map(|(_, prefix)| prefix)
        .collect())
}

/// A new definition that collides with nothing.
fn design(
    directories: &Directories,
    route: &mut Route,
    name: &NetworkName,
    used: &[Prefix],
) -> Result<Definition> {
    let start = (!directories.is_default()).then(|| directories.fingerprint());
    let Some((subnet, prefix)) = definition::choose(used, start, 0) else {
        return Err(Error::new(
            Class::Unavailable,
            format!("cannot find free addresses for network {name}"),
        )
        .hint("use --network host"));
    };
    let random = berth_sys::random::bytes().map_err(|error| refused(name, error))?;
    let mtu = route.uplink_mtu().map_err(|error| refused(name, error))?;
    Ok(Definition {
        name: name.clone(),
        link: directories.bridge(),
        subnet,
        prefix,
        subnet6: Some(definition::unique_local(random)),
        // An uplink with more than Ethernet's 1500 gains little and surprises whoever is beyond it.
        mtu: mtu.unwrap_or(1500).clamp(1280, 1500),
    })
}

fn addresses(definition: &Definition, index: u32) -> Vec<Step> {
    let ipv4 = Prefix {
        address: definition.gateway().into(),
        length: definition.prefix,
    };
    let mut steps = vec![Step::Address(index, ipv4)];
    if let Some(address) = definition.gateway6() {
        let ipv6 = Prefix {
            address: address.into(),
            length: PREFIX6,
        };
        steps.push(Step::Address(index, ipv6));
    }
    steps
}

/// A locally administered hardware address that follows from the gateway's IPv4 address, so that a
/// bridge made anew is the same to its neighbours.
pub(crate) fn mac(definition: &Definition) -> [u8; 6] {
    mac_of(definition.gateway())
}

/// The hardware address of the holder of an IPv4 address: unique in its network, and known to
/// neighbours that remember the address's last holder.
pub(crate) fn mac_of(address: std::net::Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// Whether the host has IPv6 at all.
fn host_has_ipv6() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6")
        .is_ok_and(|text| text.trim() == "0")
}

fn without_missing_ipv6(mut definition: Definition) -> Definition {
    if definition.subnet6.is_some() && !host_has_ipv6() {
        definition.subnet6 = None;
    }
    definition
}

/// Keeps a bridge from believing router advertisements of its containers (CVE-2020-13401) and from
/// waiting for duplicate address detection.
fn quieten(link: &str) {
    for (file, value) in [("accept_ra", "0"), ("accept_dad", "0")] {
        // A kernel without IPv6 has neither the file nor the problem.
        drop(fs::write(
            format!("/proc/sys/net/ipv6/conf/{link}/{file}"),
            value,
        ));
    }
}

/// Lets the host pass packets on: those of containers, when it passed on none before.
fn forward(definition: &Definition, firewall: &mut Firewall) -> Result<()> {
    const IPV4: &str = "/proc/sys/net/ipv4/ip_forward";
    const IPV6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";
    if !enabled(IPV4) {
        let denied = |error: io::Error| {
            Error::new(
                Class::Denied,
                "cannot let containers reach beyond this host",
            )
            .caused_by(format!("{IPV4}: {error}"))
            .hint("run sysctl -w net.ipv4.ip_forward=1 on the host")
            .hint("use --network none or --network host")
        };
        // Whether it can be switched at all is known before anything is dropped.
        let mut switch = File::options().write(true).open(IPV4).map_err(denied)?;
        firewall.drop_forwarded(Family::Ipv4)?;
        switch.write_all(b"1").map_err(denied)?;
    }
    if definition.subnet6.is_some()
        && !enabled(IPV6)
        && firewall.drop_forwarded(Family::Ipv6).is_ok()
    {
        // Forwarding makes the host ignore router advertisements, and so lose its own default route,
        // unless accept_ra is 2 (kernel documentation, ip-sysctl).
        for entry in fs::read_dir("/proc/sys/net/ipv6/conf")
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path().join("accept_ra");
            if enabled(&path) {
                drop(fs::write(&path, "2"));
            }
        }
        // Without it containers still have IPv6 among themselves and IPv4 beyond.
        drop(fs::write(IPV6, "1"));
    }
    Ok(())
}

fn enabled(path: impl AsRef<Path>) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
}

/// The error for a kernel that refuses links or addresses.
pub(crate) fn refused(name: &NetworkName, error: io::Error) -> Error {
    let class = match error.kind() {
        io::ErrorKind::PermissionDenied => Class::Denied,
        io::ErrorKind::Unsupported => Class::Unsupported,
        _ => Class::Internal,
    };
    Error::new(class, format!("cannot set up network {name}"))
        .caused_by(error)
        .hint("use --network none or --network host")
}
