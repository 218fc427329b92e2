//! Links, addresses and routes (rtnetlink(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::io::Errno;

use super::{CREATE, DUMP, EXCLUSIVE, Message, Reply, Socket, attributes, word};

const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const DELETE_LINK: u16 = 17;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_F_NODAD: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

/// The longest interface name, without its final zero.
pub const LONGEST_NAME: usize = 15;

/// A link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its network namespace.
    pub index: u32,
    /// Whether it is up.
    pub up: bool,
    /// The largest packet it takes.
    pub mtu: u32,
}

/// An IP network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// An address in it.
    pub address: IpAddr,
    /// The length of its prefix.
    pub length: u8,
}

/// A virtual cable whose one end is on a bridge here and whose other end is in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct Cable<'a> {
    /// The name of the end that stays here.
    pub name: &'a str,
    /// The number of the bridge it is put on.
    pub bridge: u32,
    /// The name of the other end.
    pub peer: &'a str,
    /// The other end's hardware address.
    pub mac: [u8; 6],
    /// The largest packet both ends take.
    pub mtu: u32,
}

/// One step of [`Route::configure`].
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Sets a link up.
    Up(u32),
    /// Gives a link an address, usable at once (no duplicate address detection).
    Address(u32, Prefix),
    /// Sends what has no better route through a gateway.
    Gateway(IpAddr),
}

/// An rtnetlink socket; it stays in the network namespace it was opened in.
#[derive(Debug)]
pub struct Route {
    socket: Socket,
}

impl Route {
    /// Opens a socket in this thread's network namespace.
    ///
    /// # Errors
    /// The process has no file left.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            socket: Socket::open(None)?,
        })
    }

    /// Looks a link up by its name.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        check_name(name)?;
        let mut message = Message::new(GET_LINK, 0);
        message
            .header(&link_header(0, 0, 0))
            .text(IFLA_IFNAME, name);
        match self.socket.ask(&message) {
            Ok(reply) => Ok(Some(read_link(&reply))),
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a bridge, not yet up, with a hardware address that does not follow its ports.
    ///
    /// # Errors
    /// There is a link of that name, or the kernel has no bridges.
    pub fn create_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> io::Result<()> {
        check_name(name)?;
        let mut message = Message::new(NEW_LINK, CREATE | EXCLUSIVE);
        message
            .header(&link_header(0, 0, 0))
            .text(IFLA_IFNAME, name)
            .attribute(IFLA_ADDRESS, &mac)
            .number(IFLA_MTU, mtu)
            .nest(IFLA_LINKINFO, |info| {
                info.text(INFO_KIND, "bridge");
            });
        self.socket.request(&message)
    }

    /// Lays a cable from a bridge into another network namespace; the end here is up afterwards.
    ///
    /// # Errors
    /// There is a link of that name on either side, or the kernel has no veth.
    pub fn lay_cable(&mut self, cable: &Cable<'_>, namespace: impl AsFd) -> io::Result<()> {
        check_name(cable.name)?;
        check_name(cable.peer)?;
        let namespace = namespace.as_fd().as_raw_fd().cast_unsigned();
        let mut message = Message::new(NEW_LINK, CREATE | EXCLUSIVE);
        message
            .header(&link_header(0, IFF_UP, IFF_UP))
            .text(IFLA_IFNAME, cable.name)
            .number(IFLA_MTU, cable.mtu)
            .number(IFLA_MASTER, cable.bridge)
            .nest(IFLA_LINKINFO, |info| {
                info.text(INFO_KIND, "veth").nest(INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |peer| {
                        // IFF_UP here would be refused with ENOTCONN, and the roll-back is slow.
                        peer.header(&link_header(0, 0, 0))
                            .text(IFLA_IFNAME, cable.peer)
                            .attribute(IFLA_ADDRESS, &cable.mac)
                            .number(IFLA_MTU, cable.mtu)
                            .number(IFLA_NET_NS_FD, namespace);
                    });
                });
            });
        self.socket.request(&message)
    }

    /// Lets a bridge send a packet back through the port it came from.
    ///
    /// Where bridged packets pass the packet filter (`bridge-nf-call-iptables`), one that is translated
    /// back to its sender never leaves the bridge's own level.
    ///
    /// # Errors
    /// The link is on no bridge.
    pub fn reflect(&mut self, name: &str) -> io::Result<()> {
        check_name(name)?;
        let mut message = Message::new(NEW_LINK, 0);
        message
            .header(&link_header(0, 0, 0))
            .text(IFLA_IFNAME, name)
            .nest(IFLA_LINKINFO, |info| {
                info.text(INFO_SLAVE_KIND, "bridge")
                    .nest(INFO_SLAVE_DATA, |port| {
                        port.attribute(IFLA_BRPORT_MODE, &[1]);
                    });
            });
        self.socket.request(&message)
    }

    /// Carries out steps in order with one system call.
    ///
    /// # Errors
    /// A step is refused; the others are carried out all the same.
    pub fn configure(&mut self, steps: &[Step]) -> io::Result<()> {
        let messages: Vec<Message> = steps.iter().map(step).collect();
        self.socket.carry_out(&messages).map_err(|(index, error)| {
            let refused = steps.get(index);
            io::Error::new(
                error.kind(),
                Refused {
                    step: refused.copied(),
                    error,
                },
            )
        })
    }

    /// Removes a link: 13–35 ms for a veth, so never on the way of a stopping container.
    ///
    /// # Errors
    /// There is no such link.
    pub fn remove_link(&mut self, index: u32) -> io::Result<()> {
        let mut message = Message::new(DELETE_LINK, 0);
        message.header(&link_header(index, 0, 0));
        self.socket.request(&message)
    }

    /// The networks of every address of this host: (link, network).
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn addresses(&mut self) -> io::Result<Vec<(u32, Prefix)>> {
        let mut message = Message::new(GET_ADDRESS, DUMP);
        message.header(&[0; 8]);
        let replies = self.socket.dump(&message)?;
        Ok(replies
            .iter()
            .filter_map(|reply| {
                let length = *reply.payload.get(1)?;
                let index = word(&reply.payload, 4);
                let address = attributes(&reply.payload, 8)
                    .find(|(kind, _)| *kind == IFA_ADDRESS)
                    .and_then(|(_, bytes)| read_address(bytes))?;
                Some((index, Prefix { address, length }))
            })
            .collect())
    }

    /// The destinations of this host's routes, the default ones left out: (link, network).
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn routes(&mut self) -> io::Result<Vec<(u32, Prefix)>> {
        let mut all = Vec::new();
        for (index, length, reply) in self.route_dump()? {
            let destination = attributes(&reply.payload, 12)
                .find(|(kind, _)| *kind == RTA_DST)
                .and_then(|(_, bytes)| read_address(bytes));
            if let Some(address) = destination {
                all.push((index, Prefix { address, length }));
            }
        }
        Ok(all)
    }

    /// The largest packet the link of the IPv4 default route takes.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn uplink_mtu(&mut self) -> io::Result<Option<u32>> {
        const IPV4: u8 = 2;
        let index = self
            .route_dump()?
            .into_iter()
            .find_map(|(index, length, reply)| {
                (length == 0 && reply.payload.first() == Some(&IPV4) && index != 0).then_some(index)
            });
        let Some(index) = index else { return Ok(None) };
        let mut message = Message::new(GET_LINK, 0);
        message.header(&link_header(index, 0, 0));
        Ok(Some(read_link(&self.socket.ask(&message)?).mtu).filter(|mtu| *mtu > 0))
    }

    fn route_dump(&mut self) -> io::Result<Vec<(u32, u8, Reply)>> {
        let mut message = Message::new(GET_ROUTE, DUMP);
        message.header(&[0; 12]);
        let replies = self.socket.dump(&message)?;
        Ok(replies
            .into_iter()
            .map(|reply| {
                let index = attributes(&reply.payload, 12)
                    .find(|(kind, _)| *kind == RTA_OIF)
                    .map_or(0, |(_, bytes)| word(bytes, 0));
                (index, reply.payload.get(1).copied().unwrap_or(0), reply)
            })
            .collect())
    }
}

/// A step that the kernel refused.
#[derive(Debug)]
struct Refused {
    step: Option<Step>,
    error: io::Error,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.step {
            Some(Step::Up(index)) => write!(formatter, "link {index} cannot be set up"),
            Some(Step::Address(index, prefix)) => {
                write!(
                    formatter,
                    "link {index} cannot have address {}",
                    prefix.address
                )
            }
            Some(Step::Gateway(gateway)) => write!(formatter, "{gateway} cannot be the gateway"),
            None => formatter.write_str("the links cannot be configured"),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

fn step(step: &Step) -> Message {
    match *step {
        Step::Up(index) => {
            let mut message = Message::new(NEW_LINK, 0);
            message.header(&link_header(index, IFF_UP, IFF_UP));
            message
        }
        Step::Address(index, prefix) => {
            let mut message = Message::new(NEW_ADDRESS, CREATE | EXCLUSIVE);
            let family = family(prefix.address);
            // ifaddrmsg: family, prefix length, flags, scope, link.
            let mut header = vec![family, prefix.length, IFA_F_NODAD, 0];
            header.extend_from_slice(&index.to_ne_bytes());
            message.header(&header);
            let bytes = octets(prefix.address);
            message
                .attribute(IFA_LOCAL, &bytes)
                .attribute(IFA_ADDRESS, &bytes);
            if let IpAddr::V4(address) = prefix.address
                && prefix.length < 31
            {
                let host = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
                message.attribute(IFA_BROADCAST, &(u32::from(address) | host).to_be_bytes());
            }
            message
        }
        Step::Gateway(gateway) => {
            const MAIN_TABLE: u8 = 254;
            const BOOT: u8 = 3;
            const UNIVERSE: u8 = 0;
            const UNICAST: u8 = 1;
            let mut message = Message::new(NEW_ROUTE, CREATE | EXCLUSIVE);
            // rtmsg: family, destination and source length, type of service, table, protocol, scope,
            // type, flags.
            let mut header = vec![
                family(gateway),
                0,
                0,
                0,
                MAIN_TABLE,
                BOOT,
                UNIVERSE,
                UNICAST,
            ];
            header.extend_from_slice(&[0; 4]);
            message
                .header(&header)
                .attribute(RTA_GATEWAY, &octets(gateway));
            message
        }
    }
}

/// `ifinfomsg`: family, padding, type u16, index, flags, which of them change.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn read_link(reply: &Reply) -> Link {
    let mtu = attributes(&reply.payload, 16)
        .find(|(kind, _)| *kind == IFLA_MTU)
        .map_or(0, |(_, bytes)| word(bytes, 0));
    Link {
        index: word(&reply.payload, 4),
        up: word(&reply.payload, 8) & IFF_UP != 0,
        mtu,
    }
}

fn check_name(name: &str) -> io::Result<()> {
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME;
    if fits
        && !name
            .bytes()
            .any(|byte| byte == b'/' || byte == 0 || byte.is_ascii_whitespace())
    {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{name:?} is no interface name"),
    ))
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn read_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_link_is_found_and_nonsense_is_not() {
        let mut route = Route::open().unwrap();
        assert_eq!(route.link("lo").unwrap().unwrap().index, 1);
        assert_eq!(route.link("no-such-link").unwrap(), None);
        for bad in ["", "sixteen-letters-", "a/b", "a b"] {
            assert!(route.link(bad).is_err(), "{bad}");
        }
        route.addresses().unwrap();
        route.routes().unwrap();
        route.uplink_mtu().unwrap();
    }
}
