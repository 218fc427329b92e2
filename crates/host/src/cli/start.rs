//! `berth start`: starts containers that exist.

use berth_contract::{Class, ContainerId, Error, Result};
use berth_host::Engine;
use berth_host::engine::{StartOptions, Streams};

use super::shared::{chosen, each, needs_container};
use super::terminal::{self, DetachKeys, Session, Wishes};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Start>(
    "start",
    Group::Run,
    "Start containers that do not run",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.examples("berth start web\nberth start -ai shell")
.refusing(&[
    ("--checkpoint", "there are no checkpoints; leave it away"),
    (
        "--checkpoint-dir",
        "there are no checkpoints; leave it away",
    ),
])
.failing_by_class();

/// The arguments of `start`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Start {
    /// Stay at the container's output, and hand signals to it
    #[arg(short, long)]
    attach: bool,

    /// Hand standard input to the container
    #[arg(short, long)]
    interactive: bool,

    /// Start every container that does not run
    #[arg(long)]
    all: bool,

    /// Start the containers that match, as berth ps has it (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// The keys that leave the container running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,

    /// Hand signals to the program; --sig-proxy=false keeps them
    #[arg(long, action = clap::ArgAction::SetFalse)]
    sig_proxy: bool,

    /// The containers
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,
}

impl Arguments for Start {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let mut names = self.containers.clone();
        if self.all || !self.filter.is_empty() {
            let states = &["created", "exited"];
            names = chosen(&engine, self.all, &self.filter, &names, states)?;
        } else if names.is_empty() {
            return Err(needs_container("start"));
        }
        if self.attach || self.interactive {
            let [name] = names.as_slice() else {
                return Err(Error::new(
                    Class::Invalid,
                    "cannot stay at several containers at once",
                )
                .hint("leave -a and -i away, or name one container"));
            };
            return self.stay(context, &engine, &engine.find(name)?);
        }
        let mut failed = 0;
        let status = each(context, &engine, &names, |id| {
            let started = start(&engine, id, None);
            failed = started
                .as_ref()
                .err()
                .map_or(failed, |error| error.class().exit_code());
            started
        })?;
        // One container alone: the class of its failure is the status, as for `run`.
        Ok(if names.len() == 1 && failed != 0 {
            failed
        } else {
            status
        })
    }
}

fn start(engine: &Engine, id: &ContainerId, attach: Option<Streams>) -> Result<()> {
    engine
        .start(
            id,
            &StartOptions {
                attach,
                size: terminal::size(),
            },
        )
        .map(drop)
}

impl Start {
    fn stay(self, context: &Context, engine: &Engine, id: &ContainerId) -> Outcome {
        let container = engine.inspect(id, false)?;
        let config = &container.config;
        let stdin = self.interactive && config.open_stdin;
        if let Some(refusal) = terminal::refusal(config.tty && stdin) {
            return context.refuse(&refusal);
        }
        let signals = terminal::forwarded()?;
        let streams = terminal::streams(config, stdin);
        let size = if config.tty { terminal::size() } else { None };
        let attach = Some(streams);
        let connection = engine.start(id, &StartOptions { attach, size })?.connection;
        let wishes = Wishes {
            stdin,
            ends_stdin: config.stdin_once,
            tty: config.tty,
            forwards_signals: self.sig_proxy,
            redraws: container.state.running,
            until_removed: container.host_config.auto_remove,
            detach_keys: self.detach_keys.unwrap_or_default(),
        };
        let end = Session::new(connection, signals, wishes)?.run()?;
        let name = container.name.trim_start_matches('/');
        Ok(end.conclude(context, &format!("berth attach {name} comes back")))
    }
}
