//! `RUN`: a container over the stage's layers, whose own layer becomes the next one.

use std::path::{Path, PathBuf};

use berth_contract::{Class, ContainerId, Error, Exit, Result};
use berth_image::{Merged, urls_without_logins};
use berth_monitor::client::{Connection, Incoming};
use berth_monitor::protocol::Reply;
use berth_sys::error::Explain as _;
use berth_sys::file::Directory;

use super::deletion::Deletion;
use super::report::Step;
use super::request::Cancel;
use super::state::State;
use super::stubs::Stubs;
use crate::api::types::{ContainerConfig, CreateRequest, HostConfig};
use crate::engine::{CreateOptions, Engine, LayerStack, RemoveOptions, StartOptions, Streams};

/// How much of a command's output is kept for the message of its failure.
const TAIL: usize = 8 << 10;

/// One command to execute.
#[derive(Debug)]
pub(super) struct Command {
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    /// Its environment.
    pub(super) environment: Vec<String>,
    /// Its limits, network and mounts.
    pub(super) host: HostConfig,
    /// What the host is called for it; empty for the container's own name.
    pub(super) hostname: String,
    /// A file in memory with its secret variables.
    pub(super) secrets: Option<PathBuf>,
    /// The paths things are mounted at.
    pub(super) targets: Vec<PathBuf>,
}

/// What commands are executed with.
pub(super) struct Runner<'a> {
    pub(super) engine: &'a Engine,
    pub(super) cancel: &'a Cancel,
    pub(super) step: Step<'a>,
    /// What the build holds locked.
    pub(super) builder: &'a Path,
    /// What deletes the container's directory.
    pub(super) deletion: &'a Deletion,
    /// What the failure tells to do.
    pub(super) hint: Option<&'a str>,
}

impl Runner<'_> {
    /// Executes a command over the layers and hands how it ended and what it wrote to `take`: a directory that
    /// is gone afterwards unless it was moved away.
    ///
    /// # Errors
    /// What `take` says, or the container cannot be made or removed.
    pub(super) fn run<T>(
        &self,
        command: &Command,
        state: &State,
        layers: Vec<PathBuf>,
        take: impl FnOnce(Result<()>, &Path) -> Result<T>,
    ) -> Result<T> {
        if self.cancel.is_over() {
            return Err(cancelled());
        }
        let lower = Merged::open(&layers)?;
        let targets = command.targets.iter().map(PathBuf::as_path);
        let stubs = Stubs::before(&lower, targets).explain(|| "cannot look at the stage".into())?;
        let request = request(command, state);
        let stack = LayerStack {
            layers,
            platform: state.platform.clone(),
            environment: command.secrets.clone(),
            builder: self.builder.to_owned(),
        };
        let options = CreateOptions {
            stack: Some(&stack),
            ..CreateOptions::default()
        };
        let created = self.engine.create(&request, None, &options)?;
        let id = created.id;
        self.cancel.begin(&id);
        let upper = self.engine.paths().container(&id).join("upper");
        let ended = self.execute(&id, &command.words).and_then(|()| {
            let directory =
                Directory::open(&upper).explain(|| "cannot open the new layer".into())?;
            stubs
                .remove(&directory, &lower)
                .explain(|| "cannot tidy the new layer".into())
        });
        let result = take(ended, &upper);
        self.cancel.end(&id);
        let removal = RemoveOptions {
            force: true,
            volumes: true,
        };
        let hidden = self.engine.put_away(&id, &removal);
        let removed = hidden.map(|hidden| hidden.map(|directory| self.deletion.begin(directory)));
        let value = result?;
        removed?;
        Ok(value)
    }

    fn execute(&self, id: &ContainerId, words: &[String]) -> Result<()> {
        let streams = Streams {
            stdin: false,
            stdout: true,
            stderr: true,
        };
        let started = self.engine.start(
            id,
            &StartOptions {
                attach: Some(streams),
                size: None,
            },
        );
        let shown = urls_without_logins(&words.join(" "));
        let mut connection = match started {
            Ok(started) => started.connection,
            Err(_) if self.cancel.is_over() => return Err(cancelled()),
            Err(error) => return Err(error.context(format!("process {shown:?} cannot be started"))),
        };
        if self.cancel.is_over() {
            self.engine.kill(id, berth_contract::Signal::KILL).ok();
        }
        let mut tail = Vec::new();
        let exit = self.follow(&mut connection, &mut tail)?;
        if self.cancel.is_over() {
            return Err(cancelled());
        }
        match exit {
            Exit::Code { code: 0 } => Ok(()),
            exit => {
                let failure = failure(&shown, &exit, &tail);
                Err(match self.hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                })
            }
        }
    }

    fn follow(&self, connection: &mut Connection, tail: &mut Vec<u8>) -> Result<Exit> {
        loop {
            let (bytes, error) = match connection.receive()? {
                Some(Incoming::Stdout(bytes)) => (bytes, false),
                Some(Incoming::Stderr(bytes)) => (bytes, true),
                Some(Incoming::Reply(Reply::Exited { exit }, _)) => return Ok(exit),
                Some(Incoming::Reply(..)) => continue,
                None => {
                    return Err(Error::new(
                        Class::Unavailable,
                        "the container's monitor is gone",
                    ));
                }
            };
            self.step.output(bytes, error);
            tail.extend_from_slice(bytes);
            if tail.len() > 2 * TAIL {
                tail.drain(..tail.len() - TAIL);
            }
        }
    }
}

/// The failure of a build that was asked to end.
pub(super) fn cancelled() -> Error {
    Error::new(Class::Unavailable, "the build was cancelled")
}

fn failure(shown: &str, exit: &Exit, tail: &[u8]) -> Error {
    let ended = match exit {
        Exit::Code { code } => format!("exit code: {code}"),
        Exit::OutOfMemory => "exit code: 137 (it was out of memory)".to_owned(),
        other => {
            let error = other.error();
            let status = other.status();
            if error.is_empty() {
                format!("exit code: {status}")
            } else {
                format!("exit code: {status} ({error})")
            }
        }
    };
    let text = String::from_utf8_lossy(tail);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(10)..];
    let mut cause = ended;
    for line in last {
        cause.push('\n');
        cause.push_str(line);
    }
    Error::new(
        Class::Invalid,
        format!("process {shown:?} did not complete successfully"),
    )
    .caused_by(cause)
}

/// The container of a command.
pub(super) fn request(command: &Command, state: &State) -> CreateRequest {
    let working_dir = if state.config.working_dir.is_empty() {
        "/".to_owned()
    } else {
        state.config.working_dir.clone()
    };
    let mut host = command.host.clone();
    // What it writes is shown as it comes; nothing is kept beside it.
    host.log_config.kind = "none".to_owned();
    CreateRequest {
        config: ContainerConfig {
            hostname: command.hostname.clone(),
            user: state.config.user.clone(),
            env: command.environment.clone(),
            cmd: Some(command.words.clone()),
            working_dir,
            attach_stdout: true,
            attach_stderr: true,
            ..ContainerConfig::default()
        },
        host_config: host,
        ..CreateRequest::default()
    }
}
