//! A container's network namespace, and the cables into it.

use std::fs::{self, File};
use std::io;

use berth_contract::ContainerId;
use berth_sys::namespace::{self, Namespaces};
use berth_sys::netlink::route::{Cable, Route};

use crate::bridge::Bridge;
use crate::request::Endpoint;

/// How many names for the host's end of a cable are tried: an old one of the same container may not
/// have been taken away by the kernel yet.
const CABLE_NAMES: u32 = 64;

/// `lo`'s number in every network namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// What to do about IPv6 in a container's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// Nothing.
    Untouched,
    /// No duplicate address detection, which takes a second, and no belief in router advertisements.
    Quiet,
}

/// As [`enter_file`], of a process.
pub(crate) fn enter(pid: i32, ipv6: Ipv6) -> io::Result<Route> {
    enter_file(&File::open(format!("/proc/{pid}/ns/net"))?, ipv6)
}

/// Opens an rtnetlink socket in a network namespace; this thread is back in its own afterwards.
pub(crate) fn enter_file(inside: &File, ipv6: Ipv6) -> io::Result<Route> {
    let outside = File::open("/proc/thread-self/ns/net")?;
    namespace::join(inside, Namespaces::NETWORK)?;
    let route = Route::open();
    if ipv6 == Ipv6::Quiet {
        for file in ["accept_dad", "accept_ra"] {
            // Defaults for links to come. /proc/sys/net shows the namespace of whoever opens it.
            drop(fs::write(
                format!("/proc/sys/net/ipv6/conf/default/{file}"),
                "0",
            ));
        }
    }
    namespace::join(&outside, Namespaces::NETWORK)?;
    route
}

/// Lays a cable from a bridge into a network namespace; the name of the host's end.
pub(crate) fn lay_cable(
    id: &ContainerId,
    endpoint: &Endpoint,
    bridge: &mut Bridge,
    namespace: &File,
) -> io::Result<String> {
    let mut last = io::ErrorKind::AlreadyExists.into();
    for attempt in 0..CABLE_NAMES {
        let name = format!("bv{}{attempt:02x}", &id.as_str()[..11]);
        let cable = Cable {
            name: &name,
            bridge: bridge.index,
            peer: &endpoint.interface,
            mac: endpoint.mac,
            mtu: bridge.definition.mtu,
        };
        match bridge.route.lay_cable(&cable, namespace) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
