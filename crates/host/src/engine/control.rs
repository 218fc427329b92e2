//! What is asked of a running container's monitor: stop, kill, pause, resize; and renaming.

use berth_contract::{ContainerId, ContainerName, Exit, Result, Signal, TerminalSize};
use berth_monitor::client;
use berth_monitor::protocol::{Reply, Request};

use super::Engine;
use super::options::{StartOptions, StopOptions};
use crate::records::{free, reserve};

impl Engine {
    /// Stops a container and returns how it ended; `None` when it did not run.
    ///
    /// # Errors
    /// Its monitor cannot be reached.
    pub fn stop(&self, id: &ContainerId, options: &StopOptions) -> Result<Option<Exit>> {
        // The container must exist even when there is nothing to stop.
        let record = self.record(id)?;
        if !self.observe(id)?.alive {
            return Ok(None);
        }
        let request = Request::Stop {
            signal: options.signal,
            timeout: options.timeout,
        };
        let mut connection = client::connect(&self.directories, &record.id)?;
        connection.send(&request, &[])?;
        connection.exited().map(Some)
    }

    /// Stops a container, if it runs, and starts it.
    ///
    /// # Errors
    /// As for [`Engine::stop`] and [`Engine::start`].
    pub fn restart(&self, id: &ContainerId, options: &StopOptions) -> Result<()> {
        if self.record(id)?.host_config.auto_remove {
            return Err(berth_contract::Error::new(
                berth_contract::Class::Conflict,
                format!("cannot restart container {}", id.short()),
            )
            .caused_by("it is removed as soon as it stops (--rm)")
            .hint("make it without --rm"));
        }
        self.stop(id, options)?;
        self.start(id, &StartOptions::default()).map(|_| ())
    }

    /// Sends a signal to a container's first process.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self, id: &ContainerId, signal: Signal) -> Result<()> {
        self.ask(id, &Request::Kill { signal })
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// It does not run, or is frozen already.
    pub fn pause(&self, id: &ContainerId) -> Result<()> {
        self.ask(id, &Request::Pause)
    }

    /// Thaws a container.
    ///
    /// # Errors
    /// It is not frozen.
    pub fn unpause(&self, id: &ContainerId) -> Result<()> {
        self.ask(id, &Request::Unpause)
    }

    /// Changes the size of a container's terminal.
    ///
    /// # Errors
    /// It does not run, or has no terminal.
    pub fn resize(&self, id: &ContainerId, size: TerminalSize) -> Result<()> {
        self.ask(id, &Request::Resize { size, exec: None })
    }

    /// Changes the size of an exec session's terminal.
    ///
    /// # Errors
    /// The session is over, or has no terminal.
    pub fn resize_exec(&self, id: &ContainerId, session: &str, size: TerminalSize) -> Result<()> {
        self.ask(
            id,
            &Request::Resize {
                size,
                exec: Some(session.to_owned()),
            },
        )
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// The name is taken; everything is as before then.
    pub fn rename(&self, id: &ContainerId, name: &ContainerName) -> Result<()> {
        let operation = self.operate(id)?;
        let mut record = self.record(id)?;
        if record.name == *name {
            return Ok(());
        }
        reserve(self.paths(), name, id)?;
        let old = std::mem::replace(&mut record.name, name.clone());
        if let Err(error) = record.write(&self.paths().container(id)) {
            free(self.paths(), name, id)?;
            return Err(error);
        }
        drop(operation);
        free(self.paths(), &old, id)
    }

    fn ask(&self, id: &ContainerId, request: &Request) -> Result<()> {
        self.record(id)?;
        if !self.observe(id)?.alive {
            return Err(self.not_running(id));
        }
        match client::connect(&self.directories, id)?.ask(request)? {
            Reply::Exited { .. } | Reply::Ok | Reply::Removed => Ok(()),
            Reply::Started { .. } | Reply::ExecStarted { .. } | Reply::Failed { .. } => Ok(()),
        }
    }
}
