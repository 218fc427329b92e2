//! Who has which address of a network: one symbolic link per address, pointing at a container's id.
//!
//! Making a symbolic link is exclusive and puts its text there in the same step, so no address is ever
//! seen taken by nobody. An address is stale when its holder's monitor has lost its lock.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use berth_contract::{Class, ContainerId, Error, NetworkName, Result};

use crate::definition::Definition;
use crate::site::Directories;

/// The addresses of one network.
#[derive(Debug)]
pub(crate) struct Addresses<'a> {
    directories: &'a Directories,
    directory: PathBuf,
}

impl<'a> Addresses<'a> {
    /// The addresses of a network.
    pub(crate) fn of(directories: &'a Directories, network: &NetworkName) -> Self {
        Self {
            directories,
            directory: directories.addresses(network),
        }
    }

    /// Takes the next free IPv4 address after the one taken last.
    ///
    /// An address just given up is not taken again at once: neighbours may still have its old hardware
    /// address, and the kernel connections to its old holder.
    pub(crate) fn take(&self, network: &Definition, id: &ContainerId) -> Result<Ipv4Addr> {
        let range = network.range();
        let last = fs::read_link(self.directory.join(".last"))
            .ok()
            .and_then(|text| text.to_str()?.parse::<Ipv4Addr>().ok())
            .map_or(range.start, |last| u32::from(last).saturating_add(1));
        let start = if range.contains(&last) {
            last
        } else {
            range.start
        };
        for reclaim in [false, true] {
            for number in (start..range.end).chain(range.start..start) {
                let address = Ipv4Addr::from(number);
                if self.take_one(address.into(), id, reclaim)? {
                    self.remember(address);
                    return Ok(address);
                }
            }
        }
        Err(Error::new(
            Class::Unavailable,
            format!("network {} has no free address", network.name),
        )
        .hint("remove containers that are not needed"))
    }

    /// Takes a certain address.
    pub(crate) fn take_fixed(
        &self,
        network: &Definition,
        address: IpAddr,
        id: &ContainerId,
    ) -> Result<()> {
        let fits = match address {
            IpAddr::V4(address) => network.range().contains(&u32::from(address)),
            IpAddr::V6(address) => network.subnet6.is_some_and(|subnet| {
                let host = u128::from(address) ^ u128::from(subnet);
                // What looks like an IPv4 address of the network is given out with that address.
                let embedded = u32::try_from(host)
                    .is_ok_and(|number| number.wrapping_sub(u32::from(network.subnet)) < 1 << 16);
                host >> 64 == 0 && host > 1 && !embedded
            }),
        };
        if !fits {
            return Err(Error::new(
                Class::Invalid,
                format!(
                    "address {address} cannot be given out on network {}",
                    network.name
                ),
            )
            .hint(format!(
                "its addresses are in {}/{}",
                network.subnet, network.prefix
            )));
        }
        if self.take_one(address, id, true)? {
            return Ok(());
        }
        Err(Error::new(
            Class::Conflict,
            format!("address {address} is already in use"),
        )
        .hint("choose another with --ip"))
    }

    /// Gives an address back, if it is the container's.
    pub(crate) fn give_back(&self, address: IpAddr, id: &ContainerId) -> Result<()> {
        let path = self.directory.join(address.to_string());
        match fs::read_link(&path) {
            Ok(holder) if holder.as_os_str() == id.as_str() => {}
            _ => return Ok(()),
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::new(
                Class::Internal,
                format!("cannot give address {address} back"),
            )
            .caused_by(error)),
            _ => Ok(()),
        }
    }

    /// The addresses a container has.
    pub(crate) fn held_by(&self, id: &ContainerId) -> Vec<IpAddr> {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let address = entry.file_name().to_str()?.parse().ok()?;
                let holder = fs::read_link(entry.path()).ok()?;
                (holder.as_os_str() == id.as_str()).then_some(address)
            })
            .collect()
    }

    fn take_one(&self, address: IpAddr, id: &ContainerId, reclaim: bool) -> Result<bool> {
        let path = self.directory.join(address.to_string());
        let failed = |error: io::Error| {
            Error::new(Class::Internal, format!("cannot take address {address}"))
                .caused_by(format!("{}: {error}", path.display()))
        };
        for _ in 0..2 {
            match symlink(id.as_str(), &path) {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&self.directory).map_err(failed)?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break,
                Err(error) => return Err(failed(error)),
            }
        }
        if !reclaim {
            return Ok(false);
        }
        // Two processes that both saw a stale address must not remove each other's new one.
        let guard = File::create(self.directory.join(".reclaim")).map_err(failed)?;
        guard.lock().map_err(failed)?;
        match fs::read_link(&path) {
            Ok(holder) if self.is_alive(&holder.to_string_lossy()) => return Ok(false),
            Ok(_) => fs::remove_file(&path).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        match symlink(id.as_str(), &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether a container's monitor is alive. When that cannot be said, it is.
    fn is_alive(&self, id: &str) -> bool {
        match File::open(self.directories.lock(id)) {
            Ok(lock) => berth_sys::lock::is_held(&lock).unwrap_or(true),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Remembers where to go on; losing a race or the whole note only costs a few more attempts.
    fn remember(&self, address: Ipv4Addr) {
        let note = self.directory.join(".last");
        drop(fs::remove_file(&note));
        drop(symlink(address.to_string(), &note));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Definition {
        Definition {
            name: "bridge".parse().unwrap(),
            link: "berth0".to_owned(),
            subnet: Ipv4Addr::new(10, 0, 0, 0),
            prefix: 29,
            subnet6: Some("fd00:1::".parse().unwrap()),
            mtu: 1500,
        }
    }

    fn id(byte: u8) -> ContainerId {
        ContainerId::from_random([byte; 32])
    }

    #[test]
    fn addresses_are_taken_once_and_not_again_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let directories = Directories {
            data: directory.path().into(),
            run: directory.path().into(),
        };
        let network = network();
        let addresses = Addresses::of(&directories, &network.name);
        // Every holder is alive: its lock is held by this test.
        let mut locks = Vec::new();
        for byte in 0..5 {
            let run = directory.path().join(id(byte).as_str());
            fs::create_dir(&run).unwrap();
            let run = File::open(&run).unwrap();
            locks.push(berth_sys::lock::Lock::take(&run, "lock").unwrap().unwrap());
        }
        let take = |byte| {
            addresses
                .take(&network, &id(byte))
                .map(|address| address.octets()[3])
        };
        assert_eq!(take(0).unwrap(), 2);
        assert_eq!(take(1).unwrap(), 3);
        addresses
            .give_back("10.0.0.2".parse().unwrap(), &id(1))
            .unwrap();
        addresses
            .give_back("10.0.0.3".parse().unwrap(), &id(1))
            .unwrap();
        assert_eq!(take(2).unwrap(), 4);
        assert_eq!(
            (take(3).unwrap(), take(4).unwrap(), take(4).unwrap()),
            (5, 6, 3)
        );
        assert_eq!(take(4).unwrap_err().class(), Class::Unavailable);
        assert_eq!(addresses.held_by(&id(4)).len(), 2);
        // The first one's monitor dies; its address is free again.
        locks.remove(0);
        assert_eq!(take(4).unwrap(), 2);
    }

    #[test]
    fn fixed_addresses_are_checked() {
        let directory = tempfile::tempdir().unwrap();
        let directories = Directories {
            data: directory.path().into(),
            run: directory.path().into(),
        };
        let network = network();
        let addresses = Addresses::of(&directories, &network.name);
        for (text, class) in [
            ("10.0.0.0", Some(Class::Invalid)),
            ("10.0.0.1", Some(Class::Invalid)),
            ("10.0.0.7", Some(Class::Invalid)),
            ("10.1.0.2", Some(Class::Invalid)),
            ("10.0.0.5", None),
            ("fd00:1::1", Some(Class::Invalid)),
            ("fd00:1::a00:5", Some(Class::Invalid)),
            ("fd00:2::5", Some(Class::Invalid)),
            ("fd00:1::5", None),
        ] {
            let taken = addresses.take_fixed(&network, text.parse().unwrap(), &id(1));
            assert_eq!(taken.err().map(|error| error.class()), class, "{text}");
        }
    }
}
