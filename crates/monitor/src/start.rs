//! Starting the guest: the first time, and again when the restart policy says so.
//!
//! ```text
//! exit := Lost ─ reserve network ─ create guest ─┬ (guest mounts, …) ─────────┬ start ─ state.json ─ told
//!                                                └ attach network, hosts, socket ┘
//! ```

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use berth_contract::{
    Class, Error, Event, Exit, Guest, Program, Report, Result, Slot, State, Stdio, oci,
};
use berth_sys::clock;
use berth_sys::epoll::Interest;
use berth_sys::error::Explain as _;
use berth_sys::{fault, pidfd};

use crate::console::Console;
use crate::exec::ENDING;
use crate::join;
use crate::link::{Link, complete_hosts};
use crate::peer::{Peer, Said};
use crate::protocol::{Reply, Request};
use crate::status::Status;
use crate::supervisor::{Running, Supervisor};
use crate::token::Token;
use crate::volume::Held;

impl Supervisor<'_> {
    /// Starts the guest for the first time and tells connection 0 that it runs.
    ///
    /// A failure is recorded, and told once nothing of the container is left ([`Supervisor::finish`]).
    pub(crate) fn start(&mut self, mut first: Peer) {
        let early = self.early_requests(&mut first);
        let before = self.status.clone();
        match self.launch_guest() {
            Ok(pid) => {
                first.reply(&Reply::Started { pid }, Vec::new());
                let number = self.welcome(first);
                for (request, files) in early {
                    self.handle(number, request, files);
                }
                self.listen_to(number);
                berth_sys::heap::trim();
            }
            Err(error) => {
                let report = Report::from(&error);
                self.status = Status {
                    // Docker shows a container that never ran as created, one that did as exited.
                    state: if before.started_at == 0 {
                        State::Created
                    } else {
                        State::Exited
                    },
                    exit: Some(Exit::NeverStarted {
                        report: report.clone(),
                    }),
                    leftovers: std::mem::take(&mut self.status.leftovers),
                    ..before
                };
                self.never_started(first, report);
            }
        }
    }

    /// What connection 0 has asked already: attaching and the terminal's size count from the first byte.
    fn early_requests(&mut self, first: &mut Peer) -> Vec<(Request, Vec<OwnedFd>)> {
        let mut early = Vec::new();
        let mut scratch = vec![0; 4096];
        first.receive(&mut scratch);
        while let Some(said) = first.next() {
            match said {
                Said::Request(
                    Request::Attach {
                        stdin,
                        stdout,
                        stderr,
                    },
                    _,
                ) => {
                    first.attached = Some(crate::peer::Attached {
                        stdin,
                        stdout,
                        stderr,
                    });
                }
                Said::Request(Request::Resize { size, exec: None }, _) => self.size = size,
                Said::Request(request, files) => early.push((request, files)),
                // Input needs a guest; a client waits for `Started` before it sends any.
                Said::Stdin(bytes) => first.taken(bytes.len()),
                Said::StdinEnd => {}
            }
        }
        early
    }

    /// Starts the guest again; a failure ends the container for good.
    pub(crate) fn restart(&mut self) {
        match self.launch_guest() {
            Ok(_pid) => {}
            Err(error) => {
                let exit = Exit::NeverStarted {
                    report: Report::from(&error),
                };
                self.status.finished_at = clock::realtime();
                self.ended_for_good(exit);
            }
        }
    }

    /// Starts the guest and publishes that it runs.
    fn launch_guest(&mut self) -> Result<i32> {
        let lost = Status {
            state: State::Exited,
            exit: Some(Exit::Lost),
            started_at: clock::realtime(),
            finished_at: clock::realtime(),
            ..Status::created()
        };
        self.place.write_exit(&lost)?;
        fault::point("start-pessimistic");
        let mut spec = self.place.spec(&self.launch)?;
        join::locate(&mut spec, &self.launch)?;
        if self.volumes.is_empty() {
            let mounted = self.launch.mounted.iter();
            self.volumes = mounted
                .map(|volume| Held::share(volume))
                .collect::<Result<_>>()?;
        }
        let reserved = Link::reserve(&self.launch.directories, &self.launch.network)?;
        fault::point("start-network-reserved");
        let mut link = Some(reserved);
        let created = self.create(&spec, &mut link);
        let (guest, console, link) = match (created, link) {
            (Ok((guest, console)), Some(link)) => (guest, console, link),
            (Err(error), link) => {
                if let Some(Err(leftover)) = link.map(Link::detach) {
                    self.status.leftovers.push(leftover.to_string());
                }
                return Err(error);
            }
            (Ok((mut guest, _)), None) => {
                drop(guest.destroy());
                return Err(Error::new(
                    Class::Internal,
                    "the container's network is lost",
                ));
            }
        };
        let pid = guest.pid();
        self.status = Status {
            state: self
                .status
                .state
                .after(Event::Started)
                .unwrap_or(State::Running),
            pid,
            monitor: i32::try_from(std::process::id()).unwrap_or_default(),
            started_at: clock::realtime(),
            finished_at: self.status.finished_at,
            exit: self.status.exit.take(),
            out_of_memory: false,
            restart_count: self.restarts.count(),
            stopped_by_user: false,
            kept: false,
            leftovers: Vec::new(),
            network: link.attached().clone(),
            execs: Vec::new(),
        };
        self.running = Some(self.begin(&spec, guest, console, link));
        fault::point("start-running");
        self.publish();
        if let Err(error) = self.watch_guest() {
            if let Some(mut running) = self.running.take() {
                drop(running.guest.destroy());
                drop(running.link.detach());
            }
            return Err(error);
        }
        fault::point("start-published");
        Ok(pid)
    }

    fn begin(
        &self,
        spec: &oci::Spec,
        guest: Box<dyn Guest>,
        console: Console,
        link: Link,
    ) -> Running {
        let linux = spec.linux.as_ref();
        let began = clock::monotonic();
        let timeout = self.launch.timeout.map(Duration::from_secs);
        Running {
            guest,
            console,
            link,
            cgroup: linux
                .and_then(|linux| linux.cgroups_path.clone())
                .unwrap_or_else(|| Path::new("berth").join(self.launch.id.as_str())),
            began,
            ends_at: timeout.map(|timeout| began + timeout),
            memory_limited: linux
                .and_then(|linux| linux.resources.as_ref())
                .is_some_and(|resources| resources.memory.is_some()),
        }
    }

    fn create(
        &mut self,
        spec: &oci::Spec,
        link: &mut Option<Link>,
    ) -> Result<(Box<dyn Guest>, Console)> {
        let no_streams = || "cannot make the container's streams".to_owned();
        let (console, stdio) = if self.launch.terminal {
            (None, Stdio::Terminal(self.size))
        } else {
            let (console, stdio) = Console::pipes(self.launch.open_stdin).explain(no_streams)?;
            (Some(console), stdio)
        };
        let module = match &self.launch.module {
            Some(path) => Some(
                File::open(path)
                    .explain(|| format!("cannot open {}", path.display()))?
                    .into(),
            ),
            None => None,
        };
        let slot = Slot {
            id: self.launch.id.clone(),
            rootfs: self.launch.rootfs.clone(),
            stdio,
            program: Program::Arguments,
            inherited: Vec::new(),
            module,
        };
        let mut guest = self.runtime.create(spec, slot)?;
        fault::point("start-created");
        match self.prepare(guest.as_mut(), console, link) {
            Ok(console) => Ok((guest, console)),
            Err(error) => {
                if let Err(leftover) = guest.destroy() {
                    self.status.leftovers.push(leftover.to_string());
                }
                Err(error)
            }
        }
    }

    /// Everything between the guest's first breath and its program: done while it prepares itself.
    fn prepare(
        &mut self,
        guest: &mut dyn Guest,
        console: Option<Console>,
        link: &mut Option<Link>,
    ) -> Result<Console> {
        if let Some(reserved) = link.take() {
            let attached = match reserved.attach(guest.pid()) {
                Ok(attached) => link.insert(attached).attached(),
                Err(error) => return Err(unless_failed(guest, error)),
            };
            fault::point("start-network-attached");
            self.hosts_length = complete_hosts(&self.launch.names, attached, self.hosts_length)?;
        }
        if self.listener.is_none() {
            let listener = self.place.listen()?;
            self.poller
                .add(&listener, Token::Listener.number(), Interest::READ)
                .explain(|| "cannot wait for clients".to_owned())?;
            self.listener = Some(listener);
        }
        let master = guest.terminal()?;
        let console = match (console, master) {
            (Some(console), _) => console,
            (None, Some(master)) => {
                Console::terminal(master).explain(|| "cannot use the terminal".to_owned())?
            }
            (None, None) => Console::default(),
        };
        if let Some(file) = &self.launch.pid_file {
            std::fs::write(file, guest.pid().to_string())
                .explain(|| format!("cannot write the pid to {}", file.display()))?;
        }
        guest.start()?;
        fault::point("start-executed");
        Ok(console)
    }

    fn watch_guest(&mut self) -> Result<()> {
        if let Some(running) = &self.running {
            self.poller
                .add(running.guest.pidfd(), Token::Guest.number(), Interest::READ)
                .explain(|| "cannot wait for the guest".to_owned())?;
        }
        self.watch_output(true);
        Ok(())
    }
}

/// Why a guest's network cannot be wired: one that has ended meanwhile has none, and knows itself why it ended.
fn unless_failed(guest: &mut dyn Guest, error: Error) -> Error {
    if pidfd::wait_ended(guest.pidfd(), Some(ENDING)).unwrap_or(false) {
        guest.start().err().unwrap_or(error)
    } else {
        error
    }
}
