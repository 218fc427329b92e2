//! What is asked of a running container's monitor: stop, kill, pause, resize; and renaming.

use std::os::fd::AsFd as _;
use std::time::Duration;

use berth_contract::{
    Class, ContainerId, ContainerName, Error, Exit, Result, Signal, TerminalSize,
};
use berth_monitor::client::{self, Connection, Incoming};
use berth_monitor::protocol::{Reply, Request};
use berth_sys::error::Explain as _;
use berth_sys::{clock, fault};

use super::Engine;
use super::options::{StartOptions, StopOptions};
use crate::records::{free, reserve};

/// How long a killed container may take to be gone: a process that waits for a device does not die. Docker waits ten
/// seconds, but its monitor may wait as long for a receiver of its log that takes nothing.
pub(super) const DYING: Duration = Duration::from_secs(15);

impl Engine {
    /// Stops a container and returns how it ended; `None` when it did not run.
    ///
    /// # Errors
    /// Its monitor cannot be reached, or it does not even end when it is killed.
    pub fn stop(&self, id: &ContainerId, options: &StopOptions) -> Result<Option<Exit>> {
        // The container must exist even when there is nothing to stop.
        self.record(id)?;
        self.end(id, options, false)
    }

    fn end(&self, id: &ContainerId, options: &StopOptions, keep: bool) -> Result<Option<Exit>> {
        let request = Request::Stop {
            signal: options.signal,
            timeout: options.timeout,
            keep,
        };
        while let Some(mut connection) = self.reach(id)? {
            fault::point("host-stop-connected");
            let ended = connection.send(&request, &[]).and_then(|()| {
                fault::point("host-stop-asked");
                exited_within(&mut connection, self.patience(id, options)?)
            });
            fault::point("host-stop-told");
            match ended {
                // Its monitor went away before it was told: whether something runs has to be asked again.
                Err(error) if error.class() == Class::Unavailable => {}
                Ok(None) => return Err(self.does_not_end(id)),
                ended => return ended,
            }
        }
        Ok(None)
    }

    /// How long a stop may take at most; `None` is for ever, which is what was asked for then.
    fn patience(&self, id: &ContainerId, options: &StopOptions) -> Result<Option<Duration>> {
        let grace = match (options.signal, options.timeout) {
            (Some(Signal::KILL), _) => Some(0),
            (_, Some(seconds)) => u64::try_from(seconds).ok(),
            (_, None) => self.launch(id)?.stop_timeout,
        };
        Ok(grace.map(|seconds| Duration::from_secs(seconds).saturating_add(DYING)))
    }

    /// The error for a container that nothing ends.
    pub(super) fn does_not_end(&self, id: &ContainerId) -> Error {
        let name = self.called(id);
        Error::new(
            Class::Internal,
            format!("container {name} was killed and has not ended"),
        )
        .caused_by(format!(
            "it is still there after {} seconds",
            DYING.as_secs()
        ))
        .hint(format!("berth top {name}"))
    }

    /// A connection to a container's monitor; `None` when the container does not run.
    pub(super) fn reach(&self, id: &ContainerId) -> Result<Option<Connection>> {
        while self.settle(id)?.alive {
            match client::connect(&self.directories, id) {
                // So young that it does not listen yet, or about to be gone: a matter of microseconds.
                Err(error) if error.class() == Class::Conflict => std::thread::yield_now(),
                connected => return connected.map(Some),
            }
        }
        Ok(None)
    }

    /// Stops a container, if it runs, and starts it. One that goes with its end stays this time.
    ///
    /// # Errors
    /// As for [`Engine::stop`] and [`Engine::start`].
    pub fn restart(&self, id: &ContainerId, options: &StopOptions) -> Result<()> {
        self.record(id)?;
        let operation = self.operate(id)?;
        let operation = self.unless_it_goes(id, &self.observe(id)?, operation)?;
        self.end(id, options, true)?;
        fault::point("host-restart-stopped");
        let seen = self.observe(id)?;
        self.start_alone(id, &StartOptions::default(), seen)?;
        drop(operation);
        Ok(())
    }

    /// Sends a signal to a container's first process; SIGKILL is also waited for.
    ///
    /// # Errors
    /// It does not run, or does not even end when it is killed.
    pub fn kill(&self, id: &ContainerId, signal: Signal) -> Result<()> {
        let mut connection = self.ask(id, &Request::Kill { signal })?;
        if signal != Signal::KILL {
            return Ok(());
        }
        // A monitor that is gone has nothing more to tell: the container has ended.
        match connection.send(&Request::Wait { removed: false }, &[]) {
            Err(error) if error.class() == Class::Unavailable => return Ok(()),
            sent => sent?,
        }
        match exited_within(&mut connection, Some(DYING)) {
            Ok(None) => Err(self.does_not_end(id)),
            Err(error) if error.class() != Class::Unavailable => Err(error),
            _ => Ok(()),
        }
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// It does not run, or is frozen already.
    pub fn pause(&self, id: &ContainerId) -> Result<()> {
        self.ask(id, &Request::Pause).map(drop)
    }

    /// Thaws a container.
    ///
    /// # Errors
    /// It is not frozen.
    pub fn unpause(&self, id: &ContainerId) -> Result<()> {
        self.ask(id, &Request::Unpause).map(drop)
    }

    /// Changes the size of a container's terminal.
    ///
    /// # Errors
    /// It does not run, or has no terminal.
    pub fn resize(&self, id: &ContainerId, size: TerminalSize) -> Result<()> {
        self.ask(id, &Request::Resize { size, exec: None })
            .map(drop)
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
        .map(drop)
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

    fn ask(&self, id: &ContainerId, request: &Request) -> Result<Connection> {
        self.record(id)?;
        let Some(mut connection) = self.reach(id)? else {
            return Err(self.not_running(id));
        };
        match connection.ask(request) {
            // It ended while it was asked.
            Err(error) if error.class() == Class::Unavailable && self.reach(id)?.is_none() => {
                Err(self.not_running(id))
            }
            answer => answer.map(|_| connection),
        }
    }
}

/// How the container ended, if that is told within the limit; without one it is waited for.
pub(super) fn exited_within(
    connection: &mut Connection,
    limit: Option<Duration>,
) -> Result<Option<Exit>> {
    let deadline = limit.map(|limit| clock::monotonic().saturating_add(limit));
    loop {
        while let Some(incoming) = connection.next()? {
            match incoming {
                Incoming::Reply(Reply::Exited { exit }, _) => return Ok(Some(exit)),
                Incoming::Reply(Reply::Failed { report }, _) => return Err(report.into()),
                _ => {}
            }
        }
        if !heard_before(connection, deadline)? {
            return Ok(None);
        }
        if !connection.fill()? {
            return Err(Error::new(
                Class::Unavailable,
                "the container's monitor is gone",
            ));
        }
    }
}

/// Whether the monitor lets go of the connection within the time a killed container has.
pub(super) fn closed_within(connection: &mut Connection) -> Result<bool> {
    let deadline = Some(clock::monotonic().saturating_add(DYING));
    loop {
        while connection.next()?.is_some() {}
        if !heard_before(connection, deadline)? {
            return Ok(false);
        }
        if !connection.fill()? {
            return Ok(true);
        }
    }
}

/// Whether something arrived, or the connection closed, before the deadline.
fn heard_before(connection: &Connection, deadline: Option<Duration>) -> Result<bool> {
    let left = deadline.map(|deadline| deadline.saturating_sub(clock::monotonic()));
    berth_sys::fd::wait_readable(connection.as_fd(), left)
        .explain(|| "cannot wait for the container".to_owned())
}
