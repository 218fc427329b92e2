//! Control groups as typed files: v1, hybrid and v2 behind one [`Cgroup`].
//!
//! ```text
//! hierarchy.rs   which hierarchies are mounted, and where
//! file.rs        one directory of one hierarchy, and its files
//! tree.rs        making and removing directories; cpuset and subtree_control down the path
//! limit/         OCI resources written to the controllers that the host has
//! rules.rs       device rules; program.rs generates cgroup2's device program from them
//! process.rs     adding, listing, freezing and killing processes
//! statistics.rs  what the controllers counted
//! ```
//!
//! A container's cgroup has the same relative path in every hierarchy. A limit that cannot be applied is
//! an error that names the limit, the controller and the reason; it is never dropped.

mod file;
mod hierarchy;
mod limit;
mod process;
#[expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]
mod program;
mod rules;
mod statistics;
mod tree;

use std::os::fd::BorrowedFd;
use std::path::{Component, Path, PathBuf};

use berth_contract::{Class, Error, Result, oci};
use rustix::io::Errno;

use file::{Directory, Failure};
pub use hierarchy::{Hierarchies, Layout};
pub use statistics::{Cpu, IoDevice, Memory, Pids, Statistics};

/// One cgroup, open in every hierarchy it exists in.
#[derive(Debug)]
pub struct Cgroup {
    members: Vec<Member>,
}

/// The files that go with a cgroup that is given away (Linux 4.15).
const DELEGATED: &str = "/sys/kernel/cgroup/delegate";

/// A cgroup's directory in one hierarchy.
#[derive(Debug)]
struct Member {
    directory: Directory,
    controllers: Vec<String>,
    unified: bool,
}

/// Where a controller's files of one cgroup are.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    /// In a v1 hierarchy.
    Legacy(&'a Directory),
    /// In cgroup2.
    Unified(&'a Directory),
}

impl Cgroup {
    /// Makes a cgroup in every hierarchy and applies the limits.
    ///
    /// Missing parents are made as well and stay. A leftover without processes is replaced.
    ///
    /// # Errors
    /// The hierarchies are not writable, a cgroup of that name has processes, or a limit cannot be
    /// applied; nothing is left behind then.
    pub fn create(
        hierarchies: &Hierarchies,
        path: &Path,
        resources: Option<&oci::LinuxResources>,
    ) -> Result<Self> {
        let path = relative(path)?;
        let mut cgroup = Self {
            members: Vec::with_capacity(hierarchies.all.len()),
        };
        let made = tree::make(hierarchies, &path, resources, &mut cgroup.members)
            .and_then(|()| resources.map_or(Ok(()), |resources| cgroup.update(resources)));
        match made {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                let leftovers = cgroup.remove();
                Err(match leftovers {
                    Ok(()) => error,
                    Err(leftover) => error.hint(format!("also: {leftover}")),
                })
            }
        }
    }

    /// Opens an existing cgroup, in those hierarchies where it still exists.
    ///
    /// # Errors
    /// Class `NotFound` when no hierarchy has it.
    pub fn open(hierarchies: &Hierarchies, path: &Path) -> Result<Self> {
        let path = relative(path)?;
        let mut members = Vec::with_capacity(hierarchies.all.len());
        for hierarchy in &hierarchies.all {
            match Directory::open(hierarchy.mount_point.join(&path)) {
                Ok(directory) => members.push(Member {
                    directory,
                    controllers: hierarchy.controllers.clone(),
                    unified: hierarchy.unified,
                }),
                Err(Failure {
                    errno: Errno::NOENT,
                    ..
                }) => {}
                Err(failure) => {
                    return Err(failure.explain(format!("cannot open cgroup {}", path.display())));
                }
            }
        }
        if members.is_empty() {
            return Err(Error::new(
                Class::NotFound,
                format!("no cgroup {}", path.display()),
            ));
        }
        Ok(Self { members })
    }

    /// Its directory in cgroup2, for clone3's `CLONE_INTO_CGROUP`; on hybrid hosts too.
    #[must_use]
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(Directory::fd)
    }

    /// Gives its directory in cgroup2 to a user, with the files that the kernel says one needs for making
    /// cgroups beneath it and moving processes between them. Limits stay out of that user's reach.
    ///
    /// # Errors
    /// The hierarchy is not writable.
    pub fn delegate(&self, user: u32) -> Result<()> {
        let Some(directory) = self.unified() else {
            return Ok(());
        };
        let files = std::fs::read_to_string(DELEGATED)
            .unwrap_or_else(|_older| "cgroup.procs\ncgroup.threads\ncgroup.subtree_control".into());
        for name in std::iter::once("").chain(files.lines()) {
            match directory.give(name, user) {
                // `memory.oom.group` and others are there with their controller only.
                Err(failure) if failure.errno == Errno::NOENT => {}
                given => given.map_err(|failure| failure.explain("cannot give the cgroup away"))?,
            }
        }
        Ok(())
    }

    /// Applies limits; those not mentioned stay as they are.
    ///
    /// # Errors
    /// A limit cannot be applied. Those before it are in force.
    pub fn update(&self, resources: &oci::LinuxResources) -> Result<()> {
        limit::apply(self, resources)
    }

    /// Removes the cgroup and everything beneath it; waits up to two seconds for dying processes.
    ///
    /// # Errors
    /// Processes are still alive in it. What could be removed is removed. Removing twice is no error.
    pub fn remove(&self) -> Result<()> {
        tree::remove(self)
    }

    fn unified(&self) -> Option<&Directory> {
        self.members
            .iter()
            .find(|member| member.unified)
            .map(|member| &member.directory)
    }

    /// Where a controller is; its v2 name differs for `blkio` (`io`) and `cpuacct` (`cpu`).
    fn place(&self, controller: &str) -> Option<Place<'_>> {
        let renamed = match controller {
            "blkio" => "io",
            "cpuacct" => "cpu",
            other => other,
        };
        self.members.iter().find_map(|member| {
            let name = if member.unified { renamed } else { controller };
            let has = member.controllers.iter().any(|own| own == name);
            match (has, member.unified) {
                (true, true) => Some(Place::Unified(&member.directory)),
                (true, false) => Some(Place::Legacy(&member.directory)),
                (false, _) => None,
            }
        })
    }
}

/// A cgroup's path without its leading slash.
fn relative(path: &Path) -> Result<PathBuf> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                relative.clear();
                break;
            }
        }
    }
    if relative.as_os_str().is_empty() {
        return Err(Error::new(
            Class::Invalid,
            format!("invalid cgroup path {:?}", path.display()),
        ));
    }
    Ok(relative)
}

#[cfg(test)]
mod tests;
