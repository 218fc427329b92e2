//! The container's two directories: what is read at the start, written meanwhile, and removed at the end.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, ContainerId, ContainerName, Error, Result, oci};
use berth_sys::error::{Explain as _, class};
use berth_sys::lock::Lock;
use berth_sys::socket::Listener;
use serde::Deserialize;

use crate::launch::{Launch, SPEC_FILE};
use crate::status::{self, EXIT_FILE, LOCK_FILE, SOCKET_FILE, STATE_FILE, Status};
use crate::volume;

/// The host's record of a container, in its directory; only the name matters here.
const RECORD_FILE: &str = "record.json";

/// A container's directories while its monitor holds the lock.
#[derive(Debug)]
pub(crate) struct Place {
    id: ContainerId,
    data: PathBuf,
    container: PathBuf,
    running: PathBuf,
    directory: File,
    _lock: Lock,
}

impl Place {
    /// Makes `RUN/<id>` and takes the container's lock.
    pub(crate) fn take(data: &Path, run: &Path, id: &ContainerId) -> Result<Self> {
        let running = run.join(id.as_str());
        let explain = || format!("cannot use {}", running.display());
        // The directory may vanish between the two steps: another monitor has just ended.
        let (directory, lock) = loop {
            match DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&running)
            {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).explain(explain);
                }
                _ => {}
            }
            let directory = match File::open(&running) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.explain(explain)?,
            };
            match Lock::take(&directory, LOCK_FILE) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                locked => break (directory, locked.explain(explain)?),
            }
        };
        let Some(lock) = lock else {
            let message = format!("container {} is running already", id.short());
            return Err(Error::new(Class::Conflict, message));
        };
        let container = data.join("containers").join(id.as_str());
        let (id, data) = (id.clone(), data.to_owned());
        Ok(Self {
            id,
            data,
            container,
            running,
            directory,
            _lock: lock,
        })
    }

    /// What the host wrote for this start.
    pub(crate) fn launch(&self) -> Result<Launch> {
        read_document(&Launch::path(&self.container))
    }

    /// The guest's description, with the variables that are not in its file.
    pub(crate) fn spec(&self, launch: &Launch) -> Result<oci::Spec> {
        let mut spec: oci::Spec = read_document(&self.container.join(SPEC_FILE))?;
        if let Some(path) = &launch.environment
            && let Some(process) = &mut spec.process
        {
            let variables: Vec<String> = read_document(path)?;
            process.env.get_or_insert_default().extend(variables);
        }
        Ok(spec)
    }

    /// How the container stood before this start.
    pub(crate) fn before(&self) -> Result<Status> {
        let read = status::read_file(&self.container.join(EXIT_FILE))?;
        Ok(read.unwrap_or_else(Status::created))
    }

    /// Writes what is true as long as the monitor lives.
    pub(crate) fn write_state(&self, status: &Status) -> Result<()> {
        status::write(&self.running.join(STATE_FILE), status)
    }

    /// Writes what is true when it lives no more.
    pub(crate) fn write_exit(&self, status: &Status) -> Result<()> {
        status::write(&self.container.join(EXIT_FILE), status)
    }

    /// Opens the control socket.
    pub(crate) fn listen(&self) -> Result<Listener> {
        Listener::bind(&self.directory, SOCKET_FILE).explain(|| {
            format!(
                "cannot listen at {}",
                self.running.join(SOCKET_FILE).display()
            )
        })
    }

    /// Removes `RUN/<id>` and then gives up the lock.
    pub(crate) fn leave(self) {
        for name in [SOCKET_FILE, STATE_FILE, LOCK_FILE] {
            // What cannot be removed on a tmpfs is gone after a reboot and replaced by the next start.
            drop(fs::remove_file(self.running.join(name)));
        }
        drop(fs::remove_dir(&self.running));
    }

    /// Removes the container: out of sight by one rename, then its name; what has to be deleted is
    /// returned.
    pub(crate) fn remove_container(&self, remove_with: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let trash = self.data.join("trash");
        let name = self.name();
        let hidden = trash.join(self.id.as_str());
        hide(&self.container, &hidden)?;
        let mut rubbish = vec![hidden];
        berth_sys::fault::point("remove-hidden");
        if let Some(name) = name {
            self.free(&name)?;
        }
        for (number, path) in remove_with.iter().enumerate() {
            if !volume::leave(path, &self.id) {
                continue;
            }
            let hidden = trash.join(format!("{}.{number}", self.id));
            match hide(path, &hidden) {
                Err(error) if error.class() != Class::NotFound => return Err(error),
                _ => rubbish.push(hidden),
            }
        }
        Ok(rubbish)
    }

    /// A rename while the container ran is in the record, so it is read as late as possible.
    fn name(&self) -> Option<ContainerName> {
        #[derive(Deserialize)]
        struct Record {
            #[serde(alias = "Name")]
            name: ContainerName,
        }
        let bytes = fs::read(self.container.join(RECORD_FILE)).ok()?;
        serde_json::from_slice::<Record>(&bytes)
            .ok()
            .map(|record| record.name)
    }

    /// The name is a symbolic link to the id; somebody else's is left alone.
    fn free(&self, name: &ContainerName) -> Result<()> {
        let link = self.data.join("names").join(name.as_str());
        if fs::read_link(&link).is_ok_and(|target| target.as_os_str() == self.id.as_str()) {
            fs::remove_file(&link).explain(|| format!("cannot free the name {name}"))?;
        }
        Ok(())
    }
}

/// Deletes what was hidden. What cannot be deleted stays in `trash`, which the host sweeps.
pub(crate) fn delete(rubbish: &[PathBuf]) {
    for path in rubbish {
        berth_sys::fault::point("remove-deleting");
        // Never follows links (CVE-2022-21658 was fixed in Rust 1.58).
        drop(fs::remove_dir_all(path));
    }
}

fn hide(path: &Path, hidden: &Path) -> Result<()> {
    let mut renamed = fs::rename(path, hidden);
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    if renamed.as_ref().is_err_and(missing)
        && let Some(trash) = hidden.parent()
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(trash)
            .explain(|| format!("cannot make {}", trash.display()))?;
        renamed = fs::rename(path, hidden);
    }
    renamed.map_err(|error| {
        let message = format!("cannot remove {}", path.display());
        Error::new(class(&error), message).caused_by(error)
    })
}

fn read_document<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).explain(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(Class::Internal, format!("{} is damaged", path.display())).caused_by(error)
    })
}
