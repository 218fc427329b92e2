//! The engine: containers and images on one host, without a daemon.

mod mount;
mod options;
mod spec;
mod user;

pub use options::{
    Created, ExecRequest, ExecStreams, Listing, LogLine, LogOptions, PullPolicy, RemoveOptions,
    StartOptions, StopOptions, Stream, Streams, WaitFor,
};

use berth_contract::Result;

use crate::config::Config;
use crate::paths::Paths;

/// The engine over one data directory and one run directory.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    paths: Paths,
}

impl Engine {
    /// Opens the engine; makes nothing yet, so that `ps` on a fresh machine stays cheap.
    ///
    /// # Errors
    /// None today; opening may come to check the directories.
    pub fn open(config: Config) -> Result<Self> {
        let paths = Paths::new(&config);
        Ok(Self { config, paths })
    }

    /// The configuration it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where its files are.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }
}
