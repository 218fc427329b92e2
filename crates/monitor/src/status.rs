//! What a monitor tells about its container: two small files with one writer.
//!
//! ```text
//! RUN/<id>/lock          held exclusively (open-file-description lock) as long as the monitor lives
//! RUN/<id>/state.json    [`Status`], replaced by rename at every change; gone after a reboot
//! RUN/<id>/monitor.sock  the control socket, 0600
//! DATA/containers/<id>/exit   [`Status`] again, durable. Written at start as `Exited` + `Exit::Lost`,
//!                             so that a lost monitor can never leave a false success behind; replaced
//!                             by the truth when the guest ends, before anyone is told.
//! ```
//!
//! A reader asks whether the lock is held (`F_OFD_GETLK`, which takes nothing). Held: `state.json` is
//! true. Free: `exit` is true; without `exit` the container was never started.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use berth_contract::{Class, ContainerId, Error, Exit, Result, State};
use berth_sys::lock;
use serde::{Deserialize, Serialize};

use crate::launch::Directories;

/// A container's state as its monitor last wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a document"
)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// The guest's pid on the host; 0 when there is none.
    pub pid: i32,
    /// The monitor's pid on the host; 0 when there is none.
    pub monitor: i32,
    /// When the guest was last started: nanoseconds since the Unix epoch, 0 for never.
    pub started_at: u64,
    /// When it last ended: nanoseconds since the Unix epoch, 0 for never.
    pub finished_at: u64,
    /// How it last ended.
    pub exit: Option<Exit>,
    /// Whether the kernel killed a process of it for lack of memory since its start.
    #[serde(default)]
    pub out_of_memory: bool,
    /// How often the restart policy started it again.
    #[serde(default)]
    pub restart_count: u32,
    /// Whether a person stopped it: the restart policy must not start it again.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Whether it would have gone with this end and stays because whoever stopped it starts it again.
    #[serde(default)]
    pub kept: bool,
    /// Failures while cleaning up after it, for `inspect` and `rm`.
    #[serde(default)]
    pub leftovers: Vec<String>,
    /// What its network gave it.
    #[serde(default)]
    pub network: berth_network::Attached,
    /// The ids of running exec sessions.
    #[serde(default)]
    pub execs: Vec<String>,
}

/// The lock's name in the container's run directory.
pub const LOCK_FILE: &str = "lock";
/// The status file's name in the container's run directory.
pub const STATE_FILE: &str = "state.json";
/// The control socket's name in the container's run directory.
pub const SOCKET_FILE: &str = "monitor.sock";
/// The durable status file's name in the container's directory.
pub const EXIT_FILE: &str = "exit";

/// A status file larger than this is damaged.
const MAXIMUM_SIZE: u64 = 1 << 20;

/// What reading a container's status gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Its status; of one that was never started, [`Status::created`].
    pub status: Status,
    /// Whether its monitor lives.
    pub alive: bool,
    /// Whether a monitor died and left things behind that have to be collected before the next start.
    pub left_behind: bool,
}

impl Status {
    /// The status of a container that was never started.
    #[must_use]
    pub fn created() -> Self {
        Self {
            state: State::Created,
            pid: 0,
            monitor: 0,
            started_at: 0,
            finished_at: 0,
            exit: None,
            out_of_memory: false,
            restart_count: 0,
            stopped_by_user: false,
            kept: false,
            leftovers: Vec::new(),
            network: berth_network::Attached::default(),
            execs: Vec::new(),
        }
    }
}

/// Reads how a container stands: a few system calls, no lock taken, nothing changed.
///
/// # Errors
/// A status file cannot be read or is damaged; the error names it.
pub fn read(directories: &Directories, id: &ContainerId) -> Result<Observation> {
    let mut path = directories.running(id);
    path.push(LOCK_FILE);
    let lock = match File::open(&path) {
        Ok(file) => Some(lock::is_held(&file).map_err(|error| unreadable(&path, error))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&path, error)),
    };
    if lock == Some(true) {
        path.set_file_name(STATE_FILE);
        if let Some(status) = read_file(&path)? {
            return Ok(Observation {
                status,
                alive: true,
                left_behind: false,
            });
        }
        // It is being started: `exit` already says what a lost start would mean.
        return Ok(Observation {
            status: Status::created(),
            alive: true,
            left_behind: false,
        });
    }
    let mut path = directories.container(id);
    path.push(EXIT_FILE);
    let status = read_file(&path)?.unwrap_or_else(Status::created);
    Ok(Observation {
        status,
        alive: false,
        left_behind: lock.is_some(),
    })
}

pub(crate) fn read_file(path: &Path) -> Result<Option<Status>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    let mut bytes = Vec::with_capacity(1024);
    file.take(MAXIMUM_SIZE)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, error))?;
    let status = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(
            Class::Internal,
            format!("the status file {} is damaged", path.display()),
        )
        .caused_by(error)
    })?;
    Ok(Some(status))
}

/// Replaces a status file by rename: a reader sees the old one or the new one. Nothing is synced.
///
/// # Errors
/// The directory cannot be written to; the error names the file.
pub fn write(path: &Path, status: &Status) -> Result<()> {
    let fail = |error: io::Error| {
        Error::new(Class::Internal, format!("cannot write {}", path.display())).caused_by(error)
    };
    let bytes = serde_json::to_vec(status).map_err(|error| fail(error.into()))?;
    let aside = path.with_extension("new");
    fs::write(&aside, bytes)
        .and_then(|()| fs::rename(&aside, path))
        .map_err(fail)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let class = match error.kind() {
        io::ErrorKind::PermissionDenied => Class::Denied,
        _ => Class::Internal,
    };
    Error::new(class, format!("cannot read {}", path.display())).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_sys::lock::Lock;

    #[test]
    fn the_lock_decides_which_file_is_true() {
        let root = std::env::temp_dir().join(format!("berth-status-{}", std::process::id()));
        let directories = Directories {
            data: root.join("data"),
            run: root.join("run"),
            programs: root.clone(),
        };
        let id = ContainerId::from_random([3; 32]);
        let (durable, running) = (directories.container(&id), directories.running(&id));
        fs::create_dir_all(&durable).unwrap();
        fs::create_dir_all(&running).unwrap();
        let never = read(&directories, &id).unwrap();
        assert_eq!(never.status, Status::created());
        assert!(!never.alive && !never.left_behind);

        let lost = Status {
            state: State::Exited,
            exit: Some(Exit::Lost),
            ..Status::created()
        };
        write(&durable.join(EXIT_FILE), &lost).unwrap();
        let lock = Lock::take(File::open(&running).unwrap(), LOCK_FILE)
            .unwrap()
            .unwrap();
        let starting = read(&directories, &id).unwrap();
        assert_eq!(
            (starting.status.state, starting.alive),
            (State::Created, true)
        );

        let live = Status {
            state: State::Running,
            pid: 7,
            ..Status::created()
        };
        write(&running.join(STATE_FILE), &live).unwrap();
        assert_eq!(read(&directories, &id).unwrap().status, live);

        drop(lock);
        let seen = read(&directories, &id).unwrap();
        assert_eq!(seen.status, lost);
        assert!(seen.left_behind && !seen.alive);

        fs::write(durable.join(EXIT_FILE), "{").unwrap();
        let damaged = read(&directories, &id).unwrap_err();
        assert!(damaged.to_string().contains("exit is damaged"), "{damaged}");
        fs::remove_dir_all(&root).unwrap();
    }
}
