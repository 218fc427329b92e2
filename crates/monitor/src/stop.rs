//! Ending a guest: politely, then not.

use std::time::Duration;

use berth_contract::{Result, Signal, State};
use berth_sys::clock;

use crate::supervisor::{Stopping, Supervisor};

impl Supervisor<'_> {
    /// Sends the stop signal and sets the deadline after which the guest is killed.
    ///
    /// A second stop may shorten the grace of the first, never lengthen it.
    pub(crate) fn begin_stop(&mut self, signal: Option<Signal>, timeout: Option<i64>) {
        if self.restart_at.take().is_some() {
            self.restart_cancelled();
            return;
        }
        let grace = match timeout {
            Some(seconds) => u64::try_from(seconds).ok(),
            None => self.launch.stop_timeout,
        };
        let deadline = grace.map(|seconds| clock::monotonic() + Duration::from_secs(seconds));
        let earlier = match self.stopping {
            Some(Stopping {
                deadline: Some(before),
            }) => Some(deadline.map_or(before, |deadline| deadline.min(before))),
            _ => deadline,
        };
        self.stopping = Some(Stopping { deadline: earlier });
        berth_sys::fault::point("stop-signal");
        let signal = signal.unwrap_or(self.launch.stop_signal);
        if signal == Signal::KILL {
            self.kill_everything();
            return;
        }
        if let Some(running) = &self.running {
            // A guest that has just ended is reaped by the loop.
            drop(running.guest.signal(signal));
        }
        // The signal is pending already when a frozen guest thaws, so it runs no step further.
        self.thaw();
    }

    /// Kills the guest and every process in its cgroup, frozen ones included.
    pub(crate) fn kill_everything(&mut self) {
        berth_sys::fault::point("stop-kill");
        if let Some(running) = &self.running {
            drop(running.guest.signal(Signal::KILL));
        }
        if let Ok(cgroup) = self.cgroup() {
            drop(cgroup.kill_all());
        }
    }

    /// Thaws a guest that was paused.
    pub(crate) fn thaw(&mut self) {
        if self.status.state == State::Paused {
            match self.unpause() {
                Ok(()) => {}
                Err(error) => self.status.leftovers.push(error.to_string()),
            }
        }
    }

    /// Sends one signal, as `kill` does.
    ///
    /// The stop signal and SIGKILL mean that the user wants the container to end: the restart policy
    /// does not bring it back, and a paused guest is thawed so that it can die.
    pub(crate) fn kill(&mut self, signal: Signal) -> Result<()> {
        let ends = signal == Signal::KILL || signal == self.launch.stop_signal;
        if self.restart_at.is_some() {
            // Docker's answer as well: no process is there to get the signal, and that is no failure.
            if ends {
                self.status.stopped_by_user = true;
                self.restart_at = None;
                self.restart_cancelled();
            }
            return Ok(());
        }
        self.expect_running("kill")?;
        if ends {
            self.status.stopped_by_user = true;
            self.publish();
        }
        if signal == Signal::KILL {
            self.kill_everything();
        } else if let Some(running) = &self.running {
            running.guest.signal(signal)?;
        }
        if ends {
            self.thaw();
        }
        Ok(())
    }
}
