//! The supervisor's side of one guest process, the first one or one of `exec`.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use berth_contract::{
    Class, Error, Exit, Guest, Inherited, Program, Report, Result, Signal, Stdio, oci,
};
use berth_sys::cgroup::Cgroup;
use berth_sys::channel::Channel;
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::namespace::Namespaces;
use berth_sys::{clone, pidfd};

use crate::agent::Agent;
use crate::filter::Filter;
use crate::message::{self, FromGuest};
use crate::plan::process::{Common, ProcessPlan};
use crate::users::Root;
use crate::{exec, hooks, init, outside};

/// How long a killed process may take to disappear: a file system it uses may have to write first.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);

/// What every process of one guest shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) common: Common,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) filter: Option<Filter>,
    /// The namespaces that differ from the supervisor's, made or joined.
    pub(crate) namespaces: Namespaces,
    /// Who the guest's root is, when its users are its own.
    pub(crate) root: Option<Root>,
    pub(crate) hooks: hooks::Stages,
    /// The first process.
    pub(crate) pid: i32,
    /// Who answers the system calls that the filter passes on.
    pub(crate) agent: Option<Agent>,
}

/// How far a process has come.
#[derive(Debug)]
enum Stage {
    Preparing,
    Prepared,
    Started,
    Failed(Report),
}

/// One process of a guest.
pub(crate) struct LinuxGuest {
    child: clone::Child,
    channel: Option<Channel>,
    stage: Stage,
    terminal: Option<OwnedFd>,
    exit: Option<Exit>,
    shared: Rc<Shared>,
    plan: ProcessPlan,
    /// Whether this is the first process, with which the guest ends.
    first: bool,
    destroyed: bool,
}

impl LinuxGuest {
    pub(crate) fn new(
        child: clone::Child,
        channel: Channel,
        shared: Rc<Shared>,
        plan: ProcessPlan,
        first: bool,
    ) -> Self {
        Self {
            child,
            channel: Some(channel),
            stage: Stage::Preparing,
            terminal: None,
            exit: None,
            shared,
            plan,
            first,
            destroyed: false,
        }
    }

    /// The handle on a new first process, after what only the supervisor can do for it.
    ///
    /// On failure nothing is left.
    pub(crate) fn first(
        (child, channel): (clone::Child, Channel),
        (mut shared, plan): (Shared, ProcessPlan),
        settle: impl FnOnce(i32, Option<&Cgroup>, &Channel) -> Result<()>,
        compile: impl FnOnce() -> Result<Option<Filter>>,
    ) -> Result<Self> {
        // The guest's mounts go on while its filter is compiled here.
        let prepared = settle(child.pid, shared.cgroup.as_ref(), &channel).and_then(|()| compile());
        let (filter, failure) = match prepared {
            Ok(filter) => (filter, None),
            Err(error) => (None, Some(error)),
        };
        shared.filter = filter;
        let mut guest = Self::new(child, channel, Rc::new(shared), plan, true);
        let Some(error) = failure else {
            return Ok(guest);
        };
        drop(guest.destroy());
        Err(error)
    }

    /// Takes the guest's next message into account.
    fn listen(&mut self) -> Result<()> {
        let heard = match &self.channel {
            Some(channel) => message::receive(channel)?,
            None => FromGuest::Closed,
        };
        match heard {
            FromGuest::Terminal(master) => self.terminal = Some(master),
            FromGuest::Furnished => {
                self.shared.hooks.create_runtime(self.child.pid)?;
                if let Some(channel) = &self.channel {
                    message::proceed(channel)?;
                }
            }
            FromGuest::Prepared => self.stage = Stage::Prepared,
            FromGuest::Born(_) | FromGuest::Listener(_) => {}
            FromGuest::Failed(report) => self.stage = Stage::Failed(report),
            FromGuest::Closed => {
                self.channel = None;
                let exit = pidfd::peek(self.child.pidfd.as_fd()).ok().flatten();
                self.stage = Stage::Failed(Report::from(&init::died(exit)));
            }
        }
        Ok(())
    }

    /// Waits until the process has done everything but execute.
    fn await_prepared(&mut self) -> Result<()> {
        while matches!(self.stage, Stage::Preparing) {
            self.listen()?;
        }
        match &self.stage {
            Stage::Failed(report) => Err(report.clone().into()),
            _ => Ok(()),
        }
    }

    /// Hands the listener of this process's filter to the one who answers.
    fn listened(&self, listener: &OwnedFd) -> Result<()> {
        let Some(agent) = &self.shared.agent else {
            return Ok(());
        };
        let (status, pid) = if self.first {
            ("created", self.child.pid)
        } else {
            ("running", self.shared.pid)
        };
        let state = self.shared.hooks.state(status, Some(pid));
        agent.hand_over(listener, self.child.pid, &state)
    }

    fn kill(&mut self) -> Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        match pidfd::signal(&self.child.pidfd, Signal::KILL) {
            Err(error) if !error::is(&error, Errno::SRCH) => {
                return Err(error).explain(|| format!("cannot kill process {}", self.child.pid));
            }
            _ => {}
        }
        let ended = pidfd::wait_ended(self.child.pidfd.as_fd(), Some(DEATH_PATIENCE))
            .explain(|| format!("cannot wait for process {}", self.child.pid))?;
        if !ended {
            return Err(
                Error::new(Class::Unavailable, "cannot end the container").caused_by(format!(
                    "process {} was killed but waits for a device",
                    self.child.pid
                )),
            );
        }
        self.reap().map(|_| ())
    }
}

impl Guest for LinuxGuest {
    fn pid(&self) -> i32 {
        self.child.pid
    }

    fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    fn terminal(&mut self) -> Result<Option<OwnedFd>> {
        while self.terminal.is_none() && matches!(self.stage, Stage::Preparing) {
            self.listen()?;
        }
        match (&self.stage, self.terminal.take()) {
            (Stage::Failed(report), None) => Err(report.clone().into()),
            (_, terminal) => Ok(terminal),
        }
    }

    fn start(&mut self) -> Result<()> {
        self.await_prepared()?;
        if let Some(channel) = &self.channel {
            if self.shared.root.is_some() {
                outside::apply(&self.plan, Some(self.child.pid))?;
            }
            message::go(channel, self.shared.filter.as_ref())?;
        }
        // The channel closes on execute: its end is the program's beginning.
        while let Some(channel) = &self.channel {
            match message::receive(channel)? {
                FromGuest::Closed => self.channel = None,
                FromGuest::Failed(report) => {
                    self.stage = Stage::Failed(report.clone());
                    return Err(report.into());
                }
                FromGuest::Listener(listener) => self.listened(&listener)?,
                FromGuest::Terminal(_)
                | FromGuest::Born(_)
                | FromGuest::Furnished
                | FromGuest::Prepared => {}
            }
        }
        self.stage = Stage::Started;
        if self.first {
            self.shared.hooks.after_start(self.child.pid)
        } else {
            Ok(())
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        pidfd::signal(&self.child.pidfd, signal).map_err(|error| {
            let ended = error::is(&error, Errno::SRCH);
            let class = if ended {
                Class::Conflict
            } else {
                error::class(&error)
            };
            Error::new(class, format!("cannot send {signal} to the container")).caused_by(error)
        })
    }

    fn reap(&mut self) -> Result<Option<Exit>> {
        if self.exit.is_none() {
            let exit = pidfd::try_wait(self.child.pidfd.as_fd())
                .explain(|| format!("cannot wait for process {}", self.child.pid))?;
            self.exit = match (&self.stage, exit) {
                (Stage::Failed(report), Some(_)) => Some(Exit::NeverStarted {
                    report: report.clone(),
                }),
                (_, exit) => exit,
            };
        }
        Ok(self.exit.clone())
    }

    fn exec(&mut self, process: &oci::Process, stdio: Stdio) -> Result<Box<dyn Guest>> {
        self.exec_program(process, stdio, Program::Arguments, Vec::new())
    }

    fn exec_program(
        &mut self,
        process: &oci::Process,
        stdio: Stdio,
        program: Program,
        inherited: Vec<Inherited>,
    ) -> Result<Box<dyn Guest>> {
        if self.exit.is_some() || !matches!(self.stage, Stage::Started) {
            return Err(
                Error::new(Class::Conflict, "cannot run a command in the container")
                    .caused_by("it is not running"),
            );
        }
        let second = exec::Second {
            process,
            stdio,
            program,
            inherited,
        };
        Ok(Box::new(exec::start(
            &self.child,
            Rc::clone(&self.shared),
            &second,
        )?))
    }

    fn destroy(&mut self) -> Result<()> {
        if self.destroyed {
            return Ok(());
        }
        self.channel = None;
        let mut failures = Vec::new();
        if self.first
            && let Some(cgroup) = &self.shared.cgroup
        {
            // A frozen process does not die before it is thawed (v1), and what left the pid namespace
            // of the first process does not die with it.
            failures.extend(cgroup.kill_all().err());
        }
        failures.extend(self.kill().err());
        if self.first
            && let Some(cgroup) = &self.shared.cgroup
        {
            failures.extend(cgroup.remove().err());
        }
        self.destroyed = failures.is_empty();
        if self.first && self.destroyed {
            // Once: it is as if a hook that fails had not, but for being told.
            failures.extend(self.shared.hooks.after_stop().err());
        }
        collected(failures)
    }
}

/// One error out of several: the first one, with the others as hints.
fn collected(failures: Vec<Error>) -> Result<()> {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else {
        return Ok(());
    };
    Err(failures.fold(first, |first, other| {
        first.hint(format!("also: {}", Report::from(&other).line()))
    }))
}

impl fmt::Debug for LinuxGuest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LinuxGuest")
            .field("pid", &self.child.pid)
            .field("stage", &self.stage)
            .field("exit", &self.exit)
            .finish_non_exhaustive()
    }
}

impl Drop for LinuxGuest {
    /// A guest that was never started must not wait for ever; one that runs is its owner's to end.
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Started) && !self.destroyed {
            drop(self.destroy());
        }
    }
}

/// The root of a process, as a directory.
pub(crate) fn root_of(pid: i32) -> Result<OwnedFd> {
    let path = PathBuf::from(format!("/proc/{pid}/root"));
    File::open(&path)
        .map(OwnedFd::from)
        .explain(|| format!("cannot open {}", path.display()))
}
