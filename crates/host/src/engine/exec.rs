//! A second process in a running container: the first one's description with what the caller changes.

use berth_contract::oci::{ConsoleSize, Process, Spec};
use berth_contract::{Class, ContainerId, Error, Result, Rootfs, State};
use berth_image::Merged;
use berth_linux_runtime::defaults;
use berth_monitor::launch::{RuntimeKind, SPEC_FILE};
use berth_monitor::protocol::{Reply, Request};
use berth_sys::error::Explain as _;
use berth_sys::fault;
use berth_wasm_runtime::compile_ahead;

use super::Engine;
use super::create::read_identity;
use super::options::{ExecRequest, ExecSession, ExecStreams};
use super::spec::{overlay, user, working_directory};
use super::start::lowers;
use crate::records::read_document;

impl Engine {
    /// Runs a second process in a container and returns as soon as it runs.
    ///
    /// # Errors
    /// The container does not run or is paused; class `CommandNotFound` and `CannotInvoke` for the
    /// program itself.
    pub fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
        streams: ExecStreams,
    ) -> Result<ExecSession> {
        let seen = self.observe(id)?;
        if !seen.alive {
            return Err(self.not_running(id));
        }
        if seen.status.state == State::Paused {
            let name = self.called(id);
            return Err(
                Error::new(Class::Conflict, format!("container {name} is paused"))
                    .hint(format!("berth unpause {name}")),
            );
        }
        let (process, runtime) = self.exec_process(id, request, &streams)?;
        if runtime == RuntimeKind::Wasm {
            compile_ahead(&self.wasm_cache()?, seen.status.pid, &process)?;
            fault::point("host-exec-compiled");
        }
        let bytes = berth_sys::random::bytes().explain(|| "cannot choose an id".to_owned())?;
        let session = ContainerId::from_random(bytes).to_string();
        let mut connection = self.reach(id)?.ok_or_else(|| self.not_running(id))?;
        let ask = Request::Exec {
            id: session.clone(),
            process: Box::new(process),
            detach: matches!(streams, ExecStreams::Detached),
        };
        let files: Vec<_> = match &streams {
            ExecStreams::Files(files) => files.iter().map(std::os::fd::AsFd::as_fd).collect(),
            ExecStreams::Detached | ExecStreams::Terminal(_) => Vec::new(),
        };
        let sent = connection.send(&ask, &files);
        // Ours are closed here: the reader of a pipe would never see its end otherwise.
        drop(streams);
        let reply = match sent.and_then(|()| connection.reply()) {
            // It ended while it was asked.
            Err(error) if error.class() == Class::Unavailable && self.reach(id)?.is_none() => {
                return Err(self.not_running(id));
            }
            reply => reply?,
        };
        match reply {
            (Reply::ExecStarted { pid }, files) => {
                let terminal = files.into_iter().next();
                Ok(ExecSession {
                    id: session,
                    pid,
                    connection,
                    terminal,
                })
            }
            (other, _) => Err(Error::new(
                Class::Internal,
                "the container's monitor does not speak this protocol",
            )
            .caused_by(format!("{other:?} in place of the outcome of exec"))),
        }
    }

    fn exec_process(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
        streams: &ExecStreams,
    ) -> Result<(Process, RuntimeKind)> {
        let container = self.paths().container(id);
        let spec: Spec =
            read_document(&container.join(SPEC_FILE))?.ok_or_else(|| super::no_such(id))?;
        let mut process = spec.process.unwrap_or_default();
        let launch = self.launch(id)?;
        if request.command.is_empty() && launch.runtime != RuntimeKind::Wasm {
            return Err(Error::new(Class::Invalid, "no command to execute")
                .hint("berth exec CONTAINER COMMAND"));
        }
        let base = process.env.clone().unwrap_or_default();
        let terminal = matches!(streams, ExecStreams::Terminal(_));
        let mut over = request.env.clone();
        if terminal
            && !base
                .iter()
                .chain(&over)
                .any(|variable| variable.starts_with("TERM="))
        {
            over.insert(0, "TERM=xterm".to_owned());
        }
        let mut env = overlay(base, &over);
        if let Some(text) = &request.user {
            // As the container sees its accounts now: its own layer is on top.
            let mut layers = lowers(&launch);
            if let Rootfs::Overlay { upper, .. } = &launch.rootfs {
                layers.insert(0, upper.clone());
            }
            let record = self.record(id)?;
            let who = read_identity(&Merged::open(&layers)?, text, &record.host_config.group_add)?;
            if !request
                .env
                .iter()
                .any(|variable| variable.starts_with("HOME="))
            {
                env = overlay(env, &[format!("HOME={}", who.home)]);
            }
            process.user = user(&who, process.user.umask);
        }
        let uid = process.user.uid;
        let held = if request.privileged {
            defaults::all_capabilities()
        } else {
            let known = process
                .capabilities
                .as_ref()
                .and_then(|sets| sets.bounding.clone());
            known.unwrap_or_default()
        };
        if request.privileged {
            process.no_new_privileges = Some(false);
        }
        process.capabilities = Some(super::spec::capabilities_for(&held, uid));
        if let Some(directory) = &request.working_dir {
            process.cwd = working_directory(directory)?;
        }
        process.args = Some(request.command.clone());
        process.env = Some(env);
        process.terminal = Some(terminal);
        process.console_size = None;
        if let ExecStreams::Terminal(size) = streams {
            process.console_size = Some(ConsoleSize {
                height: u64::from(size.rows),
                width: u64::from(size.columns),
            });
        }
        Ok((process, launch.runtime))
    }
}
