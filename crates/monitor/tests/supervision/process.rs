//! A runtime whose guests are plain processes: the supervision is the same, and needs no privileges.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Child, Command};

use berth_contract::{
    Class, Error, Exit, Guest, HostFacts, ImageFacts, Result, Runtime, Signal, Slot, Stdio,
    Support, Verdict, oci,
};
use berth_sys::error::Explain as _;
use berth_sys::pidfd;

/// Runs `spec.process.args` as a process.
#[derive(Debug)]
pub(crate) struct Processes;

impl Runtime for Processes {
    fn name(&self) -> &'static str {
        "process"
    }

    fn probe(&self, _host: &HostFacts) -> Support {
        Support::Ready
    }

    fn accepts(&self, _image: &ImageFacts) -> Verdict {
        Verdict::Mine
    }

    fn create(&self, spec: &oci::Spec, slot: Slot) -> Result<Box<dyn Guest>> {
        let process = spec
            .process
            .as_ref()
            .expect("the test's spec has a process");
        Process::boxed(process, slot.stdio)
    }
}

/// Before and after its start.
#[derive(Debug)]
struct Process {
    command: Option<Command>,
    child: Option<(Child, OwnedFd)>,
}

impl Process {
    fn boxed(process: &oci::Process, stdio: Stdio) -> Result<Box<dyn Guest>> {
        let arguments = process.args.clone().unwrap_or_default();
        let mut command = Command::new(&arguments[0]);
        command.args(&arguments[1..]);
        if let Stdio::Files {
            stdin,
            stdout,
            stderr,
        } = stdio
        {
            command.stdin(stdin).stdout(stdout).stderr(stderr);
        }
        Ok(Box::new(Self {
            command: Some(command),
            child: None,
        }))
    }
}

impl Guest for Process {
    fn pid(&self) -> i32 {
        self.child
            .as_ref()
            .map_or(0, |(child, _)| i32::try_from(child.id()).unwrap_or(0))
    }

    fn pidfd(&self) -> BorrowedFd<'_> {
        self.child
            .as_ref()
            .expect("asked after the start")
            .1
            .as_fd()
    }

    fn terminal(&mut self) -> Result<Option<OwnedFd>> {
        Ok(None)
    }

    fn start(&mut self) -> Result<()> {
        let Some(mut command) = self.command.take() else {
            return Ok(());
        };
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| {
            Error::new(Class::CommandNotFound, format!("cannot run {program}")).caused_by(error)
        })?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let pidfd = pidfd::open(pid).explain(|| "no pidfd".to_owned())?;
        self.child = Some((child, pidfd));
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        pidfd::signal(self.pidfd(), signal).explain(|| "cannot signal".to_owned())
    }

    fn reap(&mut self) -> Result<Option<Exit>> {
        pidfd::try_wait(self.pidfd()).explain(|| "cannot wait".to_owned())
    }

    fn exec(&mut self, process: &oci::Process, stdio: Stdio) -> Result<Box<dyn Guest>> {
        Self::boxed(process, stdio)
    }

    fn destroy(&mut self) -> Result<()> {
        if let Some((child, _)) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
        Ok(())
    }
}
