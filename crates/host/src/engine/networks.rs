//! The operations on networks.

use berth_contract::Result;
use berth_network::{Mode, Network};

use super::Engine;
use crate::records::identifiers;

impl Engine {
    /// Removes the default network's bridge and packet filter table, unless a running container is on
    /// it, and returns the names of what was removed. The next container that needs it makes it anew.
    ///
    /// # Errors
    /// The containers cannot be listed, or the kernel refuses.
    pub fn prune_networks(&self) -> Result<Vec<String>> {
        for id in identifiers(self.paths())? {
            let seen = self.observe(&id)?;
            if !seen.alive && !seen.left_behind {
                continue;
            }
            // One whose description cannot be read may be on it.
            let bridged = |launch: berth_monitor::launch::Launch| {
                matches!(launch.network.mode, Mode::Networks(_))
            };
            if self.launch(&id).map_or(true, bridged) {
                return Ok(Vec::new());
            }
        }
        let network = Network::open(&berth_network::Directories {
            data: self.directories.data.clone(),
            run: self.directories.run.clone(),
        });
        let removed = network.dismantle()?;
        Ok(if removed {
            vec![super::network::DEFAULT.to_owned()]
        } else {
            Vec::new()
        })
    }
}
