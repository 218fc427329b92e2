//! A client's side of the control socket: starting a monitor, finding one, and talking to it.
//!
//! A caller that waits for several things at once polls [`Connection`] (`AsFd`) for reading, calls
//! [`Connection::fill`] once and then [`Connection::next`] until it gives `None`. A caller that waits for
//! nothing else uses [`Connection::receive`] or [`Connection::ask`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_contract::{Class, ContainerId, Error, Exit, Result};
use berth_sys::mount;
use berth_sys::socket::{self, Wait};
use berth_sys::spawn::{Executable, Program};

use crate::frame::{Decoder, header};
use crate::launch::Directories;
use crate::protocol::{Kind, MAXIMUM_PAYLOAD, Reply, Request, STDIN_WINDOW};
use crate::status::SOCKET_FILE;

/// The monitor's program, within [`Directories::programs`].
pub const PROGRAM: &str = "berth-monitor";

/// How much is read at once.
const SCRATCH: usize = 64 << 10;

/// Starts a container's monitor, which at once starts the container, and returns connection 0 to it.
///
/// `first` is on the connection before the monitor runs: with [`Request::Attach`] there no output can be
/// missed, and [`Request::Resize`] there is the terminal's size from the beginning.
///
/// The outcome is told there: [`Reply::Started`] or [`Reply::Failed`] ([`Connection::started`] waits for
/// it). The monitor is in a session of its own and outlives the caller. It is the caller's child until
/// the caller ends: one that lives long reaps the returned pid.
///
/// # Errors
/// The program is missing or no process can be made.
pub fn spawn_with(
    directories: &Directories,
    id: &ContainerId,
    first: &[Request],
) -> Result<(Connection, i32)> {
    let path = directories.programs.join(PROGRAM);
    let fail = |error: io::Error| {
        Error::new(
            Class::Internal,
            format!("cannot start the monitor {}", path.display()),
        )
        .caused_by(error)
    };
    let (ours, theirs) = socket::pair().map_err(fail)?;
    let mut connection = Connection::new(ours);
    for request in first {
        connection.send(request, &[])?;
    }
    let arguments = [
        OsStr::new(PROGRAM),
        OsStr::new("--data"),
        directories.data.as_os_str(),
        OsStr::new("--run"),
        directories.run.as_os_str(),
        OsStr::new(id.as_str()),
    ];
    // Whatever the monitor forks shows this file as `/proc/PID/exe`: through a detached read-only mount no
    // guest can write to it (CVE-2019-5736). Where berth may not make one, a guest may not write either.
    let sealed = mount::read_only_clone(&path);
    let executable = match &sealed {
        Ok(sealed) => Executable::Open(sealed.as_fd()),
        Err(_unprivileged) => Executable::Path(&path),
    };
    let files = [theirs.as_fd()];
    let program = Program {
        executable,
        arguments: &arguments,
        files: &files,
    };
    let pid = program.spawn().map_err(|error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let error = fail(error);
        if missing {
            error.hint("install berth's programs beside each other")
        } else {
            error
        }
    })?;
    Ok((connection, pid))
}

/// [`spawn_with`] without first requests.
///
/// # Errors
/// As for [`spawn_with`].
pub fn spawn(directories: &Directories, id: &ContainerId) -> Result<(Connection, i32)> {
    spawn_with(directories, id, &[])
}

/// Connects to the monitor of a running container.
///
/// # Errors
/// Class `Conflict` when the container has no monitor, `Denied` when it is another user's.
pub fn connect(directories: &Directories, id: &ContainerId) -> Result<Connection> {
    let directory = directories.running(id);
    let connected =
        File::open(&directory).and_then(|directory| socket::connect(&directory, SOCKET_FILE));
    match connected {
        Ok(socket) => Ok(Connection::new(socket)),
        Err(error) => {
            let path = directory.join(SOCKET_FILE);
            let class = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    let message = format!("container {} is not running", id.short());
                    return Err(Error::new(Class::Conflict, message));
                }
                io::ErrorKind::PermissionDenied => Class::Denied,
                _ => Class::Internal,
            };
            let message = format!("cannot reach the monitor of container {}", id.short());
            Err(Error::new(class, message).caused_by(format!("{}: {error}", path.display())))
        }
    }
}

/// What a monitor sent.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A reply, with the files that came with it (the pty's master with [`Reply::ExecStarted`]).
    Reply(Reply, Vec<OwnedFd>),
    /// Bytes of the guest's standard output, or of its terminal.
    Stdout(&'a [u8]),
    /// Bytes of its standard error.
    Stderr(&'a [u8]),
}

/// A connection to a monitor.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    decoder: Decoder,
    files: Vec<OwnedFd>,
    scratch: Vec<u8>,
    room: usize,
}

impl Connection {
    /// A connection over a socket that is connected to a monitor already.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            files: Vec::new(),
            scratch: vec![0; SCRATCH],
            room: STDIN_WINDOW,
        }
    }

    /// Sends a request; `files` are the three streams of an [`Request::Exec`], else empty.
    ///
    /// # Errors
    /// The monitor is gone, or the request is larger than a frame.
    pub fn send(&mut self, request: &Request, files: &[BorrowedFd<'_>]) -> Result<()> {
        let payload = serde_json::to_vec(request).map_err(|error| {
            Error::new(Class::Internal, "cannot write a request to the monitor").caused_by(error)
        })?;
        if payload.len() > MAXIMUM_PAYLOAD as usize {
            return Err(Error::new(
                Class::Invalid,
                "the request is too large for the monitor",
            ));
        }
        self.send_frame(Kind::Request, &payload, files)
    }

    /// How many bytes [`Connection::send_stdin`] takes now: with 0, wait for the monitor, not for input.
    #[must_use]
    pub fn stdin_room(&self) -> usize {
        self.room
    }

    /// Sends standard input and says how much of it: at most [`Connection::stdin_room`].
    ///
    /// # Errors
    /// The monitor is gone.
    pub fn send_stdin(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = bytes.len().min(self.room);
        if count > 0 {
            self.send_frame(Kind::Stdin, &bytes[..count], &[])?;
            self.room -= count;
        }
        Ok(count)
    }

    /// Says that standard input has ended: the guest's closes, unless it is a terminal.
    ///
    /// # Errors
    /// The monitor is gone.
    pub fn end_stdin(&mut self) -> Result<()> {
        self.send_frame(Kind::StdinEnd, &[], &[])
    }

    fn send_frame(&mut self, kind: Kind, payload: &[u8], files: &[BorrowedFd<'_>]) -> Result<()> {
        let header = header(kind, payload.len());
        let mut pieces = [IoSlice::new(&header), IoSlice::new(payload)];
        let (mut rest, mut files) = (&mut pieces[..], files);
        while !rest.is_empty() {
            let sent = socket::send(&self.socket, rest, files, Wait::Yes).map_err(gone)?;
            IoSlice::advance_slices(&mut rest, sent);
            files = &[];
            while rest.first().is_some_and(|piece| piece.is_empty()) {
                rest = &mut rest[1..];
            }
        }
        Ok(())
    }

    /// Reads what has arrived, without waiting; `false` when the monitor closed the connection.
    ///
    /// # Errors
    /// The connection broke.
    pub fn fill(&mut self) -> Result<bool> {
        self.read(Wait::No)
    }

    /// What has arrived and was not looked at yet, or `None`.
    ///
    /// # Errors
    /// What arrived is not the protocol.
    #[expect(
        clippy::should_implement_trait,
        reason = "it lends from itself: no iterator can"
    )]
    pub fn next(&mut self) -> Result<Option<Incoming<'_>>> {
        self.settle()?;
        let Some((kind, payload)) = self.decoder.next_frame().map_err(garbled)? else {
            return Ok(None);
        };
        match kind {
            Kind::Stdout => Ok(Some(Incoming::Stdout(payload))),
            Kind::Stderr => Ok(Some(Incoming::Stderr(payload))),
            Kind::Reply => {
                let reply = serde_json::from_slice(payload).map_err(garbled)?;
                Ok(Some(Incoming::Reply(
                    reply,
                    std::mem::take(&mut self.files),
                )))
            }
            Kind::Request | Kind::Stdin | Kind::StdinEnd | Kind::Taken => {
                Err(garbled("a frame that only clients send"))
            }
        }
    }

    /// Waits for the next thing the monitor sends; `None` when it closed the connection.
    ///
    /// # Errors
    /// The connection broke, or what arrived is not the protocol.
    pub fn receive(&mut self) -> Result<Option<Incoming<'_>>> {
        while !self.settle()? {
            if !self.read(Wait::Yes)? {
                return Ok(None);
            }
        }
        self.next()
    }

    /// Sends a request and waits for its reply, whatever output arrives meanwhile is dropped.
    ///
    /// # Errors
    /// The monitor's own ([`Reply::Failed`]), or it is gone.
    pub fn ask(&mut self, request: &Request) -> Result<Reply> {
        self.send(request, &[])?;
        self.reply().map(|(reply, _)| reply)
    }

    /// Waits for the next reply and the files that came with it; output that arrives meanwhile is dropped.
    ///
    /// # Errors
    /// The monitor's own ([`Reply::Failed`]), or it is gone.
    pub fn reply(&mut self) -> Result<(Reply, Vec<OwnedFd>)> {
        loop {
            match self.receive()? {
                Some(Incoming::Reply(Reply::Failed { report }, _)) => return Err(report.into()),
                Some(Incoming::Reply(reply, files)) => return Ok((reply, files)),
                Some(Incoming::Stdout(_) | Incoming::Stderr(_)) => {}
                None => return Err(gone(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Waits on connection 0 until the guest runs, and gives its pid.
    ///
    /// # Errors
    /// Why it does not run; nothing of the start is left then.
    pub fn started(&mut self) -> Result<i32> {
        match self.reply()?.0 {
            Reply::Started { pid } => Ok(pid),
            other => Err(garbled(format!(
                "{other:?} in place of the outcome of the start"
            ))),
        }
    }

    /// Waits until the guest, or the exec session of this connection, has ended; output is dropped.
    ///
    /// # Errors
    /// The monitor's own ([`Reply::Failed`]), or it is gone.
    pub fn exited(&mut self) -> Result<Exit> {
        loop {
            if let Reply::Exited { exit } = self.reply()?.0 {
                return Ok(exit);
            }
        }
    }
}

impl Connection {
    /// Deals with the frames that are about the connection itself; whether another one is there.
    fn settle(&mut self) -> Result<bool> {
        while let Some(kind) = self.decoder.peek().map_err(garbled)? {
            if kind != Kind::Taken {
                return Ok(true);
            }
            if let Some((_, payload)) = self.decoder.next_frame().map_err(garbled)? {
                let taken = payload
                    .try_into()
                    .map(u32::from_le_bytes)
                    .map_err(garbled)?;
                self.room = self.room.saturating_add(taken as usize).min(STDIN_WINDOW);
            }
        }
        Ok(false)
    }

    fn read(&mut self, wait: Wait) -> Result<bool> {
        match socket::receive(&self.socket, &mut self.scratch, &mut self.files, wait) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.decoder.push(&self.scratch[..count]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(gone(error)),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn gone(error: io::Error) -> Error {
    Error::new(Class::Unavailable, "the container's monitor is gone").caused_by(error)
}

fn garbled(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(
        Class::Internal,
        "the container's monitor does not speak this protocol",
    )
    .caused_by(error)
    .hint("install berth, berth-monitor and their kin from the same build")
}
