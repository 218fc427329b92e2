//! The guest's own side: what its first process does between `clone3` and `execve`.
//!
//! It runs on a copy of the supervisor's memory, in parallel with it: while the supervisor attaches
//! networks and compiles the system call filter, mounts are made here.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_contract::{Error, Inherited, Program, Result, Rootfs, Stdio};
use berth_sys::cgroup::Cgroup;
use berth_sys::channel::Channel;
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::mount::{self, Propagation};
use berth_sys::namespace::{self, Namespaces};
use berth_sys::path::{self, Directory};
use berth_sys::{fd, process};

use crate::birth::Begun;
use crate::execute::{self, Becoming};
use crate::hooks::Stages;
use crate::opened::Opened;
use crate::plan::Plan;
use crate::{device, mask, message, mounts, rootfs};

/// Everything the first process needs.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) rootfs: &'a Rootfs,
    pub(crate) stdio: &'a Stdio,
    pub(crate) program: &'a Program,
    pub(crate) inherited: &'a [Inherited],
    pub(crate) channel: &'a Channel,
    pub(crate) cgroup: &'a Cgroup,
    /// What is done already.
    pub(crate) begun: Begun,
    pub(crate) hooks: &'a Stages,
    /// The root, where only the supervisor could mount it.
    pub(crate) root: Option<&'a OwnedFd>,
    /// What the supervisor opened for each mount.
    pub(crate) opened: &'a [Opened],
}

/// Prepares the guest and becomes its program; returns the exit status of a failure.
pub(crate) fn run(context: &Context<'_>) -> u8 {
    match prepare_and_execute(context) {
        Ok(status) => status,
        Err(error) => {
            message::failed(context.channel, &error);
            error.class().exit_code()
        }
    }
}

/// The exit status of a guest whose supervisor died before it was started; nobody sees it.
const ORPHANED: u8 = 137;

fn prepare_and_execute(context: &Context<'_>) -> Result<u8> {
    let plan = context.plan;
    process::die_with_parent().explain(|| "cannot tie the container to its supervisor".into())?;
    if plan.joined(Namespaces::PID).is_some() {
        // Processes of another guest can see this one (CVE-2016-9962).
        process::set_hidden(true).explain(|| "cannot hide from other containers".into())?;
    }
    let new_users = plan.namespaces.contains(Namespaces::USER);
    if !new_users && !context.begun.joined {
        context.cgroup.enter(context.begun.cloned)?;
    }
    keep_only(context)?;
    process::set_mask(0);
    if new_users {
        if !message::await_word(context.channel)? {
            return Ok(ORPHANED);
        }
        become_root()?;
    }
    let hosts = isolate(plan, context.begun)?;
    let root = match context.root {
        Some(root) => fd::duplicate(root).explain(|| "cannot use the container's root".into())?,
        None => rootfs::detached(context.rootfs, None)?,
    };
    let root = rootfs::attach(root)?;
    if plan.namespaces.contains(Namespaces::CGROUP) {
        // Only now: the process's cgroup at this moment becomes the namespace's root.
        namespace::unshare(Namespaces::CGROUP)
            .explain(|| "cannot make a cgroup namespace".into())?;
    }
    let terminal = furnish(context, &root)?;
    if plan.root_read_only {
        rootfs::protect(&root)?;
    }
    if context.hooks.wait_for_supervisor() {
        message::furnished(context.channel)?;
        if !message::await_word(context.channel)? {
            return Ok(ORPHANED);
        }
    }
    context.hooks.create_container()?;
    if let Some(hosts) = hosts {
        // Joining one's own mount namespace leaves a chroot; only from its real root can it be left
        // behind by pivot_root.
        namespace::join(&hosts, Namespaces::MOUNT).explain(|| "cannot leave the chroot".into())?;
    }
    rootfs::enter(&root)?;
    if let Some((propagation, recursive)) = plan.root_propagation {
        let change = mount::Change {
            propagation: Some(propagation),
            recursive,
            ..mount::Change::default()
        };
        mount::set_attributes(&root, &change)
            .explain(|| "cannot set the propagation of the container's root".into())?;
    }
    execute::become_and_execute(Becoming {
        plan: &plan.process,
        root: &root,
        channel: context.channel,
        stdio: context.stdio,
        terminal,
        program: context.program,
        inherited: context.inherited,
        reaper: plan.reaper,
        own_users: plan.own_users(),
        first: Some(context.hooks),
    })
}

/// Everything in the guest's tree; returns the terminal's slave.
fn furnish(context: &Context<'_>, root: &Directory) -> Result<Option<OwnedFd>> {
    let plan = context.plan;
    let nothing = Opened::default();
    let mut own_proc = None;
    for (place, mount) in plan.mounts.iter().enumerate() {
        let opened = context.opened.get(place).unwrap_or(&nothing);
        let proc = mounts::perform(root, mount, opened)?;
        if mount.destination == Path::new("/proc") {
            own_proc = proc;
        }
    }
    device::populate(root, &plan.devices)?;
    write_sysctls(plan, own_proc.as_ref().map(OwnedFd::as_fd))?;
    let terminal = match context.stdio {
        Stdio::Files { .. } => None,
        Stdio::Terminal(size) => {
            let (master, slave) = device::pty(root, *size)?;
            device::console(root, slave.as_fd())?;
            message::terminal(context.channel, master.as_fd())?;
            Some(slave)
        }
    };
    mask::protect(root, &plan.read_only)?;
    mask::hide(root, &plan.masked)?;
    Ok(terminal)
}

/// Namespaces that are joined, names, clocks, and mounts cut off from the host's.
///
/// Returns this process's mount namespace when it lives in a chroot.
fn isolate(plan: &Plan, begun: Begun) -> Result<Option<OwnedFd>> {
    for (kind, path) in plan
        .join
        .iter()
        .filter(|(kind, _)| *kind != Namespaces::PID && !begun.joined)
    {
        let sentence = || format!("cannot join the namespace {}", path.display());
        let file = File::open(path).explain(sentence)?;
        namespace::join(file, *kind).explain(sentence)?;
    }
    if plan.namespaces.contains(Namespaces::TIME) {
        own_clocks(plan)?;
    }
    if let Some(name) = &plan.host_name {
        namespace::set_host_name(name).explain(|| format!("cannot name the host {name}"))?;
    }
    if let Some(name) = &plan.domain_name {
        namespace::set_domain_name(name).explain(|| format!("cannot name the domain {name}"))?;
    }
    detach_from_host(plan.propagation)
}

fn detach_from_host(propagation: Propagation) -> Result<Option<OwnedFd>> {
    let sentence = || "cannot cut the container's mounts off from the host's".to_owned();
    match mount::set_root_propagation(propagation) {
        Err(error) if error::is(&error, Errno::INVAL) => {}
        result => return result.explain(sentence).map(|()| None),
    }
    // `/` is no mount point: a chroot. Its root is kept, the namespace's own one is changed.
    let here = Directory::open(Path::new("/")).explain(sentence)?;
    let namespace: OwnedFd = File::open("/proc/self/ns/mnt").explain(sentence)?.into();
    namespace::join(&namespace, Namespaces::MOUNT).explain(sentence)?;
    mount::set_root_propagation(propagation).explain(sentence)?;
    process::change_root(&here).explain(sentence)?;
    Ok(Some(namespace))
}

/// The clocks' offsets can only be set while no process is in the namespace, so it is made for future
/// children first and joined then (man 7 `time_namespaces`).
fn own_clocks(plan: &Plan) -> Result<()> {
    let sentence = || "cannot make a time namespace".to_owned();
    namespace::unshare(Namespaces::TIME).explain(sentence)?;
    if !plan.clocks.is_empty() {
        let text: String = plan
            .clocks
            .iter()
            .map(|(clock, seconds, nanoseconds)| format!("{clock} {seconds} {nanoseconds}\n"))
            .collect();
        std::fs::write("/proc/self/timens_offsets", text)
            .explain(|| "cannot set the container's clocks".into())?;
    }
    let namespace = File::open("/proc/self/ns/time_for_children").explain(sentence)?;
    namespace::join(namespace, Namespaces::TIME).explain(sentence)
}

/// In a new user namespace nobody is anybody until told; its root may do everything in it.
fn become_root() -> Result<()> {
    let sentence = || "cannot become root of the user namespace".to_owned();
    process::set_user(0, 0).explain(sentence)?;
    // The change of user cleared it.
    process::die_with_parent().explain(sentence)
}

/// Sysctls are written through the guest's own procfs, before anything covers a part of it.
fn write_sysctls(plan: &Plan, own: Option<BorrowedFd<'_>>) -> Result<()> {
    if plan.sysctls.is_empty() {
        return Ok(());
    }
    let private;
    let proc = match own {
        Some(proc) => proc,
        None => {
            private = execute::private_proc()?;
            private.as_fd()
        }
    };
    for (key, value) in &plan.sysctls {
        path::write_proc(proc, &format!("sys/{key}"), value.as_bytes())
            .explain(|| format!("cannot set the sysctl {key} to {value:?}"))?;
    }
    Ok(())
}

/// Closes every file of the supervisor that is not for the guest.
fn keep_only(context: &Context<'_>) -> Result<()> {
    let mut keep = vec![fd::number(context.channel)];
    keep.extend(execute::kept(
        context.stdio,
        context.program,
        context.inherited,
    ));
    keep.extend(context.root.map(fd::number));
    for opened in context.opened {
        keep.extend(opened.source.as_ref().map(fd::number));
    }
    fd::close_all_but(&keep).explain(|| "cannot close the supervisor's files".into())
}

/// The error for a guest that died without a word.
pub(crate) fn died(exit: Option<berth_contract::Exit>) -> Error {
    let how = match exit {
        Some(exit) => format!("its first process ended with status {}", exit.status()),
        None => "its first process closed the channel".to_owned(),
    };
    Error::new(
        berth_contract::Class::Internal,
        "cannot prepare the container",
    )
    .caused_by(how)
}
