//! `berth attach`: joins a running container's terminal.

use berth_contract::{Class, Error};

use super::terminal::{self, DetachKeys, Session, Wishes};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Attach>(
    "attach",
    Group::Run,
    "Join a running container's terminal",
    "[OPTIONS] CONTAINER",
)
.examples("berth attach shell\nberth attach --no-stdin web");

/// The arguments of `attach`.
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// Do not hand standard input to the container
    #[arg(long)]
    no_stdin: bool,

    /// Hand signals to the program; --sig-proxy=false keeps them
    #[arg(long, action = clap::ArgAction::SetFalse)]
    sig_proxy: bool,

    /// The keys that leave the container running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,

    /// The container
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
}

impl Arguments for Attach {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let id = engine.find(&self.container)?;
        let container = engine.inspect(&id, false)?;
        let name = &self.container;
        let refuse = |state: &str, verb: &str| {
            Error::new(
                Class::Conflict,
                format!("cannot attach to {name}, which is {state}"),
            )
            .hint(format!("berth {verb} {name}"))
        };
        match container.state.status.as_str() {
            "running" => {}
            "paused" => return Err(refuse("paused", "unpause")),
            "restarting" => return Err(refuse("restarting", "logs -f")),
            _ => return Err(refuse("not running", "start -ai")),
        }
        let config = &container.config;
        let stdin = !self.no_stdin && config.open_stdin;
        if let Some(refusal) = terminal::refusal(config.tty && stdin) {
            return context.refuse(&refusal);
        }
        let signals = terminal::forwarded()?;
        let streams = terminal::streams(config, stdin);
        let connection = engine.attach(&id, streams)?;
        let wishes = Wishes {
            stdin,
            ends_stdin: config.stdin_once,
            tty: config.tty,
            forwards_signals: self.sig_proxy,
            redraws: true,
            until_removed: false,
            detach_keys: self.detach_keys.unwrap_or_default(),
        };
        let end = Session::new(connection, signals, wishes)?.run()?;
        Ok(end.conclude(context, &format!("berth attach {name} comes back")))
    }
}
