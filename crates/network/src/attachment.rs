//! One container's network from reservation to tear-down.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};

use berth_contract::{Class, ContainerId, Error, NetworkName, Result};
use berth_sys::netlink::route::{Prefix, Step};

use crate::address::Addresses;
use crate::bridge::{self, Bridge};
use crate::definition::{Definition, Description, PREFIX6};
use crate::namespace::{Ipv6, LOOPBACK, enter, enter_file, lay_cable};
use crate::port::{self, Held};
use crate::proxy::Proxy;
use crate::published::{forget_udp, note, record, together, withdraw};
use crate::request::{Attached, Endpoint, Join, Mode, Published, Request};
use crate::site::Directories;

/// The networks of one engine.
#[derive(Debug, Clone)]
pub struct Network {
    directories: Directories,
}

/// What a container was promised before its process exists: addresses, and the host's ports.
///
/// Dropping it gives everything back.
#[derive(Debug)]
pub struct Reservation {
    held: Tenancy,
    attached: Attached,
    bridges: Vec<Bridge>,
}

/// A container's network while it runs. Dropping it detaches it.
#[derive(Debug)]
pub struct Attachment {
    held: Tenancy,
    attached: Attached,
}

/// What has to be given back, and whether it was.
#[derive(Debug)]
struct Tenancy {
    directories: Directories,
    request: Request,
    addresses: Vec<(NetworkName, IpAddr)>,
    filtered: Vec<Published>,
    ports: Vec<Held>,
    proxy: Option<Proxy>,
}

impl Network {
    /// The networks of the engine with these directories; nothing is read or made yet.
    #[must_use]
    pub fn open(directories: &Directories) -> Self {
        Self {
            directories: directories.clone(),
        }
    }

    /// Checks what can be known of a request without doing anything.
    ///
    /// # Errors
    /// The request contradicts itself, or names a network that does not exist.
    pub fn validate(&self, request: &Request) -> Result<()> {
        let Mode::Networks(joins) = &request.mode else {
            if let Some(port) = request.publish.first() {
                return Err(Error::new(
                    Class::Invalid,
                    format!("cannot publish port {}", port.container_port),
                )
                .caused_by("the container gets no address of its own")
                .hint("use the default network, or leave -p out"));
            }
            return Ok(());
        };
        if joins.is_empty() {
            return Err(Error::new(Class::Invalid, "a container needs a network")
                .hint("use --network none for none"));
        }
        for (index, join) in joins.iter().enumerate() {
            if joins[..index]
                .iter()
                .any(|earlier| earlier.network == join.network)
            {
                return Err(Error::new(
                    Class::Invalid,
                    format!("network {} is named twice", join.network),
                ));
            }
            let known = join.network.as_str() == bridge::DEFAULT
                || Definition::load(&self.directories.networks(), &join.network)?.is_some();
            if !known {
                return Err(
                    Error::new(Class::NotFound, format!("no network {}", join.network))
                        .hint(format!("use --network {}, none or host", bridge::DEFAULT)),
                );
            }
        }
        for port in &request.publish {
            if port.container_port == 0 {
                return Err(Error::new(
                    Class::Invalid,
                    "cannot publish port 0 of a container",
                ));
            }
        }
        Ok(())
    }

    /// Takes addresses, binds the host's ports and starts their proxy. Call it before the guest exists,
    /// from a process with one thread: the proxy is a copy of that process.
    ///
    /// # Errors
    /// A port or an address is in use, or the host cannot have bridge networks; nothing is left then.
    pub fn reserve(&self, request: &Request) -> Result<Reservation> {
        self.validate(request)?;
        let held = Tenancy {
            directories: self.directories.clone(),
            request: request.clone(),
            addresses: Vec::new(),
            filtered: Vec::new(),
            ports: Vec::new(),
            proxy: None,
        };
        let mut reservation = Reservation {
            held,
            attached: Attached::default(),
            bridges: Vec::new(),
        };
        if let Mode::Networks(joins) = &request.mode {
            // The ports first: a port in use is the commonest refusal and must cost nothing else.
            reservation.held.ports = port::hold(&request.publish)?;
            for (index, join) in joins.iter().enumerate() {
                reservation.join(join, index)?;
            }
            reservation.publish()?;
        }
        Ok(reservation)
    }

    /// What a network is made of; `None` when it is not made yet.
    ///
    /// # Errors
    /// Its definition is damaged.
    pub fn describe(&self, name: &NetworkName) -> Result<Option<Description>> {
        let definition = Definition::load(&self.directories.networks(), name)?;
        Ok(definition.map(|definition| Description::from(&definition)))
    }

    /// Removes the default network's bridge, filter table and definition unless `is_used` says that a
    /// container is on it, and tells whether it did. The next one that needs it makes it anew.
    ///
    /// # Errors
    /// The kernel refuses, or `is_used` fails.
    pub fn dismantle(&self, is_used: &dyn Fn() -> Result<bool>) -> Result<bool> {
        bridge::dismantle(&self.directories, &bridge::DEFAULT.parse()?, is_used)
    }

    /// Gives back whatever a container whose monitor was lost still has. It may have nothing.
    ///
    /// # Errors
    /// All failures are collected; what could be given back is.
    pub fn release(&self, id: &ContainerId) -> Result<()> {
        let mut failures = Vec::new();
        let record = self.directories.ports(id);
        match fs::read(&record) {
            Ok(text) => {
                let ports: Vec<Published> = serde_json::from_slice(&text).unwrap_or_default();
                // Another container may have the port by now: then the element is its own.
                let ours: Vec<Published> = ports
                    .into_iter()
                    .filter(|port| !port::is_held(port))
                    .collect();
                withdraw(&self.directories, &ours, &mut failures);
                note(
                    &mut failures,
                    fs::remove_file(&record),
                    "cannot forget the container's ports",
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => note(
                &mut failures,
                Err(error),
                "cannot read the container's ports",
            ),
        }
        let networks = self.directories.run.join("ipam");
        for entry in fs::read_dir(&networks).into_iter().flatten().flatten() {
            let Some(Ok(network)) = entry.file_name().to_str().map(str::parse::<NetworkName>)
            else {
                continue;
            };
            let addresses = Addresses::of(&self.directories, &network);
            for address in addresses.held_by(id) {
                failures.extend(addresses.give_back(address, id).err());
            }
        }
        together(failures)
    }
}

impl Reservation {
    /// What the container will be given.
    #[must_use]
    pub fn attached(&self) -> &Attached {
        &self.attached
    }

    fn join(&mut self, join: &Join, index: usize) -> Result<()> {
        let id = self.held.request.container.clone();
        let bridge = bridge::ready(&self.held.directories, &join.network)?;
        let network = &bridge.definition;
        let directories = self.held.directories.clone();
        let addresses = Addresses::of(&directories, &join.network);
        let address = match join.address {
            Some(address) => {
                addresses.take_fixed(network, address.into(), &id)?;
                address
            }
            None => addresses.take(network, &id)?,
        };
        self.held
            .addresses
            .push((join.network.clone(), address.into()));
        let address6 = match (join.address6, network.subnet6) {
            (Some(address), _) => {
                addresses.take_fixed(network, address.into(), &id)?;
                self.held
                    .addresses
                    .push((join.network.clone(), address.into()));
                Some(address)
            }
            (None, Some(_)) => network.address6(address),
            (None, None) => None,
        };
        self.attached.endpoints.push(Endpoint {
            network: join.network.clone(),
            interface: format!("eth{index}"),
            address,
            prefix: network.prefix,
            gateway: network.gateway(),
            address6,
            prefix6: if address6.is_some() { PREFIX6 } else { 0 },
            gateway6: network.gateway6().filter(|_| address6.is_some()),
            mac: join.mac.unwrap_or_else(|| bridge::mac_of(address)),
            link_local: join.link_local.clone(),
        });
        self.bridges.push(bridge);
        Ok(())
    }

    /// Sends published ports to the container's first address of the right kind.
    fn publish(&mut self) -> Result<()> {
        if self.held.ports.is_empty() {
            return Ok(());
        }
        let Some(endpoint) = self.attached.endpoints.first() else {
            return Ok(());
        };
        let Some(bridge) = self.bridges.first_mut() else {
            return Ok(());
        };
        let to = |published: &Published| -> IpAddr {
            match (published.host_address, endpoint.address6) {
                (IpAddr::V6(_), Some(address)) => address.into(),
                _ => endpoint.address.into(),
            }
        };
        self.attached.ports = self
            .held
            .ports
            .iter()
            .map(|held| held.published.clone())
            .collect();
        self.held.filtered = self
            .attached
            .ports
            .iter()
            .filter(|port| {
                !port.host_address.is_loopback()
                    && to(port).is_ipv6() == port.host_address.is_ipv6()
            })
            .cloned()
            .collect();
        // The record is there before the elements are, so that a lost monitor leaves none behind.
        record(
            &self.held.directories,
            &self.held.request.container,
            &self.held.filtered,
        )?;
        for port in &self.held.filtered {
            bridge.firewall.publish(port, to(port))?;
        }
        forget_udp(&self.held.filtered)?;
        self.held.proxy = Some(Proxy::start(&self.held.ports, |held| {
            SocketAddr::new(to(&held.published), held.published.container_port)
        })?);
        Ok(())
    }

    /// Connects the network namespace of a process.
    ///
    /// # Errors
    /// The process is gone, or the kernel refuses; everything reserved is given back then.
    pub fn attach(mut self, pid: i32) -> Result<Attachment> {
        let failed = |error: io::Error| {
            Error::new(Class::Internal, "cannot connect the container's network").caused_by(error)
        };
        match &self.held.request.mode {
            Mode::Host | Mode::Container(_) => {}
            Mode::None => {
                let mut inside = enter(pid, Ipv6::Untouched).map_err(failed)?;
                inside.configure(&[Step::Up(LOOPBACK)]).map_err(failed)?;
            }
            Mode::Networks(_) => self.connect(pid).map_err(failed)?,
        }
        Ok(Attachment {
            held: self.held,
            attached: self.attached,
        })
    }

    fn connect(&mut self, pid: i32) -> io::Result<()> {
        let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
        let ipv6 = self.attached.endpoints.iter().any(|endpoint| {
            endpoint.address6.is_some() || endpoint.link_local.iter().any(IpAddr::is_ipv6)
        });
        let mut inside = enter_file(&namespace, if ipv6 { Ipv6::Quiet } else { Ipv6::Untouched })?;
        let mut steps = vec![Step::Up(LOOPBACK)];
        let id = self.held.request.container.clone();
        for (index, (endpoint, bridge)) in self
            .attached
            .endpoints
            .iter()
            .zip(&mut self.bridges)
            .enumerate()
        {
            let cable = lay_cable(&id, endpoint, bridge, &namespace)?;
            if !self.held.filtered.is_empty() {
                // The container may ask for its own published port.
                bridge.route.reflect(&cable)?;
            }
            let Some(link) = inside.link(&endpoint.interface)? else {
                return Err(io::ErrorKind::NotFound.into());
            };
            let ipv4 = Prefix {
                address: endpoint.address.into(),
                length: endpoint.prefix,
            };
            steps.push(Step::Address(link.index, ipv4));
            if let Some(address) = endpoint.address6 {
                let ipv6 = Prefix {
                    address: address.into(),
                    length: endpoint.prefix6,
                };
                steps.push(Step::Address(link.index, ipv6));
            }
            for address in &endpoint.link_local {
                let length = if address.is_ipv4() { 16 } else { PREFIX6 };
                let local = Prefix {
                    address: *address,
                    length,
                };
                steps.push(Step::Address(link.index, local));
            }
            steps.push(Step::Up(link.index));
            if index == 0 {
                steps.push(Step::Gateway(endpoint.gateway.into()));
                steps.extend(
                    endpoint
                        .gateway6
                        .map(|gateway| Step::Gateway(gateway.into())),
                );
            }
        }
        inside.configure(&steps)
    }
}

impl Attachment {
    /// What the container was given.
    #[must_use]
    pub fn attached(&self) -> &Attached {
        &self.attached
    }

    /// Gives everything back, once the container's processes have ended.
    ///
    /// # Errors
    /// All failures are collected; what could be given back is.
    pub fn detach(mut self) -> Result<()> {
        self.held.give_back()
    }
}

impl Tenancy {
    fn give_back(&mut self) -> Result<()> {
        let mut failures = Vec::new();
        let id = &self.request.container;
        if !self.filtered.is_empty() {
            // While the sockets still hold the ports: nobody else can have published them.
            withdraw(&self.directories, &self.filtered, &mut failures);
            let removed = fs::remove_file(self.directories.ports(id));
            note(
                &mut failures,
                removed,
                "cannot forget the container's ports",
            );
            self.filtered.clear();
        }
        self.proxy = None;
        self.ports.clear();
        for (network, address) in self.addresses.drain(..) {
            let addresses = Addresses::of(&self.directories, &network);
            failures.extend(addresses.give_back(address, id).err());
        }
        together(failures)
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        // Whoever wants to know calls `detach`; this is for the ways out through an error.
        drop(self.give_back());
    }
}
