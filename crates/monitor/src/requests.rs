//! What clients ask, and what they are answered.

use std::os::fd::OwnedFd;

use berth_contract::{Class, Error, Event, Result, State, TerminalSize};
use berth_sys::error::Explain as _;
use berth_sys::terminal;

use crate::exec::Wanted;
use crate::peer::Attached;
use crate::protocol::{Reply, Request};
use crate::supervisor::Supervisor;

impl Supervisor<'_> {
    /// Does what a client asks; what is answered later is noted on the client.
    pub(crate) fn handle(&mut self, client: u32, request: Request, files: Vec<OwnedFd>) {
        let done = match request {
            Request::Attach {
                stdin,
                stdout,
                stderr,
            } => self.attach(
                client,
                Attached {
                    stdin,
                    stdout,
                    stderr,
                },
            ),
            Request::Resize { size, exec } => self.resize(size, exec.as_deref()).map(answer_ok),
            Request::Kill { signal } => self.kill(signal).map(answer_ok),
            Request::Stop {
                signal,
                timeout,
                keep,
            } => {
                self.status.kept |= keep && std::mem::take(&mut self.launch.auto_remove);
                self.owe(client, false);
                self.status.stopped_by_user = true;
                self.publish();
                self.begin_stop(signal, timeout);
                Ok(None)
            }
            Request::Pause => self.pause().map(answer_ok),
            Request::Unpause => self.unpause().map(answer_ok),
            Request::Wait { removed } => self.wait(client, removed),
            Request::Exec {
                id,
                process,
                detach,
            } => {
                let wanted = Wanted {
                    id,
                    process,
                    detach,
                    files,
                };
                self.exec(client, wanted).map(|()| None)
            }
            Request::SetRestart { policy } => {
                self.launch.restart = policy;
                Ok(Some(Reply::Ok))
            }
        };
        let Some(peer) = self.clients.get_mut(&client) else {
            return;
        };
        match done {
            Ok(Some(reply)) => peer.reply(&reply, Vec::new()),
            Ok(None) => {}
            Err(error) => peer.refuse(&error),
        }
    }

    fn attach(&mut self, client: u32, attached: Attached) -> Result<Option<Reply>> {
        let id = self.launch.id.short();
        let state = self.status.state;
        if matches!(state, State::Paused | State::Restarting) {
            let message = format!("cannot attach to container {id}");
            return Err(Error::new(Class::Conflict, message).caused_by(format!("it is {state}")));
        }
        if let Some(peer) = self.clients.get_mut(&client) {
            peer.attached = Some(attached);
        }
        Ok(Some(Reply::Ok))
    }

    fn resize(&mut self, size: TerminalSize, exec: Option<&str>) -> Result<()> {
        let cannot = || "cannot resize the terminal".to_owned();
        if let Some(id) = exec {
            let session = self.sessions.values().find(|session| session.id == id);
            let master = session.and_then(|session| session.master.as_ref());
            let Some(master) = master else {
                let message = format!("no exec session {id} with a terminal");
                return Err(Error::new(Class::NotFound, message));
            };
            return terminal::set_size(master, size).explain(cannot);
        }
        self.size = size;
        match &self.running {
            Some(running) => running.console.resize(size).explain(cannot),
            None => Ok(()),
        }
    }

    fn pause(&mut self) -> Result<()> {
        self.expect_running("pause")?;
        let before = self.status.state;
        self.change(Event::Paused, "pause")?;
        if let Err(error) = self.cgroup().and_then(|cgroup| cgroup.freeze()) {
            // Half frozen is worse than running.
            if let Ok(cgroup) = self.cgroup() {
                drop(cgroup.thaw());
            }
            self.status.state = before;
            return Err(error.context(format!("cannot pause container {}", self.launch.id.short())));
        }
        self.publish();
        Ok(())
    }

    /// Thaws the guest.
    pub(crate) fn unpause(&mut self) -> Result<()> {
        self.expect_running("unpause")?;
        let before = self.status.state;
        self.change(Event::Unpaused, "unpause")?;
        if let Err(error) = self.cgroup().and_then(|cgroup| cgroup.thaw()) {
            self.status.state = before;
            return Err(error.context(format!(
                "cannot unpause container {}",
                self.launch.id.short()
            )));
        }
        self.publish();
        Ok(())
    }

    fn wait(&mut self, client: u32, removed: bool) -> Result<Option<Reply>> {
        if removed && !self.launch.auto_remove {
            let message = format!(
                "container {} stays when it has ended",
                self.launch.id.short()
            );
            return Err(Error::new(Class::Conflict, message));
        }
        self.owe(client, removed);
        Ok(None)
    }

    fn owe(&mut self, client: u32, removed: bool) {
        if let Some(peer) = self.clients.get_mut(&client) {
            if removed {
                peer.removals_owed += 1;
            } else {
                peer.exits_owed += 1;
            }
        }
    }
}

fn answer_ok((): ()) -> Option<Reply> {
    Some(Reply::Ok)
}
