//! Removing containers, and everything that belongs to them alone.

use std::fs;
use std::path::PathBuf;

use berth_contract::{Class, ContainerId, Error, Result, Signal, State};
use berth_monitor::client;
use berth_monitor::protocol::Request;
use berth_monitor::volume as membership;
use berth_sys::fault;
use berth_sys::lock::Lock;

use super::Engine;
use super::control::{DYING, closed_within, exited_within};
use super::options::RemoveOptions;
use crate::api::types::{ContainerSummary, PruneReport};
use crate::records::{Builder, Record, delete, free, hide};
use crate::volume;

impl Engine {
    /// Removes a container; with `force` one that runs is killed first.
    ///
    /// # Errors
    /// It runs and `force` is off, or something of it cannot be deleted: it is shown again then.
    pub fn remove(&self, id: &ContainerId, options: &RemoveOptions) -> Result<()> {
        let hidden = self.put_away(id, options)?;
        hidden.map_or(Ok(()), |hidden| delete(&hidden))
    }

    /// As [`Engine::remove`], except that its directory is only out of sight, for the caller to [`delete`].
    ///
    /// # Errors
    /// As for [`Engine::remove`].
    pub(crate) fn put_away(
        &self,
        id: &ContainerId,
        options: &RemoveOptions,
    ) -> Result<Option<PathBuf>> {
        // A damaged record must not keep a container from being removed by force.
        let record = match Record::read(&self.paths().container(id)) {
            Ok(record) => record,
            Err(_) if options.force => None,
            Err(error) => return Err(error.hint(format!("berth rm -f {}", id.short()))),
        };
        // Before its turn comes: who holds the lock may be waiting for this very end.
        if options.force {
            self.kill_for_removal(id)?;
        }
        fault::point("host-remove-killed");
        let operation = match self.operate(id) {
            Ok(operation) => operation,
            // `--rm` was faster.
            Err(error) if error.class() == Class::NotFound && options.force => return Ok(None),
            Err(error) => return Err(error),
        };
        // It may have been started meanwhile; from here on it cannot be.
        if options.force {
            self.kill_for_removal(id)?;
        } else if self.observe(id).is_ok_and(|seen| seen.alive) {
            return Err(self.still_running(id));
        }
        self.put_away_alone(id, record.as_ref(), options.volumes, operation)
    }

    /// The same for one that does not run and whose operation lock is held.
    pub(super) fn put_away_alone(
        &self,
        id: &ContainerId,
        record: Option<&Record>,
        volumes: bool,
        operation: Lock,
    ) -> Result<Option<PathBuf>> {
        self.collect(id)?;
        fault::point("host-remove-collected");
        self.unmount(id)?;
        fault::point("host-remove-unmounted");
        let hidden = hide(self.paths(), &self.paths().container(id))?;
        drop(operation);
        // Its directory in the trash goes last: whoever clears up after a kill is led by it.
        if let Some(record) = record {
            free(self.paths(), &record.name, id)?;
            fault::point("host-remove-freed");
            self.leave_volumes(id, record, volumes)?;
            fault::point("host-remove-left");
        }
        Ok(hidden)
    }

    /// Counts a removed container out of its volumes; with `remove` its anonymous ones go unless another
    /// container mounts them.
    fn leave_volumes(&self, id: &ContainerId, record: &Record, remove: bool) -> Result<()> {
        if remove {
            for name in &record.anonymous_volumes {
                if !membership::leave(&self.paths().volume(name), id) {
                    continue;
                }
                match volume::remove(self.paths(), name) {
                    // It is gone already, or another container mounts it by its name.
                    Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {}
                    result => result?,
                }
            }
        }
        for mount in &record.mounts {
            if let Ok(name) = mount.name.parse() {
                membership::forget(&self.paths().volume(&name), id);
            }
        }
        Ok(())
    }

    fn still_running(&self, id: &ContainerId) -> Error {
        let state = self
            .observe(id)
            .map_or(State::Running, |seen| seen.status.state);
        let name = self.called(id);
        Error::new(Class::Conflict, format!("cannot remove container {name}"))
            .caused_by(match state {
                // Nobody waits for it: the command that started it was killed.
                State::Created => "it is starting".to_owned(),
                state => format!("it is {state}"),
            })
            .hint(format!("berth stop {name}"))
            .hint(format!("berth rm -f {name}"))
    }

    /// Kills a container so that its restart policy does not bring it back, and waits for its monitor.
    fn kill_for_removal(&self, id: &ContainerId) -> Result<()> {
        // What cannot be read of a damaged one does not keep it from going.
        while self.observe(id).is_ok_and(|seen| seen.alive) {
            let mut connection = match client::connect(&self.directories, id) {
                Ok(connection) => connection,
                // So young that it does not listen yet, or gone meanwhile.
                Err(error) if error.class() == Class::Conflict => {
                    std::thread::yield_now();
                    continue;
                }
                Err(error) => return Err(error),
            };
            let stop = Request::Stop {
                signal: Some(Signal::KILL),
                timeout: Some(0),
                keep: false,
            };
            let ended = connection
                .send(&stop, &[])
                .and_then(|()| exited_within(&mut connection, Some(DYING)));
            match ended {
                Ok(None) => return Err(self.does_not_end(id)),
                // A monitor that goes away while it is told to stop has stopped.
                Err(error) if error.class() != Class::Unavailable => return Err(error),
                _ => {}
            }
            // The lock is held until the very end; the connection closes with it.
            let closed = closed_within(&mut connection);
            if matches!(closed, Ok(false)) && self.observe(id).is_ok_and(|seen| seen.alive) {
                return Err(self.does_not_end(id));
            }
        }
        Ok(())
    }

    /// Removes every container that does not run and that `chosen` chooses, and what killed processes
    /// left; not those of builds that go on.
    ///
    /// # Errors
    /// One of them cannot be removed; the others are.
    pub fn prune(&self, chosen: &dyn Fn(&ContainerSummary) -> bool) -> Result<PruneReport> {
        let mut report = PruneReport::default();
        let mut failure = None;
        for summary in self.list()?.containers {
            let stopped = matches!(summary.state.as_str(), "created" | "exited" | "dead");
            if !stopped || !chosen(&summary) {
                continue;
            }
            let id: ContainerId = summary.id.parse()?;
            // It stands between two moments of a step: the build removes it itself.
            if Builder::of(&self.paths().container(&id)) == Builder::Alive {
                continue;
            }
            let size = self.writable_size(&id);
            match self.remove(
                &id,
                &RemoveOptions {
                    force: false,
                    volumes: true,
                },
            ) {
                Ok(()) => {
                    report.deleted.push(summary.id);
                    report.space_reclaimed = report.space_reclaimed.saturating_add(size);
                }
                // It was started or removed meanwhile.
                Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        self.sweep()?;
        failure.map_or(Ok(report), Err)
    }

    /// Bytes on disk of a container's own layer.
    pub(super) fn writable_size(&self, id: &ContainerId) -> u64 {
        directory_size(&self.paths().container(id).join("upper"))
    }
}

/// Allocated bytes below a directory; what cannot be read counts nothing.
pub(super) fn directory_size(directory: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut size = 0_u64;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        size = size.saturating_add(if metadata.is_dir() {
            directory_size(&entry.path())
        } else {
            metadata.blocks().saturating_mul(512)
        });
    }
    size
}
