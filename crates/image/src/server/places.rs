//! Who has how many of the connections that are served at once.
//!
//! One address has at most as many as are free: alone it gets half of them, two that want all get a third each,
//! and whoever comes next always finds a place. A number that nobody may exceed would either keep busy machines
//! waiting for nobody, or be no limit.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections that are served at once.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    whose: IpAddr,
}

impl Places {
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            taken: Mutex::default(),
        })
    }

    /// A place for this address; `None` when it has its share already.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let whose = household(address);
        let mut taken = self.taken();
        let free = self.all.saturating_sub(taken.values().sum());
        let own = taken.get(&whose).copied().unwrap_or_default();
        if own >= free {
            return None;
        }
        taken.insert(whose, own + 1);
        drop(taken);
        Some(Place {
            places: Arc::clone(self),
            whose,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.whose) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.whose)),
        }
    }
}

/// Whoever has an address of IPv6 has the 64 bits behind its network too.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nobody_takes_all_and_everybody_finds_a_place() {
        let places = Places::new(12);
        let mut held = Vec::new();
        let mut take_all = |text: &str| {
            let before = held.len();
            held.extend(std::iter::from_fn(|| places.take(address(text))));
            held.len() - before
        };
        assert_eq!(take_all("192.0.2.1"), 6);
        assert_eq!(take_all("192.0.2.2"), 3);
        assert_eq!(take_all("192.0.2.3"), 2);
        assert_eq!(take_all("192.0.2.1"), 0);
        assert_eq!(take_all("192.0.2.4"), 1);
        assert_eq!(take_all("192.0.2.5"), 0, "all are taken");
        held.clear();
        assert!(places.taken().is_empty());
    }

    #[test]
    fn one_machine_is_one_address_however_it_spells_it() {
        let places = Places::new(4);
        let _first = places.take(address("192.0.2.1")).unwrap();
        let _second = places.take(address("::ffff:192.0.2.1")).unwrap();
        assert!(places.take(address("192.0.2.1")).is_none());
        let places = Places::new(4);
        let _first = places.take(address("2001:db8::1")).unwrap();
        let _second = places.take(address("2001:db8::ffff:2")).unwrap();
        assert!(places.take(address("2001:db8::3")).is_none());
        assert!(places.take(address("2001:db8:0:1::1")).is_some());
    }
}
