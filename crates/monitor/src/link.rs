//! One run's network: reserved before the guest exists, attached while it prepares itself, detached
//! after it ended.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};

use berth_contract::Result;
use berth_network::{Attached, Attachment, Network, Request, Reservation};
use berth_sys::error::Explain as _;

use crate::launch::{Directories, NameFiles};

/// What a run of the guest holds of the network.
#[derive(Debug)]
pub(crate) enum Link {
    /// Addresses and host ports are taken.
    Reserved(Reservation),
    /// The guest's network namespace is wired.
    Attached(Attachment),
}

impl Link {
    /// Reserves addresses and host ports.
    pub(crate) fn reserve(directories: &Directories, request: &Request) -> Result<Self> {
        let directories = berth_network::Directories {
            data: directories.data.clone(),
            run: directories.run.clone(),
        };
        Network::open(&directories)
            .reserve(request)
            .map(Self::Reserved)
    }

    /// Wires the guest's network namespace; after a failure everything is given back.
    pub(crate) fn attach(self, pid: i32) -> Result<Self> {
        match self {
            Self::Reserved(reservation) => reservation.attach(pid).map(Self::Attached),
            attached @ Self::Attached(_) => Ok(attached),
        }
    }

    /// What the guest was given.
    pub(crate) fn attached(&self) -> &Attached {
        match self {
            Self::Reserved(reservation) => reservation.attached(),
            Self::Attached(attachment) => attachment.attached(),
        }
    }

    /// Gives everything back; all failures are in the error.
    pub(crate) fn detach(self) -> Result<()> {
        match self {
            Self::Reserved(reservation) => {
                drop(reservation);
                Ok(())
            }
            Self::Attached(attachment) => attachment.detach(),
        }
    }
}

/// Completes the hosts file with the container's own addresses, and returns how long it was before.
///
/// `length` is that earlier length when the container is started again: the addresses of the last run
/// are cut off. The file is bind-mounted into the guest, so it is written in place.
pub(crate) fn complete_hosts(
    files: &NameFiles,
    attached: &Attached,
    length: Option<u64>,
) -> Result<Option<u64>> {
    let Some(path) = &files.hosts else {
        return Ok(None);
    };
    if attached.endpoints.is_empty() && length.is_none() {
        return Ok(length);
    }
    let explain = || format!("cannot complete {}", path.display());
    let mut file = OpenOptions::new().write(true).open(path).explain(explain)?;
    let found = file.metadata().explain(explain)?.len();
    // The guest may have made it shorter.
    let length = length.map_or(found, |length| length.min(found));
    file.set_len(length).explain(explain)?;
    file.seek(SeekFrom::Start(length)).explain(explain)?;
    file.write_all(host_lines(files, attached).as_bytes())
        .explain(explain)?;
    Ok(Some(length))
}

/// `address<TAB>name name…` for each of the container's addresses, then the gateway's names.
fn host_lines(files: &NameFiles, attached: &Attached) -> String {
    let names = files.names.join(" ");
    let mut lines = String::new();
    let own = attached.endpoints.iter().filter(|_| !names.is_empty());
    for endpoint in own {
        lines.push_str(&format!("{}\t{names}\n", endpoint.address));
        if let Some(address) = endpoint.address6 {
            lines.push_str(&format!("{address}\t{names}\n"));
        }
    }
    if let Some(first) = attached.endpoints.first() {
        for name in &files.gateway_names {
            lines.push_str(&format!("{}\t{name}\n", first.gateway));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_network::Endpoint;
    use std::fs;

    fn attached(last: u8) -> Attached {
        let endpoint = Endpoint {
            network: "bridge".parse().unwrap(),
            interface: "eth0".into(),
            address: [10, 88, 0, last].into(),
            prefix: 16,
            gateway: [10, 88, 0, 1].into(),
            address6: Some("fd00::2".parse().unwrap()),
            prefix6: 64,
            gateway6: None,
            mac: [2; 6],
            link_local: Vec::new(),
        };
        Attached {
            endpoints: vec![endpoint],
            ports: Vec::new(),
        }
    }

    #[test]
    fn addresses_follow_what_was_there_and_are_replaced_at_a_restart() {
        let path = std::env::temp_dir().join(format!("berth-hosts-{}", std::process::id()));
        fs::write(&path, "127.0.0.1\tlocalhost\n").unwrap();
        let files = NameFiles {
            hosts: Some(path.clone()),
            names: vec!["web".into(), "w".into()],
            gateway_names: vec!["host".into()],
        };
        let length = complete_hosts(&files, &attached(2), None).unwrap();
        let expected = "127.0.0.1\tlocalhost\n10.88.0.2\tweb w\nfd00::2\tweb w\n10.88.0.1\thost\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(
            complete_hosts(&files, &attached(3), length).unwrap(),
            length
        );
        let expected = expected.replace("10.88.0.2", "10.88.0.3");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        // The guest made the file shorter than it was at first.
        fs::write(&path, "x\n").unwrap();
        assert_eq!(
            complete_hosts(&files, &attached(2), length).unwrap(),
            Some(2)
        );
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "x\n10.88.0.2\tweb w\nfd00::2\tweb w\n10.88.0.1\thost\n"
        );
        fs::remove_file(&path).unwrap();
    }
}
