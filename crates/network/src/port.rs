//! Holding the host's ports: the kernel arbitrates who has one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use berth_contract::{Class, Error, Result};
use berth_sys::inet;

use crate::request::{Protocol, Publish, Published};

/// How often a port the kernel chose for IPv4 may turn out to be taken for IPv6.
const ATTEMPTS: u32 = 32;

/// A host port that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) published: Published,
    pub(crate) socket: HostSocket,
}

/// The socket that holds a port; it also serves clients of the loopback interface.
#[derive(Debug)]
pub(crate) enum HostSocket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl HostSocket {
    fn port(&self) -> io::Result<u16> {
        match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
        .map(|address| address.port())
    }
}

/// Binds every port of a request, or none.
pub(crate) fn hold(publish: &[Publish]) -> Result<Vec<Held>> {
    let mut all = Vec::with_capacity(publish.len() * 2);
    for port in publish {
        all.extend(hold_one(port)?);
    }
    Ok(all)
}

fn hold_one(port: &Publish) -> Result<Vec<Held>> {
    let Some(address) = port.host_address else {
        return hold_both(port);
    };
    bind(port, address, port.host_port)
        .map(|held| vec![held])
        .map_err(|error| explain(port, error))
}

/// Binds every address, IPv4 and (where the host has it) IPv6, with the same number.
fn hold_both(port: &Publish) -> Result<Vec<Held>> {
    let any4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let any6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let ipv4 = bind(port, any4, port.host_port).map_err(|error| explain(port, error))?;
        match bind(port, any6, ipv4.published.host_port) {
            Ok(ipv6) => return Ok(vec![ipv4, ipv6]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if port.host_port != 0 || attempt == ATTEMPTS {
                    return Err(explain(port, error));
                }
            }
            // No IPv6 here: EAFNOSUPPORT, or EADDRNOTAVAIL when it is only switched off.
            Err(_no_ipv6) => return Ok(vec![ipv4]),
        }
    }
}

fn bind(port: &Publish, address: IpAddr, number: u16) -> io::Result<Held> {
    let wanted = SocketAddr::new(address, number);
    let socket = match port.protocol {
        Protocol::Tcp => HostSocket::Tcp(inet::listen(wanted)?),
        Protocol::Udp => HostSocket::Udp(inet::bind(wanted)?),
    };
    let published = Published {
        protocol: port.protocol,
        host_address: address,
        host_port: socket.port()?,
        container_port: port.container_port,
    };
    Ok(Held { published, socket })
}

/// Whether somebody holds the port now.
pub(crate) fn is_held(published: &Published) -> bool {
    let address = SocketAddr::new(published.host_address, published.host_port);
    let error = match published.protocol {
        Protocol::Tcp => inet::listen(address).err(),
        Protocol::Udp => inet::bind(address).err(),
    };
    error.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn explain(port: &Publish, error: io::Error) -> Error {
    let number = port.host_port;
    let inside = port.container_port;
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Error::new(Class::Conflict, format!("port {number} is already in use"))
                .caused_by(error)
                .hint(format!(
                    "choose another with -p {}:{inside}",
                    number.saturating_add(1)
                ))
                .hint(format!("let the kernel choose one with -p {inside}"))
        }
        io::ErrorKind::PermissionDenied => {
            Error::new(Class::Denied, format!("cannot publish port {number}"))
                .caused_by(error)
                .hint("choose a port above 1023")
        }
        io::ErrorKind::AddrNotAvailable => {
            let address = port
                .host_address
                .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            Error::new(
                Class::Invalid,
                format!("cannot publish port {number} on {address}"),
            )
            .caused_by(error)
            .hint("use an address of this host")
        }
        _ => Error::new(Class::Internal, format!("cannot publish port {number}")).caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_is_refused_to_others() {
        let any = Publish {
            protocol: Protocol::Tcp,
            host_address: Some(Ipv4Addr::LOCALHOST.into()),
            host_port: 0,
            container_port: 80,
        };
        let foreign = Publish {
            host_address: Some("192.0.2.77".parse().unwrap()),
            ..any
        };
        assert_eq!(hold(&[foreign]).unwrap_err().class(), Class::Invalid);
        let held = hold(std::slice::from_ref(&any)).unwrap();
        let number = held[0].published.host_port;
        assert_ne!(number, 0);
        assert!(is_held(&held[0].published));
        let error = hold(&[Publish {
            host_port: number,
            ..any
        }])
        .unwrap_err();
        assert_eq!(error.class(), Class::Conflict);
        assert_eq!(
            error.to_string(),
            format!("port {number} is already in use")
        );
        assert!(!error.hints().is_empty());
        let published = held[0].published.clone();
        drop(held);
        assert!(!is_held(&published));
    }
}
