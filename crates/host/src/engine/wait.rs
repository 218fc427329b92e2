//! Waiting for a container to end, to end once more, or to be gone.

use std::path::Path;

use berth_contract::{Class, ContainerId, Exit, Result};
use berth_monitor::client;
use berth_monitor::protocol::{Reply, Request};
use berth_sys::epoll::{Interest, Poller};
use berth_sys::error::Explain as _;
use berth_sys::inotify::Watcher;

use super::Engine;
use super::options::WaitFor;

impl Engine {
    /// Waits, and returns how the container ended; one that never ran counts as ended with 0.
    ///
    /// # Errors
    /// Its monitor cannot be reached, or the directories cannot be watched.
    pub fn wait(&self, id: &ContainerId, until: WaitFor) -> Result<Exit> {
        self.record(id)?;
        // Watching begins before looking, so that nothing falls between the two.
        let mut watch = match until {
            WaitFor::NotRunning => None,
            WaitFor::NextExit => Some(Watch::new(self.paths().run())?),
            WaitFor::Removed => Some(Watch::new(&self.paths().containers())?),
        };
        let mut last = None;
        loop {
            let seen = match self.settle(id) {
                // Its monitor was lost, and it went with its end.
                Err(error) if error.class() == Class::NotFound => {
                    return Ok(last.unwrap_or(Exit::Lost));
                }
                seen => seen?,
            };
            last = seen.status.exit.or(last);
            if seen.alive {
                match self.wait_alive(id, until)? {
                    Some(exit) => return Ok(exit),
                    // So young that it does not listen yet, or just gone: a matter of microseconds.
                    None => std::thread::yield_now(),
                }
                continue;
            }
            let over = until == WaitFor::NotRunning || !self.paths().container(id).exists();
            match &mut watch {
                Some(watch) if !over => watch.wait()?,
                _ => return Ok(last.unwrap_or(Exit::Code { code: 0 })),
            }
        }
    }

    /// How a container that runs ends; `None` when it ended between two looks.
    fn wait_alive(&self, id: &ContainerId, until: WaitFor) -> Result<Option<Exit>> {
        let mut connection = match client::connect(&self.directories, id) {
            Ok(connection) => connection,
            // It ended, or is so young that it does not listen yet: look again.
            Err(error) if error.class() == Class::Conflict => return Ok(None),
            Err(error) => return Err(error),
        };
        let removed = until == WaitFor::Removed;
        let mut exit = None;
        let mut reply = connection
            .send(&Request::Wait { removed }, &[])
            .and_then(|()| connection.reply());
        loop {
            match reply {
                Ok((Reply::Exited { exit: how }, _)) if !removed => return Ok(Some(how)),
                Ok((Reply::Exited { exit: how }, _)) => exit = Some(how),
                Ok((Reply::Removed, _)) => return Ok(exit),
                Ok(_) => {}
                // The monitor is gone: the files tell the rest.
                Err(error) if error.class() == Class::Unavailable => return Ok(None),
                Err(error) => return Err(error),
            }
            reply = connection.reply();
        }
    }
}

/// A directory whose entries are watched.
struct Watch {
    watcher: Watcher,
    poller: Poller,
}

impl Watch {
    fn new(directory: &Path) -> Result<Self> {
        let open = || {
            let watcher = Watcher::new()?;
            watcher.watch_directory(directory)?;
            let poller = Poller::new()?;
            poller.add(&watcher, 0, Interest::READ)?;
            Ok(Self { watcher, poller })
        };
        let opened: std::io::Result<Self> = open();
        opened.explain(|| format!("cannot watch {}", directory.display()))
    }

    fn wait(&mut self) -> Result<()> {
        let mut wait = || {
            self.poller.wait(None)?.for_each(drop);
            self.watcher.changes().map(drop)
        };
        wait().explain(|| "cannot wait for the container".to_owned())
    }
}
