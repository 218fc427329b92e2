//! The loop: one state, one writer, everything that can happen to a running container.
//!
//! ```text
//!            ┌────────── start.rs ──────────┐
//!  clients ──┤ requests.rs  stop.rs exec.rs ├── guest (pidfd, pipes or pty)
//!            └────────── ending.rs ─────────┘
//! ```

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use berth_contract::{
    Class, Error, Event, Exit, Guest, Result, Runtime, Signal, State, TerminalSize,
};
use berth_sys::cgroup::{Cgroup, Hierarchies};
use berth_sys::clock;
use berth_sys::epoll::{Interest, Poller, Readiness};
use berth_sys::error::Explain as _;
use berth_sys::signals::Signals;
use berth_sys::socket::{self, Listener};

use crate::console::{Console, Read};
use crate::exec::Session;
use crate::launch::Launch;
use crate::link::Link;
use crate::log::{Stream, Writer};
use crate::peer::{BACKLOG, Peer, Said};
use crate::place::Place;
use crate::restart::Restarts;
use crate::status::Status;
use crate::token::Token;
use crate::volume::Held;

/// Twice a pipe's capacity: one read empties it. From this size on the allocator maps memory of its own,
/// so that a container that says nothing costs none of it.
const SCRATCH: usize = 128 << 10;

/// The guest and what belongs to one run of it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) guest: Box<dyn Guest>,
    pub(crate) console: Console,
    pub(crate) link: Link,
    /// The path of its cgroup in every hierarchy.
    pub(crate) cgroup: PathBuf,
    /// When it began, on the clock that only goes forward.
    pub(crate) began: Duration,
    /// Whether its memory is limited: then the kernel may kill a process of it unseen.
    pub(crate) memory_limited: bool,
}

/// A stop that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopping {
    /// When the guest is killed; `None` is never.
    pub(crate) deadline: Option<Duration>,
}

/// One container's supervision.
#[derive(Debug)]
pub(crate) struct Supervisor<'a> {
    pub(crate) runtime: &'a dyn Runtime,
    pub(crate) place: Place,
    pub(crate) launch: Launch,
    pub(crate) status: Status,
    pub(crate) poller: Poller,
    pub(crate) signals: Signals,
    pub(crate) listener: Option<Listener>,
    pub(crate) log: Writer,
    pub(crate) running: Option<Running>,
    pub(crate) clients: BTreeMap<u32, Peer>,
    pub(crate) sessions: BTreeMap<u32, Session>,
    /// File systems of volumes that stay mounted over all runs.
    pub(crate) volumes: Vec<Held>,
    pub(crate) restarts: Restarts,
    pub(crate) restart_at: Option<Duration>,
    pub(crate) stopping: Option<Stopping>,
    /// Whether the monitor itself was told to end: no restart, and not the user's doing.
    pub(crate) shutting_down: bool,
    /// The terminal's size as a client last told it.
    pub(crate) size: TerminalSize,
    /// The length of the hosts file before this monitor completed it.
    pub(crate) hosts_length: Option<u64>,
    next_number: u32,
    throttled: bool,
    scratch: Vec<u8>,
}

/// What supervision needs and may fail to get.
#[derive(Debug)]
pub(crate) struct Prepared {
    poller: Poller,
    signals: Signals,
    log: Writer,
    before: Status,
}

impl Prepared {
    /// Opens the log, blocks the signals that are read, and reads how the container stood.
    pub(crate) fn new(place: &Place, launch: &Launch) -> Result<Self> {
        let cannot = || "cannot prepare the monitor".to_owned();
        let poller = Poller::new().explain(cannot)?;
        let signals = Signals::take(&[Signal::TERM, Signal::INT, Signal::HUP]).explain(cannot)?;
        poller
            .add(&signals, Token::Signals.number(), Interest::READ)
            .explain(cannot)?;
        Ok(Self {
            poller,
            signals,
            log: Writer::open(&launch.log)?,
            before: place.before()?,
        })
    }
}

impl<'a> Supervisor<'a> {
    /// Takes over a container; nothing is started yet.
    pub(crate) fn new(
        runtime: &'a dyn Runtime,
        place: Place,
        launch: Launch,
        prepared: Prepared,
    ) -> Self {
        let Prepared {
            poller,
            signals,
            log,
            before: status,
        } = prepared;
        Self {
            runtime,
            place,
            launch,
            status,
            poller,
            signals,
            listener: None,
            log,
            running: None,
            clients: BTreeMap::new(),
            sessions: BTreeMap::new(),
            volumes: Vec::new(),
            restarts: Restarts::default(),
            restart_at: None,
            stopping: None,
            shutting_down: false,
            size: TerminalSize {
                rows: 24,
                columns: 80,
            },
            hosts_length: None,
            next_number: 0,
            throttled: false,
            scratch: vec![0; SCRATCH],
        }
    }

    /// Looks after the container until it has ended for good.
    pub(crate) fn supervise(&mut self) {
        while self.status.state.is_live() {
            let now = clock::monotonic();
            let timeout = self.next_deadline().map(|at| at.saturating_sub(now));
            let waited: std::io::Result<Vec<Readiness>> =
                self.poller.wait(timeout).map(Iterator::collect);
            let ready = match waited {
                Ok(ready) => ready,
                Err(error) => {
                    // Without the poller nothing can be supervised; the guest must not run unseen.
                    self.status
                        .leftovers
                        .push(format!("waiting failed: {error}"));
                    self.kill_everything();
                    self.guest_ended(Exit::Lost);
                    return;
                }
            };
            // Requests first: whoever attached before output came is to see it.
            let is_client = |token| matches!(token, Token::Client(_) | Token::Listener);
            for clients in [true, false] {
                for event in &ready {
                    if let Some(token) = Token::from_number(event.token)
                        && is_client(token) == clients
                    {
                        self.dispatch(token, event);
                    }
                }
            }
            self.meet_deadlines();
            self.settle();
        }
    }

    fn dispatch(&mut self, token: Token, event: &Readiness) {
        match token {
            Token::Signals => self.take_signals(),
            Token::Listener => self.accept(),
            Token::Guest => self.reap_guest(),
            Token::Stdin => self.feed(),
            Token::Stdout => {
                if event.writable {
                    self.feed();
                }
                if event.readable {
                    self.pump(Stream::Stdout);
                }
            }
            Token::Stderr => self.pump(Stream::Stderr),
            Token::Client(number) => self.serve(number, event),
            Token::Exec(number) => self.reap_session(number),
            Token::ExecTerminal(number) => self.discard_output(number),
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let stop = self.stopping.and_then(|stopping| stopping.deadline);
        [stop, self.restart_at].into_iter().flatten().min()
    }

    fn meet_deadlines(&mut self) {
        let now = clock::monotonic();
        if let Some(Stopping {
            deadline: Some(deadline),
        }) = self.stopping
            && deadline <= now
        {
            self.stopping = Some(Stopping { deadline: None });
            self.kill_everything();
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.restart();
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.next() {
            if signal != Signal::HUP {
                self.shutting_down = true;
                self.begin_stop(None, None);
            }
        }
    }

    fn reap_guest(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        match running.guest.reap() {
            Ok(Some(exit)) => self.guest_ended(exit),
            Ok(None) => {}
            Err(error) => {
                self.status
                    .leftovers
                    .push(format!("cannot tell how the guest ended: {error}"));
                self.guest_ended(Exit::Lost);
            }
        }
    }

    /// A number no client or session had before.
    pub(crate) fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }

    /// Takes one more client.
    pub(crate) fn welcome(&mut self, peer: Peer) -> u32 {
        let number = self.number();
        if self
            .poller
            .add(&peer, Token::Client(number).number(), peer.registered)
            .is_ok()
        {
            self.clients.insert(number, peer);
        }
        number
    }

    /// Takes everybody who is waiting. Only the container's owner and root may speak to it.
    pub(crate) fn accept(&mut self) {
        while let Some(Ok(Some(socket))) = self.listener.as_ref().map(Listener::accept) {
            if is_allowed(&socket) {
                self.welcome(Peer::new(socket));
            }
        }
    }

    fn serve(&mut self, number: u32, event: &Readiness) {
        if event.writable
            && let Some(peer) = self.clients.get_mut(&number)
        {
            peer.flush();
        }
        if event.readable {
            let mut scratch = std::mem::take(&mut self.scratch);
            if let Some(peer) = self.clients.get_mut(&number) {
                peer.receive(&mut scratch);
            }
            self.scratch = scratch;
            self.listen_to(number);
        }
    }

    /// Deals with everything a client has said so far.
    pub(crate) fn listen_to(&mut self, number: u32) {
        while let Some(said) = self.clients.get_mut(&number).and_then(Peer::next) {
            match said {
                Said::Request(request, files) => self.handle(number, request, files),
                Said::Stdin(bytes) => self.take_input(number, bytes),
                Said::StdinEnd => self.end_input(),
            }
        }
    }

    fn take_input(&mut self, number: u32, bytes: Vec<u8>) {
        let attached = self.clients.get(&number).and_then(|peer| peer.attached);
        let wanted = attached.is_some_and(|attached| attached.stdin);
        match &mut self.running {
            Some(running) if wanted && running.console.sink().is_some() => {
                running.console.queue(number, bytes);
                self.feed();
            }
            _ => {
                if let Some(peer) = self.clients.get_mut(&number) {
                    peer.taken(bytes.len());
                }
            }
        }
    }

    fn end_input(&mut self) {
        if let Some(running) = &mut self.running {
            running.console.end_input();
        }
        self.feed();
    }

    /// Writes waiting input to the guest, as much as it takes.
    fn feed(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let waited = running.console.has_input();
        for (client, count) in running.console.feed() {
            if let Some(peer) = self.clients.get_mut(&client) {
                peer.taken(count);
            }
        }
        let waits = running.console.has_input();
        let Some(sink) = running.console.sink() else {
            return;
        };
        let changed = if running.console.is_terminal() {
            if self.throttled {
                return;
            }
            let interest = if waits {
                Interest::BOTH
            } else {
                Interest::READ
            };
            self.poller.modify(sink, Token::Stdout.number(), interest)
        } else if waits {
            match self
                .poller
                .add(sink, Token::Stdin.number(), Interest::WRITE)
            {
                // It is there already.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                added => added,
            }
        } else if waited {
            match self.poller.remove(sink) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }
        } else {
            Ok(())
        };
        if let Err(error) = changed {
            self.status
                .leftovers
                .push(format!("cannot wait for standard input: {error}"));
        }
    }

    /// Moves on what the guest wrote.
    fn pump(&mut self, stream: Stream) {
        match self.read_once(stream) {
            Read::Bytes(_) | Read::Nothing => {}
            Read::End => {
                let Some(running) = &mut self.running else {
                    return;
                };
                if !running.console.keep_open() {
                    if let Some(source) = running.console.source(stream) {
                        drop(self.poller.remove(source));
                    }
                    running.console.close(stream);
                }
            }
        }
    }

    /// One read, to the log and to every attached client.
    pub(crate) fn read_once(&mut self, stream: Stream) -> Read {
        let Some(running) = &mut self.running else {
            return Read::End;
        };
        let read = running.console.read(stream, &mut self.scratch);
        if let Read::Bytes(count) = read {
            let bytes = &self.scratch[..count];
            self.log.write(stream, bytes, clock::realtime());
            for peer in self.clients.values_mut() {
                peer.output(stream, bytes);
            }
        }
        read
    }

    /// After each round: drops clients that are gone, waits for the slow ones, slows the guest down.
    fn settle(&mut self) {
        let gone: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, peer)| peer.is_gone())
            .map(|(n, _)| *n)
            .collect();
        for number in gone {
            self.part(number);
        }
        for (number, peer) in &mut self.clients {
            let interest = peer.interest();
            if interest != peer.registered {
                peer.registered = interest;
                drop(
                    self.poller
                        .modify(&*peer, Token::Client(*number).number(), interest),
                );
            }
        }
        let throttle = self
            .clients
            .values()
            .any(|peer| peer.attached.is_some() && peer.backlog() > BACKLOG);
        if throttle != self.throttled {
            self.throttled = throttle;
            self.watch_output(!throttle);
        }
    }

    fn part(&mut self, number: u32) {
        let Some(peer) = self.clients.remove(&number) else {
            return;
        };
        let sent_input = peer.attached.is_some_and(|attached| attached.stdin);
        if sent_input && self.launch.stdin_once {
            self.end_input();
        }
        self.abandon_sessions(number);
    }

    /// Waits for the guest's output from now on, or no more. A pipe that has hung up is reported
    /// whatever is asked for, so "no more" takes it off the poller.
    pub(crate) fn watch_output(&mut self, watch: bool) {
        let Some(running) = &self.running else { return };
        for (stream, token) in [
            (Stream::Stdout, Token::Stdout),
            (Stream::Stderr, Token::Stderr),
        ] {
            let Some(source) = running.console.source(stream) else {
                continue;
            };
            let waits = running.console.is_terminal() && running.console.has_input();
            let interest = if waits {
                Interest::BOTH
            } else {
                Interest::READ
            };
            let changed = if watch {
                self.poller.add(source, token.number(), interest)
            } else {
                self.poller.remove(source)
            };
            if let Err(error) = changed {
                self.status
                    .leftovers
                    .push(format!("cannot wait for output: {error}"));
            }
        }
    }

    /// Changes the state, if the contract allows it now.
    pub(crate) fn change(&mut self, event: Event, intent: &str) -> Result<()> {
        match self.status.state.after(event) {
            Ok(state) => {
                self.status.state = state;
                Ok(())
            }
            Err(refused) => {
                let id = self.launch.id.short();
                let message = format!("cannot {intent} container {id}");
                Err(Error::new(Class::Conflict, message).caused_by(refused))
            }
        }
    }

    /// Writes the state file; a failure is kept for `inspect`, because nothing else can be done.
    pub(crate) fn publish(&mut self) {
        if let Err(error) = self.place.write_state(&self.status) {
            self.status.leftovers.push(error.to_string());
        }
    }

    /// The guest's cgroup.
    pub(crate) fn cgroup(&self) -> Result<Cgroup> {
        let Some(running) = &self.running else {
            let message = format!("container {} is not running", self.launch.id.short());
            return Err(Error::new(Class::Conflict, message));
        };
        Cgroup::open(&Hierarchies::discover()?, &running.cgroup)
    }

    /// Whether its guest is there and not about to be started again.
    pub(crate) fn expect_running(&self, intent: &str) -> Result<()> {
        let id = self.launch.id.short();
        match (self.status.state, &self.running) {
            (State::Running | State::Paused, Some(_)) => Ok(()),
            (state, _) => {
                let message = format!("cannot {intent} container {id}");
                Err(Error::new(Class::Conflict, message).caused_by(format!("it is {state}")))
            }
        }
    }
}

/// Whether the other end is root or the user this process runs as.
fn is_allowed(socket: &OwnedFd) -> bool {
    let uid = |socket: &OwnedFd| socket::peer(socket).ok().map(|peer| peer.uid);
    let own = || socket::pair().ok().and_then(|(one, _other)| uid(&one));
    uid(socket).is_some_and(|uid| uid == 0 || own() == Some(uid))
}
