//! What a supervisor and its guest say to each other while the guest prepares itself.
//!
//! ```text
//! supervisor                     guest
//!     │ ── Placed ────────────────► │   with a user namespace only: ids are mapped, cgroup entered
//!     │ ◄──────────── Terminal+fd ─ │   the pty master, with a terminal only
//!     │ ◄─────────────── Furnished ─ │   with hooks only: its tree is made
//!     │ ── Proceed ───────────────► │   they have run: enter the root
//!     │ ◄──────────────── Prepared ─ │
//!     │ ── Go + filter ───────────► │   load the filter, execute
//!     │ ◄──────────── Listener+fd ─ │   of a filter that another program answers for
//!     │ ◄──── end of messages ───── │   executed: the channel closes on execute
//!     │ ◄──────── Failed + report ─ │   instead of any of the above
//! ```

use std::io::ErrorKind;
use std::os::fd::{BorrowedFd, OwnedFd};

use berth_contract::{Class, Error, Report, Result};
use berth_sys::channel::Channel;
use berth_sys::error::Explain as _;
use berth_sys::seccomp::{Flags, Instruction, Listen};

use crate::filter::Filter;

const PLACED: u8 = b'C';
const TERMINAL: u8 = b'T';
const PREPARED: u8 = b'P';
const GO: u8 = b'G';
const FAILED: u8 = b'E';
const BORN: u8 = b'B';
const FURNISHED: u8 = b'F';
const PROCEED: u8 = b'O';
const LISTENER: u8 = b'L';

/// Longer than any filter the kernel takes, and than any report.
const LONGEST: usize = 64 << 10;

/// What a guest says.
#[derive(Debug)]
pub(crate) enum FromGuest {
    /// The pty master.
    Terminal(OwnedFd),
    /// The pidfd of the first process, from the go-between that made it (`birth.rs`).
    Born(OwnedFd),
    /// Its tree is made; it waits for hooks.
    Furnished,
    /// Everything but executing is done.
    Prepared,
    /// Where another program answers its system calls.
    Listener(OwnedFd),
    /// It has failed and exits.
    Failed(Report),
    /// It executes, or has died.
    Closed,
}

/// Waits for what the guest says next.
pub(crate) fn receive(channel: &Channel) -> Result<FromGuest> {
    let message = match channel.receive(LONGEST) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Err(
                Error::new(Class::Conflict, "cannot run a command in the container")
                    .caused_by("its process was held up while it prepared itself"),
            );
        }
        received => received.explain(|| "cannot hear from the new container".into())?,
    };
    let Some(message) = message else {
        return Ok(FromGuest::Closed);
    };
    let (kind, rest) = message.bytes.split_first().ok_or_else(confused)?;
    match (*kind, message.file) {
        (TERMINAL, Some(file)) => Ok(FromGuest::Terminal(file)),
        (BORN, Some(file)) => Ok(FromGuest::Born(file)),
        (FURNISHED, _) => Ok(FromGuest::Furnished),
        (PREPARED, _) => Ok(FromGuest::Prepared),
        (LISTENER, Some(file)) => Ok(FromGuest::Listener(file)),
        (FAILED, _) => Ok(FromGuest::Failed(
            serde_json::from_slice(rest).map_err(|error| confused().caused_by(error))?,
        )),
        _ => Err(confused()),
    }
}

/// Tells the guest that its ids are mapped and that it is in its cgroup.
pub(crate) fn placed(channel: &Channel) -> Result<()> {
    channel
        .send(&[PLACED], None)
        .explain(|| "cannot prepare the container".into())
}

/// Tells the guest to enter its root.
pub(crate) fn proceed(channel: &Channel) -> Result<()> {
    channel
        .send(&[PROCEED], None)
        .explain(|| "cannot prepare the container".into())
}

/// Tells the guest to execute its program behind this filter.
pub(crate) fn go(channel: &Channel, filter: Option<&Filter>) -> Result<()> {
    let mut bytes = vec![GO];
    if let Some(filter) = filter {
        bytes.reserve(4 + filter.program.len() * 8);
        bytes.extend([
            u8::from(filter.flags.log),
            u8::from(filter.flags.allow_speculation),
            match filter.flags.listen {
                Listen::No => 0,
                Listen::Interruptible => 1,
                Listen::Killable => 2,
            },
        ]);
        for one in &filter.program {
            bytes.extend(one.code.to_ne_bytes());
            bytes.extend([one.jump_true, one.jump_false]);
            bytes.extend(one.operand.to_ne_bytes());
        }
    }
    channel
        .send(&bytes, None)
        .explain(|| "cannot start the container".into())
}

/// The guest's side: waits for `Placed` or `Proceed`. `false` when the supervisor is gone.
pub(crate) fn await_word(channel: &Channel) -> Result<bool> {
    let message = channel
        .receive(1)
        .explain(|| "cannot hear from the supervisor".into())?;
    Ok(message.is_some())
}

/// The guest's side: waits for `Go`; `None` when the supervisor is gone.
pub(crate) fn await_go(channel: &Channel) -> Result<Option<Option<Filter>>> {
    let message = channel
        .receive(LONGEST)
        .explain(|| "cannot hear from the supervisor".into())?;
    let Some(message) = message else {
        return Ok(None);
    };
    let [_go, flags @ ..] = message.bytes.as_slice() else {
        return Ok(None);
    };
    let [log, allow_speculation, listen, program @ ..] = flags else {
        return Ok(Some(None));
    };
    let program = program
        .chunks_exact(8)
        .map(|bytes| Instruction {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jump_true: bytes[2],
            jump_false: bytes[3],
            operand: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect();
    let flags = Flags {
        log: *log != 0,
        allow_speculation: *allow_speculation != 0,
        listen: match listen {
            0 => Listen::No,
            1 => Listen::Interruptible,
            _ => Listen::Killable,
        },
    };
    Ok(Some(Some(Filter { program, flags })))
}

/// The guest's side: hands over the pty master.
pub(crate) fn terminal(channel: &Channel, master: BorrowedFd<'_>) -> Result<()> {
    channel
        .send(&[TERMINAL], Some(master))
        .explain(|| "cannot hand over the terminal".into())
}

/// The go-between's side: hands over the first process.
pub(crate) fn born(channel: &Channel, pidfd: BorrowedFd<'_>) -> Result<()> {
    channel
        .send(&[BORN], Some(pidfd))
        .explain(|| "cannot hand over the container's process".into())
}

/// The guest's side: its tree is made.
pub(crate) fn furnished(channel: &Channel) -> Result<()> {
    channel
        .send(&[FURNISHED], None)
        .explain(|| "cannot report to the supervisor".into())
}

/// The guest's side: hands over the listener of its filter.
pub(crate) fn listener(channel: &Channel, listener: BorrowedFd<'_>) -> Result<()> {
    channel
        .send(&[LISTENER], Some(listener))
        .explain(|| "cannot hand over the system call listener".into())
}

/// The guest's side: everything but executing is done.
pub(crate) fn prepared(channel: &Channel) -> Result<()> {
    channel
        .send(&[PREPARED], None)
        .explain(|| "cannot report to the supervisor".into())
}

/// The guest's side: why it failed. Nobody is left to tell when this fails as well.
pub(crate) fn failed(channel: &Channel, error: &Error) {
    let mut bytes = vec![FAILED];
    if let Ok(mut report) = serde_json::to_vec(&Report::from(error)) {
        bytes.append(&mut report);
        bytes.truncate(LONGEST);
        drop(channel.send(&bytes, None));
    }
}

fn confused() -> Error {
    Error::new(
        Class::Internal,
        "cannot understand what the new container's process says",
    )
}
