//! What is asked of a running container's monitor: stop, kill, pause, resize; and renaming.

use berth_contract::{Class, ContainerId, ContainerName, Exit, Result, Signal, TerminalSize};
use berth_monitor::client::{self, Connection};
use berth_monitor::protocol::Request;
use berth_sys::fault;

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
        self.record(id)?;
        let request = Request::Stop {
            signal: options.signal,
            timeout: options.timeout,
        };
        while let Some(mut connection) = self.reach(id)? {
            fault::point("host-stop-connected");
            let ended = connection.send(&request, &[]).and_then(|()| {
                fault::point("host-stop-asked");
                connection.exited()
            });
            fault::point("host-stop-told");
            match ended {
                // Its monitor went away before it was told: whether something runs has to be asked again.
                Err(error) if error.class() == Class::Unavailable => {}
                ended => return ended.map(Some),
            }
        }
        Ok(None)
    }

    /// A connection to a container's monitor; `None` when the container does not run.
    pub(super) fn reach(&self, id: &ContainerId) -> Result<Option<Connection>> {
        while self.observe(id)?.alive {
            match client::connect(&self.directories, id) {
                // So young that it does not listen yet, or about to be gone: a matter of microseconds.
                Err(error) if error.class() == Class::Conflict => std::thread::yield_now(),
                connected => return connected.map(Some),
            }
        }
        Ok(None)
    }

    /// Stops a container, if it runs, and starts it.
    ///
    /// # Errors
    /// As for [`Engine::stop`] and [`Engine::start`].
    pub fn restart(&self, id: &ContainerId, options: &StopOptions) -> Result<()> {
        if self.record(id)?.host_config.auto_remove {
            return Err(berth_contract::Error::new(
                Class::Conflict,
                format!("cannot restart container {}", id.short()),
            )
            .caused_by("it is removed as soon as it stops (--rm)")
            .hint("make it without --rm"));
        }
        self.stop(id, options)?;
        fault::point("host-restart-stopped");
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
        if let Err(error) = record.rewrite(&self.paths().container(id)) {
            free(self.paths(), name, id)?;
            return Err(error);
        }
        fault::point("host-rename-recorded");
        drop(operation);
        free(self.paths(), &old, id)?;
        fault::point("host-rename-freed");
        Ok(())
    }

    fn ask(&self, id: &ContainerId, request: &Request) -> Result<()> {
        self.record(id)?;
        let Some(mut connection) = self.reach(id)? else {
            return Err(self.not_running(id));
        };
        match connection.ask(request) {
            // It ended while it was asked.
            Err(error) if error.class() == Class::Unavailable => Err(self.not_running(id)),
            answer => answer.map(drop),
        }
    }
}
