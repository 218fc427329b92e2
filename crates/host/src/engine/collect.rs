//! Clearing up after a monitor that was lost: `kill -9`, the kernel's out-of-memory killer, a crash.
//!
//! The kernel has killed the guest's first process with its monitor, unless that one had changed its user
//! (`PR_SET_PDEATHSIG` is forgotten then). What may be left is its cgroup with it or with stragglers,
//! network state, and the run directory; how the guest ended was already recorded as lost before it began,
//! so nothing here can turn into a success. Whoever looks at the container clears up first: what is told
//! of its end is true then.
//!
//! A container that goes with its end and is left all the same goes then, too: its monitor was lost, or the command
//! that restarts it was killed between the end and the start.

use berth_contract::oci::Spec;
use berth_contract::{Class, ContainerId, Error, Exit, Result};
use berth_monitor::launch::SPEC_FILE;
use berth_monitor::status::{LOCK_FILE, Observation};
use berth_monitor::volume::release_unused;
use berth_network::Network;
use berth_sys::cgroup::{Cgroup, Hierarchies};
use berth_sys::error::Explain as _;
use berth_sys::fault;
use berth_sys::lock::Lock;

use super::{Engine, no_such};
use crate::records::{Record, delete, read_document};

impl Engine {
    /// How a container stands, after what a lost monitor left was cleared up. One that goes with its end
    /// goes now, also when the host went down with its monitor.
    ///
    /// # Errors
    /// It is gone, or something of it cannot be removed.
    pub(super) fn settle(&self, id: &ContainerId) -> Result<Observation> {
        let seen = self.observe(id)?;
        if !is_left(&seen) || !berth_sys::user::is_root() {
            return Ok(seen);
        }
        if !seen.left_behind && self.goes(id, &seen).is_none() {
            return Ok(seen);
        }
        // Who starts or removes it clears up as well.
        let Some(operation) = self.operate_unless_busy(id)? else {
            return Ok(seen);
        };
        let seen = self.observe(id)?;
        let operation = self.unless_it_goes(id, &seen, operation)?;
        // It may have been started meanwhile.
        if !is_left(&seen) {
            return Ok(seen);
        }
        self.collect(id)?;
        drop(operation);
        self.observe(id)
    }

    /// Removes a container, whose operation lock is held, that should have gone with its end; gives the lock back
    /// if it stays.
    pub(super) fn unless_it_goes(
        &self,
        id: &ContainerId,
        seen: &Observation,
        operation: Lock,
    ) -> Result<Lock> {
        match self.goes(id, seen) {
            None => Ok(operation),
            Some(record) => {
                if let Some(hidden) = self.put_away_alone(id, Some(&record), true, operation)? {
                    delete(&hidden)?;
                }
                Err(no_such(id))
            }
        }
    }

    /// The record of a container that goes with its end and is still there.
    fn goes(&self, id: &ContainerId, seen: &Observation) -> Option<Record> {
        if !is_left(seen) {
            return None;
        }
        let record = Record::read(&self.paths().container(id)).ok().flatten();
        record.filter(|record| record.host_config.auto_remove)
    }

    /// Removes everything a lost monitor left; does nothing when it lives.
    pub(super) fn collect(&self, id: &ContainerId) -> Result<()> {
        let running = self.paths().running(id);
        let explain = || format!("cannot clear up after container {}", id.short());
        let directory = match std::fs::File::open(&running) {
            Ok(directory) => directory,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // A start that was killed before there was a monitor has mounted its volumes.
                return match self.release_volumes(id).pop() {
                    Some(error) => Err(error.context(explain())),
                    None => Ok(()),
                };
            }
            Err(error) => return Err(error).explain(explain),
        };
        // Held meanwhile, so that no monitor can begin between looking and removing.
        let Some(lock) = Lock::take(&directory, LOCK_FILE).explain(explain)? else {
            return Ok(());
        };
        let mut failures = Vec::new();
        if let Err(error) = self.remove_cgroup(id) {
            failures.push(error);
        }
        fault::point("host-collect-cgroup");
        let directories = berth_network::Directories {
            data: self.paths().data().to_owned(),
            run: self.paths().run().to_owned(),
        };
        if let Err(error) = Network::open(&directories).release(id) {
            failures.push(error);
        }
        fault::point("host-collect-released");
        failures.extend(self.release_volumes(id));
        match failures.pop() {
            // The run directory stays, so that the next command tries again.
            Some(error) => return Err(error.context(explain())),
            None => std::fs::remove_dir_all(&running).explain(explain)?,
        }
        fault::point("host-collect-done");
        drop(lock);
        Ok(())
    }

    /// Unmounts what nobody runs with of the container's volumes.
    fn release_volumes(&self, id: &ContainerId) -> Vec<Error> {
        // Without a launch file nothing of it was ever started.
        let launch = self.launch(id);
        let volumes = launch.map(|launch| launch.mounted).unwrap_or_default();
        let released = volumes.iter().map(|volume| release_unused(volume));
        released.filter_map(Result::err).collect()
    }

    fn remove_cgroup(&self, id: &ContainerId) -> Result<()> {
        let cgroup = match self.cgroup(id) {
            // The monitor was lost before it had made one, or after it had removed it.
            Err(error) if error.class() == Class::NotFound => return Ok(()),
            found => found?,
        };
        let Some(cgroup) = cgroup else {
            return Ok(());
        };
        cgroup.kill_all()?;
        cgroup.remove()
    }

    /// The container's cgroup, as its spec names it.
    pub(super) fn cgroup(&self, id: &ContainerId) -> Result<Option<Cgroup>> {
        let path = self.paths().container(id).join(SPEC_FILE);
        let spec: Option<Spec> = read_document(&path)?;
        let linux = spec.as_ref().and_then(|spec| spec.linux.as_ref());
        let Some(path) = linux.and_then(|linux| linux.cgroups_path.as_ref()) else {
            return Ok(None);
        };
        let hierarchies = Hierarchies::discover()?;
        Cgroup::open(&hierarchies, path).map(Some)
    }
}

/// Whether its monitor went away without a word, or whoever was to start it again did.
fn is_left(seen: &Observation) -> bool {
    let lost = seen.left_behind || seen.status.exit == Some(Exit::Lost);
    !seen.alive && (lost || seen.status.kept)
}

/// The error of a container whose directory is there and whose record is not readable.
pub(super) fn damaged(id: &ContainerId, error: Error, kept: Result<std::path::PathBuf>) -> Error {
    let error = Error::new(
        Class::Internal,
        format!("container {} is damaged", id.short()),
    )
    .caused_by(error);
    match kept {
        Ok(path) => error.hint(format!("it was put aside: look at {}", path.display())),
        Err(_) => error.hint(format!("berth rm -f {}", id.short())),
    }
}
