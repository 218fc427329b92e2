//! Where a command failed, kept so that a person can look around before the build ends.
//!
//! What the command wrote becomes the topmost layer below the shell's container: it is moved out of the container
//! that failed, into the build's own scratch, which is garbage as soon as the build has ended, however it ends.

use std::path::{Path, PathBuf};

use berth_contract::{ContainerId, Error, Result, TerminalSize};
use berth_monitor::client::Connection;

use super::request::Cancel;
use super::run::{Command, request};
use super::run_step::Held;
use super::state::State;
use crate::engine::{CreateOptions, Engine, LayerStack, RemoveOptions, StartOptions, Streams};

/// What is kept of a command that failed.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) command: Command,
    /// Topmost first: what the command wrote, then the stage's.
    pub(super) layers: Vec<PathBuf>,
    /// What its mounts show.
    pub(super) _held: Held,
}

/// Where a command failed.
pub struct FailedPlace<'a> {
    pub(super) engine: &'a Engine,
    pub(super) cancel: &'a Cancel,
    /// What the build holds locked.
    pub(super) builder: &'a Path,
    pub(super) state: &'a State,
    pub(super) remains: &'a Remains,
    pub(super) error: &'a Error,
}

impl std::fmt::Debug for FailedPlace<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("FailedPlace");
        shown.field("remains", self.remains).finish_non_exhaustive()
    }
}

impl FailedPlace<'_> {
    /// Why the build will end.
    #[must_use]
    pub fn error(&self) -> &Error {
        self.error
    }

    /// The shell that is started there: that of `SHELL`, if it can be started by its name alone.
    #[must_use]
    pub fn shell(&self) -> &str {
        let own = self.state.config.shell.first();
        own.map_or("/bin/sh", String::as_str)
    }

    /// Starts the shell on a terminal and hands its connection to `attach`; the container is gone afterwards.
    ///
    /// # Errors
    /// There is no shell, or it cannot be started.
    pub fn enter<T>(
        &self,
        size: Option<TerminalSize>,
        attach: impl FnOnce(Connection) -> Result<T>,
    ) -> Result<T> {
        let mut wanted = request(&self.remains.command, self.state);
        wanted.config.cmd = Some(vec![self.shell().to_owned()]);
        wanted.config.tty = true;
        wanted.config.attach_stdin = true;
        wanted.config.open_stdin = true;
        wanted.config.stdin_once = true;
        wanted.config.attach_stderr = false;
        let stack = LayerStack {
            layers: self.remains.layers.clone(),
            platform: self.state.platform.clone(),
            environment: self.remains.command.secrets.clone(),
            builder: self.builder.to_owned(),
        };
        let options = CreateOptions {
            stack: Some(&stack),
            ..CreateOptions::default()
        };
        let id = self.engine.create(&wanted, None, &options)?.id;
        self.cancel.begin(&id);
        let entered = self.attached(&id, size, attach);
        self.cancel.end(&id);
        let removal = RemoveOptions {
            force: true,
            volumes: true,
        };
        let removed = self.engine.remove(&id, &removal);
        let value = entered?;
        removed?;
        Ok(value)
    }

    fn attached<T>(
        &self,
        id: &ContainerId,
        size: Option<TerminalSize>,
        attach: impl FnOnce(Connection) -> Result<T>,
    ) -> Result<T> {
        let streams = Streams {
            stdin: true,
            stdout: true,
            stderr: false,
        };
        let options = StartOptions {
            attach: Some(streams),
            size,
        };
        let started = self.engine.start(id, &options)?;
        // Cancelled between its entry in the list and its start: nobody has killed it.
        if self.cancel.is_cancelled() {
            self.engine.kill(id, berth_contract::Signal::KILL).ok();
        }
        attach(started.connection)
    }
}
