//! How a guest's first process comes into its namespaces.
//!
//! ```text
//! own namespaces only             supervisor ── clone3(new namespaces) ──► guest
//! another's pid namespace         supervisor, inside it for a moment ── clone3 ──► guest
//! own users and others' spaces    supervisor ── clone3 ──► go-between ── joins, clone3(CLONE_PARENT) ──► guest
//! a second process (`exec.rs`)    the same: it is born within the guest's root
//! ```
//! The rights of a user namespace end at what it owns: what belongs to another one has to be joined before,
//! by a process that cannot come back. That go-between ends at once; the guest is the supervisor's child.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_contract::{Class, Error, Result, Signal};
use berth_sys::cgroup::Cgroup;
use berth_sys::channel::Channel;
use berth_sys::clone::{self, Child};
use berth_sys::error::Explain as _;
use berth_sys::namespace::{self, Namespaces};
use berth_sys::{pidfd, process};

use crate::exec::PATIENCE;
use crate::message::{self, FromGuest};
use crate::opened::{self, Opened};
use crate::plan::{MountSource, Plan};
use crate::{exec, mounts};

/// What a new first process finds done already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    /// It is in its cgroup, in the part of cgroup2 at least.
    pub(crate) cloned: bool,
    /// It is in the namespaces it joins, and in its whole cgroup.
    pub(crate) joined: bool,
}

/// Makes the first process; `body` is what it does, with what was opened for its mounts.
pub(crate) fn spawn(
    plan: &Plan,
    cgroup: &Cgroup,
    opened: Vec<Opened>,
    body: impl FnOnce(&[Opened], Begun) -> u8,
) -> Result<(Child, Begun)> {
    let directory = cgroup.directory();
    let mut begun = Begun {
        cloned: directory.is_some(),
        joined: false,
    };
    // These two are made by the process itself, later.
    let born_with = plan
        .namespaces
        .without(Namespaces::CGROUP)
        .without(Namespaces::TIME);
    if plan.own_users() && !plan.join.is_empty() {
        begun.joined = true;
        let mut opened = opened;
        return between(directory, sentence, |_| {
            pass(plan, cgroup, begun.cloned, &mut opened)?;
            clone::sibling(born_with, || body(&opened, begun)).explain(sentence)
        })
        .map(|child| (child, begun));
    }
    let spawn = || clone::spawn(born_with, directory, || body(&opened, begun)).explain(sentence);
    let child = match plan.joined(Namespaces::PID) {
        Some(path) => exec::in_namespace_file(open(path)?.as_fd(), spawn),
        None => spawn(),
    }?;
    Ok((child, begun))
}

fn sentence() -> String {
    "cannot make the container's process".to_owned()
}

fn open(path: &Path) -> Result<OwnedFd> {
    File::open(path)
        .map(OwnedFd::from)
        .explain(|| format!("cannot join the namespace {}", path.display()))
}

/// Makes a process through a go-between, which `bear` is run by: it goes where the process is to be born and
/// makes it as its sibling, so that it is this process's child. It is born in this cgroup of cgroup2.
pub(crate) fn between(
    directory: Option<BorrowedFd<'_>>,
    sentence: fn() -> String,
    bear: impl FnOnce(&Channel) -> Result<Child>,
) -> Result<Child> {
    let (ours, theirs) = Channel::pair().explain(sentence)?;
    let mut unneeded = Some(ours);
    let go_between = clone::spawn(Namespaces::empty(), directory, || {
        drop(unneeded.take());
        let born = bear(&theirs).and_then(|child| message::born(&theirs, child.pidfd.as_fd()));
        match born {
            Ok(()) => 0,
            Err(error) => {
                message::failed(&theirs, &error);
                error.class().exit_code()
            }
        }
    })
    .explain(sentence)?;
    drop(theirs);
    let heard = match &unneeded {
        Some(ours) => ours
            .set_patience(PATIENCE)
            .explain(sentence)
            .and_then(|()| message::receive(ours)),
        None => Err(Error::new(Class::Internal, sentence())),
    };
    let go_between = go_between.pidfd.as_fd();
    if heard.is_err() {
        // The guest's cgroup or its other processes hold it up; whoever supervises the guest has to go on.
        drop(pidfd::signal(go_between, Signal::KILL));
    }
    // What cgroup v1 froze does not even die; it is collected with the supervisor's end.
    if pidfd::wait_ended(go_between, Some(PATIENCE)).explain(sentence)? {
        pidfd::wait(go_between).explain(sentence)?;
    }
    match heard? {
        FromGuest::Born(pidfd) => Ok(Child {
            pid: pidfd::pid(&pidfd).explain(sentence)?,
            pidfd,
        }),
        FromGuest::Failed(report) => Err(report.into()),
        _ => Err(Error::new(Class::Internal, sentence())
            .caused_by("the process that was to make it ended without a word")),
    }
}

/// The go-between's way: into the cgroup, then into every namespace that is joined, users last.
fn pass(plan: &Plan, cgroup: &Cgroup, cloned: bool, opened: &mut [Opened]) -> Result<()> {
    process::die_with_parent().explain(sentence)?;
    // Processes of another guest may see this one (CVE-2016-9962).
    process::set_hidden(true).explain(sentence)?;
    cgroup.enter(cloned)?;
    let mut files = Vec::with_capacity(plan.join.len());
    for (kind, path) in &plan.join {
        files.push((*kind, open(path)?, path));
    }
    files.sort_by_key(|(kind, ..)| *kind == Namespaces::USER);
    for (kind, file, path) in &files {
        if *kind == Namespaces::USER {
            continue;
        }
        namespace::join(file, *kind)
            .explain(|| format!("cannot join the namespace {}", path.display()))?;
    }
    if plan.namespaces.contains(Namespaces::USER) {
        // What shows the namespaces of others can be mounted only with rights over those.
        for (place, mount) in opened.iter_mut().zip(&plan.mounts) {
            if let MountSource::New { kind, source } = &mount.source
                && let Some(namespace) = opened::shown_by(kind)
                && plan.joined(namespace).is_some()
                && namespace != Namespaces::PID
            {
                let made = mounts::new(kind, source, &mount.options)
                    .explain(|| format!("cannot mount {}", mount.destination.display()))?;
                place.source = Some(made);
            }
        }
    }
    if let Some((kind, file, path)) = files.last().filter(|(kind, ..)| *kind == Namespaces::USER) {
        namespace::join(file, *kind)
            .explain(|| format!("cannot join the namespace {}", path.display()))?;
        process::set_user(0, 0).explain(sentence)?;
        process::set_hidden(true).explain(sentence)?;
    }
    Ok(())
}
