//! A second process inside a guest: same namespaces, cgroup and root, other streams.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use berth_contract::{Class, Error, Inherited, Program, Result, Stdio, oci};
use berth_sys::cgroup::Cgroup;
use berth_sys::channel::Channel;
use berth_sys::error::Explain as _;
use berth_sys::namespace::{self, Namespaces};
use berth_sys::path::{self, Directory};
use berth_sys::{clone, fd, pidfd, process};

use crate::execute::{self, Becoming};
use crate::guest::{LinuxGuest, Shared, root_of};
use crate::plan::process::ProcessPlan;
use crate::{birth, device, message};

/// How long a process may be silent while it prepares itself: the guest's others can stop it, its cgroup can be
/// frozen or out of memory, and whoever waits for it does nothing else meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What is to run.
#[derive(Debug)]
pub(crate) struct Second<'a> {
    pub(crate) process: &'a oci::Process,
    pub(crate) stdio: Stdio,
    pub(crate) program: Program,
    pub(crate) inherited: Vec<Inherited>,
}

/// Makes the process and returns while it prepares itself.
pub(crate) fn start(
    first: &clone::Child,
    shared: Rc<Shared>,
    second: &Second<'_>,
) -> Result<LinuxGuest> {
    let sentence = || "cannot run a command in the container".to_owned();
    let plan = ProcessPlan::new(second.process, &shared.common)?;
    let (ours, theirs) = Channel::pair().explain(sentence)?;
    let root = root_of(first.pid)?;
    if let Some(owner) = shared.root {
        owner.give(&second.stdio);
    }
    let cgroup = shared.cgroup.as_ref();
    let divided = cgroup.and_then(|cgroup| cgroup.divided(first.pid));
    let directory = divided
        .as_ref()
        .map(OwnedFd::as_fd)
        .or(cgroup.and_then(Cgroup::directory));
    let context = Context {
        plan: &plan,
        second,
        channel: &theirs,
        root: &root,
        target: first.pidfd.as_fd(),
        cgroup: cgroup.map(|cgroup| (cgroup, directory.is_some())),
        namespaces: shared.namespaces,
    };
    let mut unneeded = Some(ours);
    let child = birth::between(directory, sentence, |speaker| {
        // The copy of the supervisor's end would keep the channel from ever closing.
        drop(unneeded.take());
        let root = join(&context, speaker)?;
        clone::sibling(Namespaces::empty(), || run(&context, &root)).explain(sentence)
    })?;
    let Some(ours) = unneeded.take() else {
        return Err(Error::new(Class::Internal, sentence()));
    };
    ours.set_patience(PATIENCE).explain(sentence)?;
    Ok(LinuxGuest::new(child, ours, shared, plan, false))
}

/// Everything the process needs.
struct Context<'a> {
    plan: &'a ProcessPlan,
    second: &'a Second<'a>,
    channel: &'a Channel,
    /// The guest's root, as its first process has it.
    root: &'a OwnedFd,
    /// The guest's first process.
    target: BorrowedFd<'a>,
    /// The guest's cgroup, and whether the process was born in cgroup2's part of it.
    cgroup: Option<(&'a Cgroup, bool)>,
    namespaces: Namespaces,
}

/// Children of this process are born in a pid namespace while `body` runs.
pub(crate) fn in_namespace_file<T>(
    namespace: BorrowedFd<'_>,
    body: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let own = pidfd::open(process::id()).explain(|| "cannot open our own process".into())?;
    namespace::join(namespace, Namespaces::PID)
        .explain(|| "cannot join the pid namespace".into())?;
    let result = body();
    namespace::join_process(own, Namespaces::PID)
        .explain(|| "cannot return to the host's pid namespace".into())?;
    result
}

/// The go-between's way into the guest: its cgroup, its namespaces, its root; the pid namespace comes last.
///
/// The guest's processes can see this one from then on, and look into it if they have `CAP_SYS_PTRACE`
/// (CVE-2016-9962): nothing of the host may be open or be its root by then. Its children are born in the pid
/// namespace, it never is.
fn join(context: &Context<'_>, speaker: &Channel) -> Result<Directory> {
    let sentence = || "cannot join the container".to_owned();
    process::die_with_parent().explain(sentence)?;
    if let Some((cgroup, cloned)) = context.cgroup {
        cgroup.enter(cloned)?;
    }
    process::set_hidden(true).explain(sentence)?;
    let second = context.second;
    let mut keep = vec![
        fd::number(speaker),
        fd::number(context.channel),
        fd::number(context.root),
        fd::number(context.target),
    ];
    keep.extend(execute::kept(
        &second.stdio,
        &second.program,
        &second.inherited,
    ));
    fd::close_all_but(&keep).explain(sentence)?;
    let others = context.namespaces.without(Namespaces::PID);
    namespace::join_process(context.target, others).explain(sentence)?;
    let root = enter_root(context.root)?;
    if context.namespaces.contains(Namespaces::USER) {
        process::set_user(0, 0).explain(sentence)?;
        process::set_hidden(true).explain(sentence)?;
    }
    if context.namespaces.contains(Namespaces::PID) {
        namespace::join_process(context.target, Namespaces::PID).explain(sentence)?;
    }
    Ok(root)
}

fn run(context: &Context<'_>, root: &Directory) -> u8 {
    match prepare_and_execute(context, root) {
        Ok(status) => status,
        Err(error) => {
            message::failed(context.channel, &error);
            error.class().exit_code()
        }
    }
}

fn prepare_and_execute(context: &Context<'_>, root: &Directory) -> Result<u8> {
    let second = context.second;
    process::die_with_parent().explain(|| "cannot join the container".into())?;
    process::set_mask(0);
    let terminal = match &second.stdio {
        Stdio::Files { .. } => None,
        Stdio::Terminal(size) => {
            let (master, slave) = device::pty(root, *size)?;
            message::terminal(context.channel, master.as_fd())?;
            Some(slave)
        }
    };
    execute::become_and_execute(Becoming {
        plan: context.plan,
        root,
        channel: context.channel,
        stdio: &second.stdio,
        terminal,
        program: &second.program,
        inherited: &second.inherited,
        reaper: false,
        own_users: context.namespaces.contains(Namespaces::USER),
        first: None,
    })
}

/// Joining the mount namespace gives its root; where that is not the guest's own (an engine inside a
/// chroot, a guest with the host's mounts), the guest's own is entered.
fn enter_root(expected: &OwnedFd) -> Result<Directory> {
    let sentence = || "cannot enter the container's root".to_owned();
    let root = Directory::open(Path::new("/")).explain(sentence)?;
    let (here, there) = (
        path::status(&root).explain(sentence)?,
        path::status(expected).explain(sentence)?,
    );
    if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino) {
        process::change_root(expected).explain(sentence)?;
        return Directory::open(Path::new("/")).explain(sentence);
    }
    process::change_directory(&root).explain(sentence)?;
    Ok(root)
}
