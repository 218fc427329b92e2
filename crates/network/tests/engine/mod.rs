//! An engine's networks as its containers' monitors use them, and what is left of them.

use std::fs;
use std::process::Command;

use berth_contract::ContainerId;
use berth_network::{Attachment, Directories, Join, Mode, Network, Protocol, Publish, Request};
use berth_sys::lock::Lock;

use crate::guest::Guest;

/// An engine with directories of its own, which a container's monitor would use.
pub(crate) struct Engine {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) directories: Directories,
    pub(crate) network: Network,
}

impl Engine {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let directories = Directories {
            data: directory.path().join("data"),
            run: directory.path().join("run"),
        };
        let network = Network::open(&directories);
        Self {
            directory,
            directories,
            network,
        }
    }

    pub(crate) fn lock(&self, id: &ContainerId) -> Lock {
        let run = self.directories.run.join(id.as_str());
        fs::create_dir_all(&run).unwrap();
        Lock::take(fs::File::open(&run).unwrap(), "lock")
            .unwrap()
            .unwrap()
    }

    pub(crate) fn run(&self, request: &Request) -> (Guest, Attachment, Lock) {
        let lock = self.lock(&request.container);
        let reservation = self.network.reserve(request).unwrap();
        let guest = Guest::spawn();
        let attachment = reservation.attach(guest.pid()).unwrap();
        (guest, attachment, lock)
    }

    /// What is left behind: addresses, records, and elements of the packet filter's maps.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut all = Vec::new();
        for directory in ["ipam/bridge", "ports"] {
            for entry in fs::read_dir(self.directories.run.join(directory))
                .into_iter()
                .flatten()
            {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if !name.starts_with('.') {
                    all.push(name);
                }
            }
        }
        // nft(8) is only an oracle here.
        if let Ok(listed) = Command::new("nft").args(["list", "ruleset"]).output() {
            let text = String::from_utf8(listed.stdout).unwrap();
            all.extend(
                text.lines()
                    .filter(|line| line.contains("elements"))
                    .map(str::to_owned),
            );
        }
        all
    }
}

pub(crate) fn id(number: u8) -> ContainerId {
    ContainerId::from_random([number; 32])
}

pub(crate) fn request(number: u8, publish: Vec<Publish>) -> Request {
    let join = Join {
        network: "bridge".parse().unwrap(),
        address: None,
        address6: None,
        mac: None,
        link_local: Vec::new(),
        aliases: Vec::new(),
    };
    Request {
        container: id(number),
        mode: Mode::Networks(vec![join]),
        publish,
    }
}

pub(crate) fn publish(protocol: Protocol, host_port: u16, container_port: u16) -> Publish {
    Publish {
        protocol,
        host_address: None,
        host_port,
        container_port,
    }
}
