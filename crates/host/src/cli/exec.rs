//! `berth exec`: runs a second process in a running container.

use std::path::PathBuf;

use berth_contract::{Class, Error, TerminalSize};
use berth_host::engine::{ExecRequest, ExecStreams};

use super::parse::environment::{self, Entry};
use super::request::variables;
use super::shared::id_in;
use super::terminal::{self, DetachKeys, ExecSession, Pipes};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Exec>(
    "exec",
    Group::Run,
    "Run a second process in a running container",
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
)
.examples("berth exec -it web sh\nberth exec web cat /etc/hosts\nberth exec -u 0 -e A=1 web env")
.refusing(&[
    ("--preserve-fds", "only standard streams are passed on"),
    ("--preserve-fd", "only standard streams are passed on"),
    (
        "--latest",
        "name the container: berth exec $(berth ps -lq) …",
    ),
    ("-l", "name the container: berth exec $(berth ps -lq) …"),
])
.failing_by_program();

/// The size of a terminal that nobody looks at.
const UNSEEN: TerminalSize = TerminalSize {
    rows: 24,
    columns: 80,
};

/// The arguments of `exec`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Exec {
    /// Leave the process running and print nothing
    #[arg(short, long)]
    detach: bool,

    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,

    /// Give the process a terminal
    #[arg(short, long)]
    tty: bool,

    /// Run as this user: NAME|UID[:GROUP|GID]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// The working directory in the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// Set a variable; a bare NAME takes its value from your environment (can be repeated)
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = environment::entry)]
    env: Vec<Entry>,

    /// Read variables from a file, one a line (can be repeated)
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Read the container's id from this file
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,

    /// Give all capabilities
    #[arg(long)]
    privileged: bool,

    /// The keys that leave the process running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,

    /// The container, and what to run in it
    #[arg(
        value_name = "CONTAINER COMMAND [ARG...]",
        required_unless_present = "cidfile",
        num_args = 1..,
        trailing_var_arg = true,
        hide = true
    )]
    words: Vec<String>,
}

impl Arguments for Exec {
    fn run(self, context: &Context) -> Outcome {
        if let Some(refusal) = terminal::refusal(self.tty && self.interactive && !self.detach) {
            return context.refuse(&refusal);
        }
        let engine = context.engine()?;
        let mut words = self.words.into_iter();
        let name = match &self.cidfile {
            Some(path) => id_in("--cidfile", path)?,
            None => words.next().unwrap_or_default(),
        };
        let id = engine.find(&name)?;
        let mut env = variables(&self.env_file, self.env, &context.environment)?;
        // Nothing of the container's environment can be taken away here, as in Docker.
        env.retain(|variable| variable.contains('='));
        let request = ExecRequest {
            command: words.collect(),
            env,
            user: self.user,
            working_dir: self.workdir,
            privileged: self.privileged,
        };
        if self.detach {
            engine.exec(&id, &request, ExecStreams::Detached)?;
            return Ok(0);
        }
        let signals = terminal::forwarded()?;
        let (pipes, streams) = if self.tty {
            (
                None,
                ExecStreams::Terminal(terminal::size().unwrap_or(UNSEEN)),
            )
        } else {
            let (pipes, theirs) = Pipes::make(self.interactive)?;
            (Some(pipes), ExecStreams::Files(theirs))
        };
        let session = engine.exec(&id, &request, streams)?;
        let pipes = match (pipes, session.terminal) {
            (Some(pipes), _) => pipes,
            (None, Some(master)) => Pipes::of_terminal(master, self.interactive)?,
            (None, None) => return Err(no_terminal()),
        };
        let keys = self.detach_keys.unwrap_or_default();
        let end = ExecSession::new(session.connection, signals, pipes, keys)?.run()?;
        Ok(end.conclude(context, "the process keeps running"))
    }
}

fn no_terminal() -> Error {
    Error::new(Class::Internal, "the process was given no terminal")
        .caused_by("the monitor sent none")
}
