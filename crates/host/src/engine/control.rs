//! What is asked of a running container's monitor: stop, kill, pause, resize; and renaming.

use std::time::Duration;

use berth_contract::{
    Class, ContainerId, ContainerName, Error, Exit, Result, Signal, TerminalSize,
};
use berth_monitor::client::{self, Connection, Incoming};
use berth_monitor::protocol::Request;
use berth_sys::epoll::{Interest, Poller};
use berth_sys::error::Explain as _;
use berth_sys::{clock, fault};

use super::Engine;
use super::options::{StartOptions, StopOptions};
use crate::records::{free, reserve};

/// How long a killed container may take to be gone, as in Docker.
const DYING: Duration = Duration::from_secs(10);

impl Engine {
    /// Stops a container and returns how it ended; `None` when it did not run.
    ///
    /// # Errors
    /// Its monitor cannot be reached.
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
        self.end(id, options, true)?;
        fault::point("host-restart-stopped");
        self.start_alone(id, &StartOptions::default())?;
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
        if ends_within(&mut connection, DYING)? {
            return Ok(());
        }
        let name = self.called(id);
        Err(Error::new(
            Class::Internal,
            format!("container {name} was killed and has not ended"),
        )
        .caused_by(format!(
            "it is still there after {} seconds",
            DYING.as_secs()
        ))
        .hint(format!("berth top {name}")))
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
            Err(error) if error.class() == Class::Unavailable => Err(self.not_running(id)),
            answer => answer.map(|_| connection),
        }
    }
}

/// Whether the end that was asked for is told in time.
fn ends_within(connection: &mut Connection, limit: Duration) -> Result<bool> {
    let cannot = || "cannot wait for the container".to_owned();
    let mut poller = Poller::new().explain(cannot)?;
    poller
        .add(&*connection, 0, Interest::READ)
        .explain(cannot)?;
    let deadline = clock::monotonic() + limit;
    loop {
        while let Some(incoming) = connection.next()? {
            if matches!(incoming, Incoming::Reply(..)) {
                return Ok(true);
            }
        }
        let left = deadline.saturating_sub(clock::monotonic());
        if left.is_zero() {
            return Ok(false);
        }
        poller.wait(Some(left)).explain(cannot)?.for_each(drop);
        if !connection.fill()? {
            return Ok(true);
        }
    }
}
