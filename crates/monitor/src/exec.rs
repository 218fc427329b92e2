//! Exec sessions: further processes inside the guest, several at once.
//!
//! The monitor starts and reaps them; their bytes never pass through it. With a terminal the client gets
//! the pty's master. When that client leaves, the monitor's own copy keeps the session from being hung
//! up, and its output is read and dropped so that it does not block.

use std::os::fd::{AsFd as _, OwnedFd};
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

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// The id its client chose.
    pub(crate) id: String,
    /// The pty's master.
    pub(crate) master: Option<OwnedFd>,
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
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let mut guest = running.guest.exec(process, stdio)?;
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
            self.drop_terminal_output(number);
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
            self.drop_terminal_output(number);
        }
    }

    fn drop_terminal_output(&mut self, number: u32) {
        let master = self
            .sessions
            .get(&number)
            .and_then(|session| session.master.as_ref());
        if let Some(master) = master
            && pipe::set_nonblocking(master).is_ok()
        {
            // It may be there already, for a detached session whose client now leaves.
            let token = Token::ExecTerminal(number).number();
            drop(self.poller.add(master.as_fd(), token, Interest::READ));
        }
    }

    /// Reads and drops what an abandoned session writes.
    pub(crate) fn discard_output(&mut self, number: u32) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let Some(master) = &session.master else {
            return;
        };
        let mut bytes = [0; 4096];
        match pipe::read(master, &mut bytes) {
            Ok(count) if count > 0 => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => {
                drop(self.poller.remove(master));
                session.master = None;
            }
        }
    }
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
