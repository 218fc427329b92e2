//! Where an engine's networks live, and the names they have in the kernel.

use std::path::{Path, PathBuf};

use berth_contract::{ContainerId, NetworkName};

/// The engine's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// The data directory (`/var/lib/berth`).
    pub data: PathBuf,
    /// The run directory (`/run/berth`).
    pub run: PathBuf,
}

impl Directories {
    /// Where the definitions of networks are.
    pub(crate) fn networks(&self) -> PathBuf {
        self.data.join("networks")
    }

    /// Where a network's addresses are taken.
    pub(crate) fn addresses(&self, network: &NetworkName) -> PathBuf {
        self.run.join("ipam").join(network.as_str())
    }

    /// What a container has in the packet filter.
    pub(crate) fn ports(&self, id: &ContainerId) -> PathBuf {
        self.run.join("ports").join(format!("{id}.json"))
    }

    /// The lock a container's monitor holds as long as it lives.
    pub(crate) fn lock(&self, id: &str) -> PathBuf {
        self.run.join(id).join("lock")
    }

    /// Whether these are the directories of the system's own engine.
    pub(crate) fn is_default(&self) -> bool {
        self.data == Path::new("/var/lib/berth") && self.run == Path::new("/run/berth")
    }

    /// Tells engines with different directories apart, so that they can run side by side.
    pub(crate) fn fingerprint(&self) -> u64 {
        let data = self.data.as_os_str().as_encoded_bytes();
        let run = self.run.as_os_str().as_encoded_bytes();
        // FNV-1a: stable across builds, unlike std's hasher.
        data.iter()
            .chain(&[0])
            .chain(run)
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            })
    }

    /// The name of the default network's bridge, at most 15 characters.
    pub(crate) fn bridge(&self) -> String {
        if self.is_default() {
            "berth0".to_owned()
        } else {
            format!("bt{:010x}", self.fingerprint() & 0xff_ffff_ffff)
        }
    }

    /// The name of the packet filter table.
    pub(crate) fn table(&self) -> String {
        if self.is_default() {
            "berth".to_owned()
        } else {
            format!("berth-{:010x}", self.fingerprint() & 0xff_ffff_ffff)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_directory_and_fit() {
        let default = Directories {
            data: "/var/lib/berth".into(),
            run: "/run/berth".into(),
        };
        assert_eq!(
            (default.bridge().as_str(), default.table().as_str()),
            ("berth0", "berth")
        );
        let one = Directories {
            data: "/tmp/a".into(),
            run: "/tmp/b".into(),
        };
        let other = Directories {
            data: "/tmp/a/".into(),
            run: "/tmp/bb".into(),
        };
        assert_ne!(one.bridge(), other.bridge());
        assert_eq!(one.bridge().len(), 12);
    }
}
