//! The terminal's end of a container: its streams here, the monitor there.
//!
//! ```text
//!  stdin ──► detach keys ──► Connection ──► guest
//!  stdout, stderr ◄───────── Connection ◄── guest
//!  signals ──► Kill, Resize ──►
//! ```

mod detach;
mod exec;
mod input;
mod output;
mod raw;
mod session;
mod signals;

use std::io;
use std::time::Duration;

use berth_contract::{Class, Error, Exit, Result, Signal, TerminalSize};
use berth_host::api::types::ContainerConfig;
use berth_host::engine::Streams;
use berth_sys::epoll::Poller;
use berth_sys::terminal;

use super::Context;

pub(crate) use detach::DetachKeys;
pub(crate) use exec::{ExecSession, Pipes};
pub(crate) use session::{Session, Wishes};
pub(crate) use signals::forwarded;

/// How an attached client ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The guest has ended.
    Exited(Exit),
    /// The user pressed the detach keys.
    Detached,
    /// Nobody reads the output any more.
    Closed,
    /// A signal that is not forwarded.
    Signalled(Signal),
}

impl End {
    /// Says how to come back, when the user left; gives the client's own exit status.
    pub(crate) fn conclude(&self, context: &Context, hint: &str) -> u8 {
        if *self == Self::Detached {
            // The cursor stands where the guest left it.
            context.screen.say(&format!("\ndetached; {hint}"));
        }
        self.status()
    }

    fn status(&self) -> u8 {
        match self {
            Self::Exited(exit) => exit.status(),
            Self::Detached => 0,
            // As a program that SIGPIPE (13) ended, which a pipeline takes for no failure.
            Self::Closed => 128 + 13,
            Self::Signalled(signal) => 128_u8.saturating_add(signal.number()),
        }
    }
}

/// The terminal's size: that of standard output, else of standard input.
pub(crate) fn size() -> Option<TerminalSize> {
    let known =
        |size: io::Result<TerminalSize>| size.ok().filter(|size| size.rows > 0 && size.columns > 0);
    known(terminal::size(io::stdout())).or_else(|| known(terminal::size(io::stdin())))
}

/// Why a container's terminal cannot be fed from here, if it cannot: as in Docker, a terminal is fed from
/// a terminal, because the program waits for keys that nobody can press.
pub(crate) fn refusal(feeds_terminal: bool) -> Option<Error> {
    let refused = feeds_terminal && !terminal::is_terminal(io::stdin());
    refused.then(|| {
        Error::new(Class::Invalid, "the input device is not a TTY")
            .hint("leave -t away to feed a program from a pipe or a file")
    })
}

/// What can be read now, waited for only if there is nothing else to do.
fn readable(poller: &mut Poller, may_wait: bool) -> Result<impl Fn(u64) -> bool + use<>> {
    let timeout = if may_wait { None } else { Some(Duration::ZERO) };
    let events = poller.wait(timeout).map_err(broken)?;
    let tokens = events.filter(|event| event.readable);
    let tokens: Vec<u64> = tokens.map(|event| event.token).collect();
    Ok(move |token| tokens.contains(&token))
}

/// The streams of an attached client: a terminal has one output.
pub(crate) fn streams(config: &ContainerConfig, stdin: bool) -> Streams {
    Streams {
        stdin,
        stdout: true,
        stderr: !config.tty,
    }
}

fn broken(error: io::Error) -> Error {
    Error::new(Class::Internal, "cannot wait for the container").caused_by(error)
}
