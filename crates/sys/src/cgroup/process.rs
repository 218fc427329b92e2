//! A cgroup's processes: adding, listing, freezing, killing, and how many the kernel killed.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use berth_contract::{Class, Error, Result};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::file::{Directory, Failure};
use super::{Cgroup, Member, Place, tree};

/// How long freezing may take before it is given up: uninterruptible I/O on a slow disk takes seconds.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

/// How deep the cgroups are looked into that a guest made for itself; each level holds a file open.
const DEEPEST: usize = 128;

impl Cgroup {
    /// Moves a process into the cgroup in every hierarchy.
    ///
    /// # Errors
    /// A hierarchy refuses it, or the process is gone.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.add_where(pid, true)
    }

    /// Moves a process that clone3 already put into [`Cgroup::directory`] into the other hierarchies.
    ///
    /// # Errors
    /// As for [`Cgroup::add`].
    pub fn add_cloned(&self, pid: i32) -> Result<()> {
        self.add_where(pid, false)
    }

    /// Moves the calling process, which has one thread, into the cgroup; `cloned` as for
    /// [`Cgroup::add_cloned`].
    ///
    /// A thread that moves itself through v1's `tasks` is the one case in which the kernel does not stop
    /// every fork and exit of the machine for the move: microseconds in place of milliseconds under load.
    ///
    /// # Errors
    /// A hierarchy refuses it.
    pub fn enter(&self, cloned: bool) -> Result<()> {
        for member in self
            .members
            .iter()
            .filter(|member| !(cloned && member.unified))
        {
            let file = if member.unified {
                "cgroup.procs"
            } else {
                "tasks"
            };
            member.directory.write(file, "0").map_err(|failure| {
                let refused = failure.errno == Errno::INVAL;
                let error = failure.explain("cannot put the container's process into its cgroup");
                match refused {
                    // v1's cpu controller gives a cgroup no time for it unless it is told how much.
                    true => error.hint("start berth without real-time scheduling: chrt -o 0"),
                    false => error,
                }
            })?;
        }
        Ok(())
    }

    fn add_where(&self, pid: i32, unified: bool) -> Result<()> {
        let text = pid.to_string();
        for member in self
            .members
            .iter()
            .filter(|member| unified || !member.unified)
        {
            member
                .directory
                .write("cgroup.procs", &text)
                .map_err(|failure| {
                    failure.explain(format!("cannot put process {pid} into its cgroup"))
                })?;
        }
        Ok(())
    }

    /// Where in cgroup2 its process `pid` is, if new ones have to be born there too: a cgroup whose processes have
    /// made cgroups with limits of their own in it cannot have any itself (cgroups(7), "no internal processes").
    #[must_use]
    pub fn divided(&self, pid: i32) -> Option<OwnedFd> {
        let whole = self.unified()?;
        if whole.read("cgroup.subtree_control").ok()?.trim().is_empty() {
            return None;
        }
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let name = whole.path().file_name()?.to_str()?;
        let (_, within) = path.split_once(&format!("/{name}/"))?;
        let mut steps = within.split('/');
        let first = whole.child(steps.next()?).ok()?;
        let part = steps.try_fold(first, |part, step| part.child(step)).ok()?;
        Some(part.into_fd())
    }

    /// The processes in the cgroup and beneath it, as this pid namespace numbers them.
    ///
    /// # Errors
    /// The cgroup cannot be read. One that is gone has no processes.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        if let Some(directory) = self.tasks() {
            visit(directory, DEEPEST, &mut |part| collect(part, &mut pids))
                .map_err(|failure| failure.explain("cannot list the container's processes"))?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// The hierarchy asked for processes: cgroup2, for guests cannot leave their part of it.
    fn tasks(&self) -> Option<&Directory> {
        self.unified().or_else(|| {
            let preferred = self.members.iter().find(|member| {
                member
                    .controllers
                    .iter()
                    .any(|own| own == "freezer" || own == "pids")
            });
            preferred
                .or(self.members.first())
                .map(|member| &member.directory)
        })
    }

    /// Stops every process of the cgroup where it is, and returns when all stand still.
    ///
    /// # Errors
    /// The host cannot freeze, or a process did not stop within ten seconds; they run on then.
    pub fn freeze(&self) -> Result<()> {
        let failed = |failure: Failure| failure.explain("cannot pause the container");
        let deadline = Instant::now() + FREEZE_PATIENCE;
        let frozen = match self.freezer()? {
            Place::Unified(directory) => freeze_unified(directory, deadline),
            Place::Legacy(directory) => freeze_legacy(directory, deadline),
        };
        match frozen.map_err(failed)? {
            true => Ok(()),
            false => {
                drop(self.thaw());
                Err(Error::new(Class::Unavailable, "cannot pause the container")
                    .caused_by("a process does not stop: it waits for a device")
                    .hint("try again"))
            }
        }
    }

    /// Lets every process of the cgroup run on.
    ///
    /// # Errors
    /// The host cannot freeze.
    pub fn thaw(&self) -> Result<()> {
        match self.freezer()? {
            Place::Unified(directory) => directory.write("cgroup.freeze", "0"),
            Place::Legacy(directory) => directory.write("freezer.state", "THAWED"),
        }
        .map_err(|failure| failure.explain("cannot let the container run on"))
    }

    /// Lets what was killed die that v1's freezer holds, also in parts of the cgroup that the guest itself froze;
    /// cgroup2 lets the killed go. Who kills or removes learns from that itself when it did not help.
    pub(super) fn release(&self) {
        let holds = |member: &&Member| {
            !member.unified && member.controllers.iter().any(|own| own == "freezer")
        };
        for member in self.members.iter().filter(holds) {
            drop(visit(&member.directory, DEEPEST, &mut |part| {
                drop(part.write("freezer.state", "THAWED"));
                Ok(())
            }));
        }
    }

    /// cgroup2 freezes without help of a controller (Linux 5.2), on hybrid hosts too.
    fn freezer(&self) -> Result<Place<'_>> {
        if let Some(directory) = self
            .unified()
            .filter(|unified| unified.has("cgroup.freeze"))
        {
            return Ok(Place::Unified(directory));
        }
        self.place("freezer")
            .ok_or_else(|| tree::missing("pause", "freezer"))
    }

    /// Kills every process of the cgroup, frozen ones too; does not wait until they are gone.
    ///
    /// # Errors
    /// A process cannot be killed. A cgroup that is gone has none.
    pub fn kill_all(&self) -> Result<()> {
        let failed = |failure: Failure| failure.explain("cannot kill the container's processes");
        if let Some(directory) = self.unified() {
            match directory.write("cgroup.kill", "1") {
                Ok(()) => {
                    self.release();
                    return Ok(());
                }
                Err(Failure {
                    errno: Errno::NODEV,
                    ..
                }) => return Ok(()),
                // Before Linux 5.14.
                Err(Failure {
                    errno: Errno::NOENT,
                    ..
                }) => {}
                Err(failure) => return Err(failed(failure)),
            }
        }
        // Freezing first keeps a fork bomb from outrunning the loop; the signals arrive at the thaw.
        drop(self.freeze());
        let mut result = Ok(());
        for _ in 0..64 {
            let pids = self.pids()?;
            if pids.is_empty() {
                break;
            }
            for pid in pids.into_iter().filter_map(Pid::from_raw) {
                match kill_process(pid, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => {
                        result = Err(Error::new(
                            Class::Denied,
                            format!("cannot kill process {}", pid.as_raw_nonzero()),
                        )
                        .caused_by(errno));
                    }
                }
            }
            drop(self.thaw());
            self.release();
            tree::wait(None, Duration::from_micros(200));
        }
        result
    }

    /// How many of its processes the kernel has killed for lack of memory.
    ///
    /// # Errors
    /// The counter cannot be read. A host without the memory controller kills none.
    pub fn out_of_memory_kills(&self) -> Result<u64> {
        let (directory, file) = match self.place("memory") {
            // `oom_kill` there: Linux 4.13.
            Some(Place::Legacy(directory)) => (directory, "memory.oom_control"),
            Some(Place::Unified(directory)) => (directory, "memory.events"),
            None => return Ok(0),
        };
        match directory.read(file) {
            Ok(text) => Ok(value_of(&text, "oom_kill").unwrap_or(0)),
            // The controller is not enabled for this cgroup, or the cgroup is gone.
            Err(Failure {
                errno: Errno::NOENT | Errno::NODEV,
                ..
            }) => Ok(0),
            Err(failure) => {
                Err(failure.explain("cannot read how many processes lack of memory killed"))
            }
        }
    }
}

/// Reads `key value` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        if name == key {
            value.trim().parse().ok()
        } else {
            None
        }
    })
}

/// Adds the processes of one cgroup; a threaded one has none, its domain lists them.
fn collect(directory: &Directory, pids: &mut Vec<i32>) -> Result<(), Failure> {
    let text = match directory.read("cgroup.procs") {
        Err(failure) if failure.errno == Errno::OPNOTSUPP => None,
        read => unless_gone(read)?,
    };
    let numbers = text.iter().flat_map(|text| text.lines());
    pids.extend(numbers.filter_map(|line| line.trim().parse::<i32>().ok()));
    Ok(())
}

/// Looks at a cgroup and at those beneath it.
fn visit(
    directory: &Directory,
    levels: usize,
    look: &mut dyn FnMut(&Directory) -> Result<(), Failure>,
) -> Result<(), Failure> {
    look(directory)?;
    if levels == 0 || !directory.has_children() {
        return Ok(());
    }
    for name in unless_gone(directory.children())?.unwrap_or_default() {
        if let Some(child) = unless_gone(directory.child(&name))? {
            visit(&child, levels - 1, look)?;
        }
    }
    Ok(())
}

/// A guest removes its cgroups whenever it likes.
fn unless_gone<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Err(failure) if matches!(failure.errno, Errno::NOENT | Errno::NODEV) => Ok(None),
        other => other.map(Some),
    }
}

fn freeze_unified(directory: &Directory, deadline: Instant) -> Result<bool, Failure> {
    directory.write("cgroup.freeze", "1")?;
    let events = directory.open_file("cgroup.events", OFlags::RDONLY)?;
    loop {
        let mut text = [0_u8; 256];
        let count = rustix::io::pread(&events, &mut text, 0)
            .map_err(|errno| Failure::new("read", directory.path().join("cgroup.events"), errno))?;
        if value_of(&String::from_utf8_lossy(&text[..count]), "frozen") == Some(1) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        tree::wait(Some(&events), left);
    }
}

fn freeze_legacy(directory: &Directory, deadline: Instant) -> Result<bool, Failure> {
    let mut wait = Duration::from_micros(20);
    for round in 1_u32.. {
        // A process that forks meanwhile keeps the cgroup in FREEZING for ever; asking again helps, and
        // letting it move on for a moment (kernel documentation of freezer-subsystem) does so too.
        directory.write("freezer.state", "FROZEN")?;
        if directory.read("freezer.state")?.trim() == "FROZEN" {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            break;
        }
        if round % 50 == 0 {
            directory.write("freezer.state", "THAWED")?;
        }
        tree::wait(None, wait);
        wait = (wait * 2).min(Duration::from_millis(5));
    }
    Ok(false)
}
