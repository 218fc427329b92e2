//! Making and removing a cgroup's directories.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_contract::{Class, Error, Result, oci};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::file::{Directory, Failure};
use super::hierarchy::{Hierarchies, Hierarchy, Layout};
use super::{Cgroup, Member, limit};

/// A process that was killed leaves its cgroup when it has released its memory; a big one needs a while.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the cgroup in every hierarchy; `members` holds what was made, also on failure.
pub(super) fn make(
    hierarchies: &Hierarchies,
    path: &Path,
    resources: Option<&oci::LinuxResources>,
    members: &mut Vec<Member>,
) -> Result<()> {
    let unified_only = hierarchies.layout() == Layout::Unified;
    for hierarchy in &hierarchies.all {
        let failed =
            |failure: Failure| failure.explain(format!("cannot create cgroup {}", path.display()));
        let full = hierarchy.mount_point.join(path);
        make_leaf(hierarchy, &full).map_err(failed)?;
        let directory = Directory::open(full).map_err(failed)?;
        let member = Member {
            directory,
            controllers: hierarchy.controllers.clone(),
            unified: hierarchy.unified,
        };
        members.push(member);
        if hierarchy.has("cpuset") && !hierarchy.unified {
            inherit_cpuset(&hierarchy.mount_point.join(path), &hierarchy.mount_point)
                .map_err(failed)?;
        }
        if hierarchy.unified {
            let wanted: Vec<&str> = if unified_only {
                hierarchy.controllers.iter().map(String::as_str).collect()
            } else {
                resources.map(limit::controllers).unwrap_or_default()
            };
            enable(hierarchy, path, &wanted)?;
        }
    }
    Ok(())
}

/// Makes one directory, and its parents when they are missing.
fn make_leaf(hierarchy: &Hierarchy, full: &Path) -> Result<(), Failure> {
    match mkdir(full) {
        Err(Errno::NOENT) => {
            make_parents(hierarchy, full)?;
            mkdir(full)
        }
        // A leftover of a container that was lost: without processes it can be removed.
        Err(Errno::EXIST) => match remove_tree(full) {
            Ok(()) => mkdir(full),
            Err(failure) => return Err(failure),
        },
        other => other,
    }
    .map_err(|errno| Failure::new("create", full, errno))
}

fn mkdir(path: &Path) -> Result<(), Errno> {
    rustix::fs::mkdir(path, Mode::from_raw_mode(0o755))
}

fn make_parents(hierarchy: &Hierarchy, full: &Path) -> Result<(), Failure> {
    let Some(parent) = full.parent() else {
        return Ok(());
    };
    let Ok(beneath) = parent.strip_prefix(&hierarchy.mount_point) else {
        return Ok(());
    };
    let mut path = hierarchy.mount_point.clone();
    for component in beneath.components() {
        path.push(component);
        match mkdir(&path) {
            Ok(()) => {}
            // Another engine process makes it at the same time.
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(Failure::new("create", path, errno)),
        }
        if hierarchy.has("cpuset") && !hierarchy.unified {
            inherit_cpuset(&path, &hierarchy.mount_point)?;
            // Children then start with the parent's cpus and mems, which saves four file accesses for
            // every container.
            Directory::open(path.clone())?.write("cgroup.clone_children", "1")?;
        }
    }
    Ok(())
}

/// Copies `cpuset.cpus` and `cpuset.mems` from the parent, without which v1 refuses every process.
fn inherit_cpuset(path: &Path, top: &Path) -> Result<(), Failure> {
    let directory = Directory::open(path.to_owned())?;
    // A mount with `noprefix` has no "cpuset." in its names; no distribution does that any more.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !directory.read(file)?.trim().is_empty() {
            continue;
        }
        let Some(parent) = path.parent().filter(|_| path != top) else {
            return Ok(());
        };
        if parent != top {
            inherit_cpuset(parent, top)?;
        }
        let value = Directory::open(parent.to_owned())?.read(file)?;
        directory.write(file, value.trim())?;
    }
    Ok(())
}

/// Enables controllers for a cgroup2 directory, from the mount point down to its parent.
///
/// A controller that cannot be enabled is left out (`cpu` refuses while real-time processes run, for
/// one): it is missed, with a clear error, by the limit that needs it.
fn enable(hierarchy: &Hierarchy, path: &Path, wanted: &[&str]) -> Result<()> {
    let wanted: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|controller| hierarchy.has(controller))
        .collect();
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    let enabled = |directory: &Directory| -> Result<Vec<String>, Failure> {
        let text = directory.read("cgroup.subtree_control")?;
        Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
    };
    let failed = |failure: Failure| failure.explain("cannot enable the host's cgroup controllers");
    if wanted.is_empty() {
        return Ok(());
    }
    let nearest = Directory::open(hierarchy.mount_point.join(parent)).map_err(failed)?;
    let present = enabled(&nearest).map_err(failed)?;
    if wanted
        .iter()
        .all(|controller| present.iter().any(|own| own == controller))
    {
        return Ok(());
    }
    let mut steps = vec![hierarchy.mount_point.clone()];
    for component in parent.components() {
        let next = steps
            .last()
            .map(|last| last.join(component))
            .unwrap_or_default();
        steps.push(next);
    }
    for step in steps {
        let directory = Directory::open(step).map_err(failed)?;
        let present = enabled(&directory).map_err(failed)?;
        for controller in &wanted {
            if present.iter().any(|own| own == controller) {
                continue;
            }
            enable_one(&directory, controller, &hierarchy.mount_point).map_err(failed)?;
        }
    }
    Ok(())
}

fn enable_one(directory: &Directory, controller: &str, top: &Path) -> Result<(), Failure> {
    let value = format!("+{controller}");
    match directory.write("cgroup.subtree_control", &value) {
        Ok(()) => Ok(()),
        // cgroups(7), "no internal processes": inside a container the mount point is no real root, and
        // the engine itself may live in it. Its processes move into a leaf, as Docker-in-Docker does.
        Err(Failure {
            errno: Errno::BUSY, ..
        }) if directory.path() == top => {
            evacuate(directory)?;
            directory.write("cgroup.subtree_control", &value)
        }
        Err(failure) if matches!(failure.errno, Errno::ROFS | Errno::ACCESS | Errno::PERM) => {
            Err(failure)
        }
        Err(_) => Ok(()),
    }
}

/// Moves every process of a cgroup2 directory into its child `init`.
fn evacuate(directory: &Directory) -> Result<(), Failure> {
    let leaf = directory.path().join("init");
    match mkdir(&leaf) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Failure::new("create", leaf, errno)),
    }
    let leaf = Directory::open(leaf)?;
    // Processes may fork meanwhile; each round leaves fewer behind.
    for _ in 0..16 {
        let processes = directory.read("cgroup.procs")?;
        if processes.trim().is_empty() {
            break;
        }
        for process in processes.split_ascii_whitespace() {
            match leaf.write("cgroup.procs", process) {
                Ok(())
                | Err(Failure {
                    errno: Errno::SRCH, ..
                }) => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    Ok(())
}

/// Removes the cgroup from every hierarchy.
pub(super) fn remove(cgroup: &Cgroup) -> Result<()> {
    let mut first = None;
    let deadline = Instant::now() + PATIENCE;
    for member in &cgroup.members {
        if let Err(failure) = remove_member(cgroup, member, deadline)
            && first.is_none()
        {
            first = Some(failure);
        }
    }
    match first {
        None => Ok(()),
        Some(failure) => {
            let path = cgroup
                .members
                .first()
                .map(|member| member.directory.path().to_owned());
            let name = path.unwrap_or_default();
            let busy = failure.errno == Errno::BUSY;
            let error = failure.explain(format!("cannot remove the cgroup {}", name.display()));
            Err(if busy {
                error.hint("processes are still alive in it: see its cgroup.procs")
            } else {
                error
            })
        }
    }
}

fn remove_member(cgroup: &Cgroup, member: &Member, deadline: Instant) -> Result<(), Failure> {
    let path = member.directory.path();
    let mut wait = Duration::from_micros(50);
    let mut thawed = false;
    loop {
        let failure = match remove_tree(path) {
            Ok(()) => return Ok(()),
            Err(failure) if failure.errno == Errno::BUSY => failure,
            Err(failure) => return Err(failure),
        };
        if !thawed {
            // A frozen process cannot die.
            cgroup.release();
            thawed = true;
        }
        if Instant::now() >= deadline {
            return Err(failure);
        }
        pause(member, wait);
        wait = (wait * 2).min(Duration::from_millis(5));
    }
}

/// Waits for a process to leave, or for the given time: v1 tells nobody when a cgroup becomes empty.
fn pause(member: &Member, time: Duration) {
    let events = if member.unified {
        member
            .directory
            .open_file("cgroup.events", OFlags::RDONLY)
            .ok()
    } else {
        None
    };
    wait(events.as_ref(), time);
}

/// Polls a `cgroup.events` file, or nothing at all, for at most the given time.
pub(super) fn wait(events: Option<&std::os::fd::OwnedFd>, time: Duration) {
    let timeout = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    let mut waited: Vec<PollFd<'_>> = events
        .map(|events| PollFd::new(events, PollFlags::PRI))
        .into_iter()
        .collect();
    // An interrupted wait is only a shorter one.
    let _interrupted = poll(&mut waited, Some(&timeout)).is_err();
}

/// Removes a directory, and whatever cgroups were made beneath it.
fn remove_tree(path: &Path) -> Result<(), Failure> {
    match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(errno) => return Err(Failure::new("remove", path, errno)),
    }
    let directory = match Directory::open(path.to_owned()) {
        Ok(directory) => directory,
        Err(Failure {
            errno: Errno::NOENT,
            ..
        }) => return Ok(()),
        Err(failure) => return Err(failure),
    };
    for child in directory.children()? {
        let beneath: PathBuf = path.join(child);
        remove_tree(&beneath)?;
    }
    match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Failure::new("remove", path, errno)),
    }
}

/// The error for a limit whose controller the host lacks.
pub(super) fn missing(limit: &str, controller: &str) -> Error {
    Error::new(Class::Unsupported, format!("cannot apply the {limit}"))
        .caused_by(format!(
            "the host's cgroups have no {controller} controller"
        ))
        .hint("leave the limit out, or enable the controller on the host")
}
