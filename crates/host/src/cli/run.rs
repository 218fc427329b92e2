//! `berth run`: makes a container, starts it, and stays at its terminal.

use berth_contract::{ContainerId, ContainerName, Result, Signal};
use berth_host::Engine;
use berth_host::api::types::ContainerConfig;
use berth_host::engine::{RemoveOptions, StartOptions, Streams};

use super::create::make;
use super::request::{CreateFlags, REFUSED, conflict};
use super::terminal::{self, DetachKeys, End, Session, Wishes};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Run>(
    "run",
    Group::Run,
    "Make a container and run it",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
)
.examples(
    "berth run hello\n\
     berth run -it --rm busybox sh\n\
     berth run -d --name web -p 8080:80 -v ./site:/usr/share/nginx/html:ro nginx\n\
     echo hello | berth run -i --rm busybox cat",
)
.refusing(REFUSED)
.failing_by_class();

/// The arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Leave the container running and print its id
    #[arg(short, long)]
    detach: bool,

    /// The keys that leave the container running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,

    /// Hand signals to the program; --sig-proxy=false keeps them
    #[arg(long, action = clap::ArgAction::SetFalse)]
    sig_proxy: bool,

    #[command(flatten)]
    flags: CreateFlags,
}

impl Arguments for Run {
    fn run(self, context: &Context) -> Outcome {
        if self.detach && self.flags.attaches() {
            return Err(conflict(
                "--detach",
                "--attach",
                "a container runs here or in the background",
            ));
        }
        let mut prepared = self.flags.prepare(context)?;
        let config = &mut prepared.request.config;
        if self.detach {
            (
                config.attach_stdin,
                config.attach_stdout,
                config.attach_stderr,
            ) = (false, false, false);
            config.stdin_once = false;
        }
        if let Some(refusal) = terminal::refusal(config.tty && config.attach_stdin && !self.detach)
        {
            return context.refuse(&refusal);
        }
        let engine = context.engine()?;
        let created = make(context, &engine, &prepared)?;
        context.debug(|| format!("made container {} ({})", created.name, created.id));
        let container = Container {
            engine: &engine,
            id: &created.id,
            name: &created.name,
            config: &prepared.request.config,
            auto_remove: prepared.request.host_config.auto_remove,
        };
        if self.detach {
            container.in_background(context)
        } else {
            container.here(
                context,
                self.sig_proxy,
                self.detach_keys.unwrap_or_default(),
            )
        }
    }
}

/// A container that was just made for this command.
struct Container<'run> {
    engine: &'run Engine,
    id: &'run ContainerId,
    name: &'run ContainerName,
    config: &'run ContainerConfig,
    auto_remove: bool,
}

impl Container<'_> {
    fn in_background(&self, context: &Context) -> Outcome {
        self.start(None)?;
        context.screen.data(&format!("{}\n", self.id))?;
        Ok(0)
    }

    fn here(&self, context: &Context, forwards_signals: bool, detach_keys: DetachKeys) -> Outcome {
        // From here on a signal is the guest's: taken before it runs, handed on once it does.
        let signals = terminal::forwarded()?;
        let config = self.config;
        let streams = Streams {
            stdin: config.attach_stdin && config.open_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr && !config.tty,
        };
        if !config.attach_stdout && !config.attach_stderr {
            context.screen.data(&format!("{}\n", self.id))?;
        }
        let started = self.start(Some(streams))?;
        context.debug(|| format!("process {} runs", started.pid));
        let wishes = Wishes {
            stdin: streams.stdin,
            ends_stdin: config.stdin_once,
            tty: config.tty,
            forwards_signals,
            redraws: false,
            until_removed: self.auto_remove,
            detach_keys,
        };
        let end = Session::new(started.connection, signals, wishes)?.run()?;
        if end == End::Closed && self.auto_remove {
            // As a program of the host, which SIGPIPE ends when its reader has left: nobody can join a
            // container that is only there for this command, and `run --rm … | head` must not leave one
            // that writes for ever. Process 1 would not receive SIGPIPE itself.
            self.engine.kill(self.id, Signal::KILL).ok();
        }
        let hint = format!("berth attach {} comes back", self.name);
        Ok(end.conclude(context, &hint))
    }

    fn start(&self, attach: Option<Streams>) -> Result<berth_host::engine::Started> {
        let size = if self.config.tty {
            terminal::size()
        } else {
            None
        };
        let started = self.engine.start(self.id, &StartOptions { attach, size });
        if started.is_err() {
            self.clean_up();
        }
        started
    }

    /// Removes a container that never started, when it was to be removed anyway.
    fn clean_up(&self) {
        if self.auto_remove {
            // Its monitor may have removed it already.
            self.engine
                .remove(
                    self.id,
                    &RemoveOptions {
                        force: true,
                        volumes: true,
                    },
                )
                .ok();
        }
    }
}
