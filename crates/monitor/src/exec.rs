//! Exec sessions: further processes inside the guest, several at once.
//!
//! The monitor starts and reaps them; as long as their client is there, their bytes never pass through it.
//! With a terminal the client gets the pty's master, without one it has made pipes. When it leaves, the
//! monitor's own copies keep the session from being hung up and its writes from failing (`SIGPIPE`), and
//! what it writes is read and dropped so that it does not block.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use berth_contract::{Class, Error, Exit, Guest, Result, Signal, State, Stdio, TerminalSize, oci};
use berth_sys::epoll::Interest;
use berth_sys::error::Explain as _;
use berth_sys::{pidfd, pipe};

use crate::protocol::Reply;
use crate::supervisor::Supervisor;
use crate::token::Token;

/// How long a killed session may take to be gone.
const DYING: Duration = Duration::from_secs(2);

/// How long a guest may take from giving up its files to having ended.
pub(crate) const ENDING: Duration = Duration::from_millis(50);

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// The id its client chose.
    pub(crate) id: String,
    /// The pty's master.
    pub(crate) master: Option<OwnedFd>,
    /// Reading ends of the pipes it writes to.
    outputs: Vec<OwnedFd>,
    guest: Box<dyn Guest>,
    client: u32,
}

/// What a client wants to be run.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The session's id.
    pub(crate) id: String,
    /// The process.
    pub(crate) process: Box<oci::Process>,
    /// Whether nobody cares for its streams.
    pub(crate) detach: bool,
    /// Its streams otherwise.
    pub(crate) files: Vec<OwnedFd>,
}

impl Supervisor<'_> {
    /// Starts a session and answers with its pid.
    pub(crate) fn exec(&mut self, client: u32, wanted: Wanted) -> Result<()> {
        let Wanted {
            id,
            process,
            detach,
            files,
        } = wanted;
        let process = &*process;
        let container = self.launch.id.short().to_owned();
        self.expect_running("exec in")?;
        if self.status.state == State::Paused {
            return Err(Error::new(
                Class::Conflict,
                format!("cannot exec in container {container}"),
            )
            .caused_by("it is paused")
            .hint(format!("berth unpause {container}")));
        }
        if self.sessions.values().any(|session| session.id == id) {
            return Err(Error::new(
                Class::Conflict,
                format!("exec session {id} exists already"),
            ));
        }
        let stdio = streams(process, detach, files)?;
        let outputs = outputs(&stdio)?;
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let made = running.guest.exec(process, stdio);
        let mut guest =
            made.map_err(|error| unless_ended(running.guest.pidfd(), &container, error))?;
        let prepared = guest
            .terminal()
            .and_then(|master| guest.start().map(|()| master));
        let master = match prepared {
            Ok(master) => master,
            Err(error) => {
                drop(guest.destroy());
                return Err(error);
            }
        };
        let (number, pid) = (self.number(), guest.pid());
        self.poller
            .add(guest.pidfd(), Token::Exec(number).number(), Interest::READ)
            .explain(|| "cannot wait for the exec session".to_owned())?;
        let copy = match &master {
            Some(master) => vec![pipe::duplicate(master).explain(|| "no file left".to_owned())?],
            None => Vec::new(),
        };
        self.sessions.insert(
            number,
            Session {
                id: id.clone(),
                master,
                outputs,
                guest,
                client,
            },
        );
        self.status.execs.push(id);
        self.publish();
        if let Some(peer) = self.clients.get_mut(&client) {
            // Its owner reads a detached session's terminal as little as one who left.
            peer.reply(
                &Reply::ExecStarted { pid },
                if detach { Vec::new() } else { copy },
            );
        }
        if detach {
            self.drop_output(number);
        }
        Ok(())
    }

    /// A session's process may have ended.
    pub(crate) fn reap_session(&mut self, number: u32) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let exit = match session.guest.reap() {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(_unknown) => Exit::Lost,
        };
        self.session_ended(number, exit);
        self.publish();
    }

    /// Ends all sessions: the guest they ran in is gone, and the kernel killed them with it.
    pub(crate) fn end_sessions(&mut self) {
        for number in self.sessions.keys().copied().collect::<Vec<_>>() {
            let Some(session) = self.sessions.get_mut(&number) else {
                continue;
            };
            drop(session.guest.signal(Signal::KILL));
            drop(pidfd::wait_ended(session.guest.pidfd(), Some(DYING)));
            let exit = session.guest.reap().ok().flatten().unwrap_or(Exit::Lost);
            self.session_ended(number, exit);
        }
    }

    fn session_ended(&mut self, number: u32, exit: Exit) {
        let Some(mut session) = self.sessions.remove(&number) else {
            return;
        };
        drop(self.poller.remove(session.guest.pidfd()));
        if let Err(error) = session.guest.destroy() {
            self.status.leftovers.push(error.to_string());
        }
        self.status.execs.retain(|id| *id != session.id);
        if let Some(peer) = self.clients.get_mut(&session.client) {
            peer.reply(&Reply::Exited { exit }, Vec::new());
        }
    }

    /// A client left: its sessions go on, as Docker's do.
    pub(crate) fn abandon_sessions(&mut self, client: u32) {
        let mine = self
            .sessions
            .iter()
            .filter(|(_, session)| session.client == client);
        for number in mine.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.drop_output(number);
        }
    }

    fn drop_output(&mut self, number: u32) {
        let Some(session) = self.sessions.get(&number) else {
            return;
        };
        for output in session.master.iter().chain(&session.outputs) {
            if pipe::set_nonblocking(output).is_ok() {
                // It may be there already, for a detached session whose client now leaves.
                let token = Token::ExecOutput(number).number();
                drop(self.poller.add(output.as_fd(), token, Interest::READ));
            }
        }
    }

    /// Reads and drops what an abandoned session writes.
    pub(crate) fn discard_output(&mut self, number: u32) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let poller = &self.poller;
        let goes_on = |output: &mut OwnedFd| {
            let mut bytes = [0; 4096];
            let goes_on = match pipe::read(&*output, &mut bytes) {
                Ok(count) => count > 0,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if !goes_on {
                drop(poller.remove(&*output));
            }
            goes_on
        };
        session.outputs.retain_mut(goes_on);
        session.master.take_if(|master| !goes_on(master));
    }
}

/// Reading ends of the pipes among the streams that a session writes to.
fn outputs(stdio: &Stdio) -> Result<Vec<OwnedFd>> {
    let Stdio::Files { stdout, stderr, .. } = stdio else {
        return Ok(Vec::new());
    };
    let readers = [stdout, stderr].map(pipe::reader);
    let readers = readers.into_iter().filter_map(io::Result::transpose);
    readers
        .collect::<io::Result<_>>()
        .explain(|| "cannot keep the streams of the exec session".to_owned())
}

/// Why nothing can be run in a guest: its own end, which is seen a moment before it can be waited for,
/// comes before what fails because of it.
fn unless_ended(guest: BorrowedFd<'_>, container: &str, error: Error) -> Error {
    let program = matches!(error.class(), Class::CommandNotFound | Class::CannotInvoke);
    if !program && pidfd::wait_ended(guest, Some(ENDING)).unwrap_or(false) {
        return Error::new(
            Class::Unavailable,
            format!("container {container} is not running"),
        );
    }
    error
}

fn streams(process: &oci::Process, detach: bool, files: Vec<OwnedFd>) -> Result<Stdio> {
    if process.terminal == Some(true) {
        let side = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
        let size = match process.console_size {
            Some(size) => TerminalSize {
                rows: side(size.height),
                columns: side(size.width),
            },
            None => TerminalSize {
                rows: 24,
                columns: 80,
            },
        };
        return Ok(Stdio::Terminal(size));
    }
    if detach {
        let null = || pipe::null().explain(|| "cannot open /dev/null".to_owned());
        return Ok(Stdio::Files {
            stdin: null()?,
            stdout: null()?,
            stderr: null()?,
        });
    }
    match <[OwnedFd; 3]>::try_from(files) {
        Ok([stdin, stdout, stderr]) => Ok(Stdio::Files {
            stdin,
            stdout,
            stderr,
        }),
        Err(files) => {
            let message = format!(
                "an exec request came with {} files in place of 3",
                files.len()
            );
            Err(Error::new(Class::Invalid, message))
        }
    }
}
