//! The guest has ended: its last bytes, what remains of it, what is written, who is told, in this order.

use berth_contract::{Class, Error, Event, Exit, Report, Result, Signal, State};
use berth_sys::clock;
use berth_sys::epoll::Interest;
use berth_sys::fault;

use crate::console::Read;
use crate::log::Stream;
use crate::peer::{Peer, Said};
use crate::place::delete;
use crate::protocol::{Reply, Request};
use crate::restart::Ended;
use crate::supervisor::{Running, Supervisor};
use crate::token::Token;
use crate::volume::is_mounted;

/// A process outside the guest may hold a pipe and write on; the rest of the guest's own output is never
/// more than this (`/proc/sys/fs/pipe-max-size` is 1 MiB).
const LAST_OUTPUT: usize = 4 << 20;

impl Supervisor<'_> {
    /// Deals with the end of one run.
    pub(crate) fn guest_ended(&mut self, exit: Exit) {
        fault::point("end-reaped");
        let exit = self.why(exit);
        if let Some(running) = &mut self.running
            && let Err(error) = running.guest.destroy()
        {
            self.status.leftovers.push(error.to_string());
        }
        fault::point("end-destroyed");
        self.drain();
        self.end_sessions();
        self.log.end(clock::realtime());
        let Some(Running { link, began, .. }) = self.running.take() else {
            return;
        };
        if let Err(error) = link.detach() {
            self.status.leftovers.push(error.to_string());
        }
        fault::point("end-network-detached");
        self.status.finished_at = clock::realtime();
        self.status.pid = 0;
        let ended = Ended {
            status: exit.status(),
            ran: clock::monotonic().saturating_sub(began),
            stopped_by_user: self.status.stopped_by_user
                || self.stopping.is_some()
                || self.shutting_down,
        };
        match self.restarts.after(self.launch.restart, ended) {
            Some(delay) => {
                self.restart_at = Some(clock::monotonic() + delay);
                self.will_restart(exit);
            }
            None => self.ended_for_good(exit),
        }
    }

    /// A kill nobody here sent may have been the kernel's, for lack of memory.
    ///
    /// Asking costs some system calls, so a guest that ended well and had no limit is not asked about.
    fn why(&mut self, exit: Exit) -> Exit {
        let limited = self
            .running
            .as_ref()
            .is_some_and(|running| running.memory_limited);
        let ended_well = exit == Exit::Code { code: 0 };
        if ended_well && !limited {
            return exit;
        }
        let kills = self
            .cgroup()
            .and_then(|cgroup| cgroup.out_of_memory_kills())
            .unwrap_or(0);
        self.status.out_of_memory = kills > 0;
        match exit {
            Exit::Signalled {
                signal: Signal::KILL,
            } if kills > 0 && self.stopping.is_none() => Exit::OutOfMemory,
            other => other,
        }
    }

    /// Moves what is still in the pipes: everything the guest wrote, and nothing that is waited for.
    fn drain(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut total = 0;
            while total < LAST_OUTPUT {
                match self.read_once(stream) {
                    Read::Bytes(count) => total += count,
                    Read::Nothing | Read::End => break,
                }
            }
        }
    }

    fn will_restart(&mut self, exit: Exit) {
        self.status.exit = Some(exit.clone());
        self.stopping = None;
        self.status.state = self
            .status
            .state
            .after(Event::WillRestart)
            .unwrap_or(State::Restarting);
        self.write_exit();
        self.publish();
        self.tell_attached(&exit);
    }

    /// The person stopped a container that was waiting to be started again.
    pub(crate) fn restart_cancelled(&mut self) {
        let exit = self.status.exit.clone().unwrap_or(Exit::Lost);
        self.ended_for_good(exit);
    }

    /// Writes the truth down. Who waits is told by [`Supervisor::finish`].
    pub(crate) fn ended_for_good(&mut self, exit: Exit) {
        self.status.exit = Some(exit);
        self.status.state = self
            .status
            .state
            .after(Event::Exited)
            .unwrap_or(State::Exited);
        self.status.network = berth_network::Attached::default();
        self.status.pid = 0;
        self.status.monitor = 0;
        self.status.leftovers.extend(self.log.lost());
        self.write_exit();
        fault::point("end-exit-written");
    }

    fn write_exit(&mut self) {
        // An exit file with a pid in it would name a stranger after a reboot.
        let mut durable = self.status.clone();
        durable.monitor = 0;
        durable.state = State::Exited;
        if self.status.state == State::Created {
            durable.state = State::Created;
        }
        if let Err(error) = self.place.write_exit(&durable) {
            self.status.leftovers.push(error.to_string());
        }
    }

    fn tell_attached(&mut self, exit: &Exit) {
        for peer in self.clients.values_mut() {
            if peer.attached.take().is_some() {
                peer.reply(&Reply::Exited { exit: exit.clone() }, Vec::new());
            }
        }
    }

    /// Writes down that a start failed; connection 0 is told by [`Supervisor::finish`].
    pub(crate) fn never_started(&mut self, mut first: Peer, report: Report) {
        self.write_exit();
        first.attached = None;
        first.failure_owed = Some(report);
        let number = self.number();
        self.clients.insert(number, first);
    }

    /// Removes what has to go, gives the lock up, tells everybody, and lets slow clients read on.
    pub(crate) fn finish(mut self) {
        self.last_visitors();
        if self.status.kept {
            self.write_exit();
        }
        self.listener = None;
        self.release_volumes();
        let mut rubbish = Vec::new();
        let mut removal = None;
        if self.launch.auto_remove {
            fault::point("remove-begin");
            let mounted = self.launch.directories.mounted(&self.launch.id);
            if berth_sys::mount::unmount(&mounted).is_ok() {
                drop(std::fs::remove_dir(&mounted));
            }
            match self.place.remove_container(&self.launch.remove_with) {
                Ok(hidden) => {
                    rubbish = hidden;
                    removal = Some(Ok(()));
                }
                Err(error) => {
                    self.status.state = State::Dead;
                    self.status.leftovers.push(Report::from(&error).line());
                    drop(self.place.write_exit(&self.status));
                    removal = Some(Err(error));
                }
            }
        }
        let Self {
            place,
            mut clients,
            status,
            ..
        } = self;
        place.leave();
        fault::point("end-left");
        let exit = status.exit.unwrap_or(Exit::Lost);
        for peer in clients.values_mut() {
            tell(peer, &exit, removal.as_ref());
        }
        delete(&rubbish);
        linger(clients.into_values().collect());
    }

    /// What stays mounted is not removed either: its files may be the host's own.
    fn release_volumes(&mut self) {
        let mut failed = false;
        for volume in std::mem::take(&mut self.volumes) {
            if let Err(error) = volume.release() {
                self.status.leftovers.push(Report::from(&error).line());
                failed = true;
            }
        }
        if failed {
            self.write_exit();
            self.launch
                .remove_with
                .retain(|volume| is_mounted(volume).is_ok_and(|mounted| !mounted));
        }
    }

    /// Who connected a moment too late still gets an answer: what needs a guest is refused as if there were
    /// no monitor any more, so that the client looks again.
    fn last_visitors(&mut self) {
        self.accept();
        let mut scratch = vec![0; 4096];
        let numbers: Vec<u32> = self.clients.keys().copied().collect();
        for number in numbers {
            let Some(peer) = self.clients.get_mut(&number) else {
                continue;
            };
            peer.receive(&mut scratch);
            while let Some(said) = peer.next() {
                match said {
                    Said::Request(Request::Stop { keep, .. }, _) => {
                        self.status.kept |= keep && std::mem::take(&mut self.launch.auto_remove);
                        peer.exits_owed += 1;
                    }
                    Said::Request(Request::Wait { removed: false }, _) => peer.exits_owed += 1,
                    Said::Request(Request::Wait { removed: true }, _)
                        if self.launch.auto_remove =>
                    {
                        peer.removals_owed += 1;
                    }
                    Said::Request(_, _) => {
                        let id = self.launch.id.short();
                        let message = format!("container {id} is not running");
                        peer.refuse(&Error::new(Class::Unavailable, message));
                    }
                    Said::Stdin(_) | Said::StdinEnd => {}
                }
            }
        }
    }
}

/// Who waits for the removal of a container that stays, because it is started again, sees its connection
/// close and asks the next monitor.
fn tell(peer: &mut Peer, exit: &Exit, removal: Option<&Result<()>>) {
    if let Some(report) = peer.failure_owed.take() {
        peer.reply(&Reply::Failed { report }, Vec::new());
    }
    let attached = u32::from(peer.attached.take().is_some());
    for _ in 0..attached + peer.exits_owed {
        peer.reply(&Reply::Exited { exit: exit.clone() }, Vec::new());
    }
    for _ in 0..peer.removals_owed {
        match removal {
            Some(Ok(())) => peer.reply(&Reply::Removed, Vec::new()),
            Some(Err(error)) => peer.refuse(error),
            None => {}
        }
    }
}

/// Output that was taken from the guest is not thrown away because a client reads slowly: it is sent as
/// long as the client is there. Nothing else of the container exists any more.
pub(crate) fn linger(mut peers: Vec<Peer>) {
    peers.retain(|peer| peer.backlog() > 0);
    if peers.is_empty() {
        return;
    }
    let Ok(mut poller) = berth_sys::epoll::Poller::new() else {
        return;
    };
    loop {
        for peer in &mut peers {
            peer.flush();
        }
        peers.retain(|peer| !peer.is_gone() && peer.backlog() > 0);
        if peers.is_empty() {
            return;
        }
        for peer in &peers {
            drop(poller.add(peer, Token::Client(0).number(), Interest::WRITE));
        }
        if poller.wait(None).is_err() {
            return;
        }
        for peer in &peers {
            drop(poller.remove(peer));
        }
    }
}
