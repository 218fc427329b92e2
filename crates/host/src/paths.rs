//! The layout of the two directories, written once.
//!
//! ```text
//! DATA/containers/<id>/{record.json, summary.json, config.json, launch.json, exit, hosts, hostname,
//!                       resolv.conf, log/, upper/, work/}
//! DATA/names/<name>      a symbolic link to the id
//! DATA/volumes/<name>/{_data/, volume.json}
//! DATA/trash/            renamed here first, then deleted
//! DATA/damaged/          records that could not be read, kept for a person to look at
//! RUN/<id>/{lock, state.json, monitor.sock}
//! ```

use std::path::{Path, PathBuf};

use berth_contract::{ContainerId, ContainerName, VolumeName};
use berth_monitor::launch::Directories;

use crate::config::Config;

/// Makes the paths below the engine's two directories.
#[derive(Debug, Clone)]
pub struct Paths {
    data: PathBuf,
    run: PathBuf,
    programs: PathBuf,
}

impl Paths {
    /// The layout below a configuration's directories.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            data: config.data.clone(),
            run: config.run.clone(),
            programs: config.programs.clone(),
        }
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The run directory.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The same, as the monitor is told.
    #[must_use]
    pub fn directories(&self) -> Directories {
        Directories {
            data: self.data.clone(),
            run: self.run.clone(),
            programs: self.programs.clone(),
        }
    }

    /// One of berth's other programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// All containers.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    /// One container's durable directory.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// The log that is kept of a container's output.
    #[must_use]
    pub fn log(&self, id: &ContainerId) -> PathBuf {
        self.container(id)
            .join("log")
            .join(format!("{id}-json.log"))
    }

    /// One container's volatile directory.
    #[must_use]
    pub fn running(&self, id: &ContainerId) -> PathBuf {
        self.run.join(id.as_str())
    }

    /// Where a container's root file system is mounted for people of the host.
    #[must_use]
    pub fn mounted(&self, id: &ContainerId) -> PathBuf {
        self.directories().mounted(id)
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.data.join("names")
    }

    /// One name's file.
    #[must_use]
    pub fn name(&self, name: &ContainerName) -> PathBuf {
        self.names().join(name.as_str())
    }

    /// All volumes.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// One volume's directory.
    #[must_use]
    pub fn volume(&self, name: &VolumeName) -> PathBuf {
        self.volumes().join(name.as_str())
    }

    /// The definitions of networks.
    #[must_use]
    pub fn networks(&self) -> PathBuf {
        self.data.join("networks")
    }

    /// Compiled wasm modules.
    #[must_use]
    pub fn wasm(&self) -> PathBuf {
        self.data.join("wasm")
    }

    /// Where things go on their way out.
    #[must_use]
    pub fn trash(&self) -> PathBuf {
        self.data.join("trash")
    }

    /// Where damaged records are kept.
    #[must_use]
    pub fn damaged(&self) -> PathBuf {
        self.data.join("damaged")
    }
}
