//! What was removed is out of sight at once; deleting it is nobody's wait.

use berth_contract::Result;
use berth_sys::process::{Scheduling, new_session, set_io_priority, set_scheduling};

use super::Engine;

/// `sched(7)`.
const SCHED_IDLE: u32 = 5;
/// `ioprio_set(2)`.
const IO_IDLE: u32 = 3;

impl Engine {
    /// Deletes what was removed, in a process of its own that nobody waits for.
    ///
    /// Should it not start or be killed, the trash stays until the next removal.
    pub fn empty_trash_later(&self) {
        if !self.store().has_trash() {
            return;
        }
        let mut command = std::process::Command::new(&self.config.executable);
        command
            .arg("--root")
            .arg(self.paths.data())
            .arg("--runroot")
            .arg(self.paths.run())
            .args(["system", "empty-trash"])
            .current_dir("/")
            .env_clear()
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        // It makes a session of its own, so that Ctrl-C in the terminal does not reach it.
        drop(command.spawn());
    }

    /// Deletes what was removed, at the lowest priority for processor and disk.
    ///
    /// # Errors
    /// Something of it cannot be deleted.
    pub fn empty_trash(&self) -> Result<()> {
        // Whoever does not get the lowest priority deletes at the one it has.
        let mut idle = Scheduling::default();
        idle.policy = SCHED_IDLE;
        drop(set_scheduling(idle));
        drop(set_io_priority(IO_IDLE, 0));
        drop(new_session());
        self.store().empty_trash();
        self.sweep()
    }
}
