//! The loop: one state, one writer, everything that can happen to a running container.
//!
//! ```text
//!                           ┌────────── start.rs ──────────┐
//!  clients ── clients.rs ───┤ requests.rs  stop.rs exec.rs ├── streams.rs ── guest
//!                           └────────── ending.rs ─────────┘
//! ```

use std::collections::BTreeMap;
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
use berth_sys::socket::Listener;

use crate::console::Console;
use crate::exec::Session;
use crate::launch::Launch;
use crate::link::Link;
use crate::log::{Stream, Writer};
use crate::peer::Peer;
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
    /// When it has run as long as it may.
    pub(crate) ends_at: Option<Duration>,
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
    pub(crate) next_number: u32,
    /// Whether the guest waits for somebody who reads slowly.
    pub(crate) throttled: bool,
    pub(crate) scratch: Vec<u8>,
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
            Token::ExecOutput(number) => self.discard_output(number),
            Token::Receiver => self.log.go_on(),
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let stop = self.stopping.and_then(|stopping| stopping.deadline);
        let ends_at = self.running.as_ref().and_then(|running| running.ends_at);
        [stop, self.restart_at, ends_at].into_iter().flatten().min()
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
        if let Some(Running { ends_at, .. }) = &mut self.running
            && ends_at.take_if(|at| *at <= now).is_some()
        {
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
