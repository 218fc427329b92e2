//! One monitor's life, from its arguments to its end.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use berth_contract::{ContainerId, Error, Result, Runtime};
use berth_sys::fault;

use crate::ending::linger;
use crate::launch::Launch;
use crate::peer::Peer;
use crate::place::Place;
use crate::supervisor::{Prepared, Supervisor};

/// What a monitor is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The engine's data directory.
    pub data: PathBuf,
    /// Its run directory.
    pub run: PathBuf,
    /// The container.
    pub id: ContainerId,
}

/// Starts a container and looks after it until it has ended for good.
///
/// Everything that goes wrong is told on `connection` (connection 0) or kept in the container's status.
/// `choose` makes the runtime that the launch names; it is the only place where the kinds differ.
pub fn run(
    arguments: &Arguments,
    connection: OwnedFd,
    choose: impl FnOnce(&Launch) -> Result<Box<dyn Runtime>>,
) {
    let first = Peer::new(connection);
    let place = match Place::take(&arguments.data, &arguments.run, &arguments.id) {
        Ok(place) => place,
        Err(error) => return refuse(first, &error),
    };
    fault::point("start-locked");
    let chosen = place
        .launch()
        .and_then(|launch| choose(&launch).map(|runtime| (launch, runtime)));
    let (launch, runtime) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => {
            place.leave();
            return refuse(first, &error);
        }
    };
    let prepared = match Prepared::new(&place, &launch) {
        Ok(prepared) => prepared,
        Err(error) => {
            place.leave();
            return refuse(first, &error);
        }
    };
    let mut supervisor = Supervisor::new(&*runtime, place, launch, prepared);
    supervisor.start(first);
    supervisor.supervise();
    supervisor.finish();
}

/// Tells connection 0 why nothing was started.
pub fn refuse_connection(connection: OwnedFd, error: &Error) {
    refuse(Peer::new(connection), error);
}

fn refuse(mut first: Peer, error: &Error) {
    first.refuse(error);
    linger(vec![first]);
}
