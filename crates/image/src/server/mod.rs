//! The store as a registry for others (OCI distribution-spec 1.1).
//!
//! ```text
//!  connection (TLS?) ─► password? ─► route ─► manifest · blob · upload · listing ─► store
//!                                                 └── missing here? ─► upstream ─┘
//! ```
//!
//! A repository is what the same name means on this machine: `busybox` is `docker.io/library/busybox`,
//! `quay.io/a/b` is itself. So what is pushed here can be run here, and `registries.conf` of another
//! machine can name this one as a mirror.

mod blob;
mod connection;
mod listing;
mod manifest;
mod passing;
mod passwords;
mod patience;
mod places;
mod reply;
mod route;
mod upload;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_contract::{Error, Result};

pub use connection::serve;

use self::passwords::Passwords;
use self::upload::Uploads;
use self::upstream::Upstream;
use crate::reference::Reference;
use crate::registry::{Access, default_registry};
use crate::store::{Hold, Store};

/// How long a blob that was pushed waits for its manifest before garbage collection may take it.
const GRACE: Duration = Duration::from_secs(600);

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where to listen.
    pub address: SocketAddr,
    /// Names and bcrypt hashes of who may come in; everybody without.
    pub htpasswd: Option<PathBuf>,
    /// Certificate chain and key in PEM; plain HTTP without.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Nothing can be pushed or deleted.
    pub read_only: bool,
    /// How long a client may say nothing, or take nothing of what it asked for.
    pub patience: Duration,
    /// How many connections are served at once; one address gets at most half of them.
    pub connections: usize,
    /// Fetch what is not here from other registries.
    pub pull_through: Option<PullThrough>,
}

/// What is fetched for others.
#[derive(Debug, Clone)]
pub struct PullThrough {
    /// The registries that are asked; names without one stand for the first.
    pub registries: Vec<String>,
    /// Ask every other registry too that a name begins with.
    pub any: bool,
    /// How registries are reached.
    pub access: Access,
}

/// What all connections share.
struct Server {
    store: Store,
    /// The registry that names without one belong to.
    home: String,
    read_only: bool,
    patience: Duration,
    passwords: Option<Passwords>,
    uploads: Uploads,
    upstream: Option<Upstream>,
    recent: Mutex<Option<(Hold, Instant)>>,
}

impl Server {
    fn new(store: &Store, options: &ServeOptions) -> Result<Self> {
        let through = options.pull_through.as_ref();
        let home = through.and_then(|through| through.registries.first());
        let home = home.map_or(default_registry(), String::as_str);
        Ok(Self {
            store: store.clone(),
            home: home.to_owned(),
            read_only: options.read_only,
            patience: options.patience,
            passwords: options
                .htpasswd
                .as_deref()
                .map(Passwords::read)
                .transpose()?,
            uploads: Uploads::default(),
            upstream: options.pull_through.clone().map(Upstream::new),
            recent: Mutex::new(None),
        })
    }

    /// Where what a repository has comes from, if not from here alone.
    fn upstream_of(&self, name: &Reference) -> Option<&Upstream> {
        self.upstream.as_ref().filter(|one| one.serves(name))
    }

    /// Keeps what nothing leads to yet from being collected for a while.
    fn keep_recent(&self) -> Result<(), Error> {
        let hold = self.store.hold()?;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        *recent = Some((hold, Instant::now() + GRACE));
        Ok(())
    }

    /// Does what must not happen while something is on its way here, without what came a moment ago standing
    /// against it; that is kept again right after.
    fn beside_recent<T>(&self, action: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let until = recent.take().map(|(_hold, until)| until);
        let outcome = action();
        if let Some(until) = until {
            *recent = Some((self.store.hold()?, until));
        }
        outcome
    }

    /// Lets go of what nobody came back for.
    fn forget_stale(&self) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent
            .as_ref()
            .is_some_and(|(_, until)| *until < Instant::now())
        {
            *recent = None;
        }
        drop(recent);
        self.uploads.forget_stale();
    }
}
