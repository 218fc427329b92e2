//! A sandbox's end: everything of it is taken away, and a test that leaves something fails.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::sandbox::{Sandbox, finish};
use crate::screen::Screen;

/// How long a monitor whose container is gone may take to end.
const GRACE: Duration = Duration::from_secs(10);

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.data().exists() {
            return;
        }
        let cleared = self.clear();
        if !std::thread::panicking() {
            cleared.expect("a sandbox can be cleared");
            self.assert_nothing_left();
        } else if cleared.is_err() {
            // What a failed test stopped amidst may hold on to its containers, and they to their network.
            drop(std::fs::remove_file(
                self.run_directory().join("fault-point"),
            ));
            for (pid, _) in self.processes() {
                drop(Command::new("kill").args(["-KILL", &pid]).status());
            }
            drop(self.clear());
        }
    }
}

impl Sandbox {
    /// Removes every container, and the network they were on.
    fn clear(&self) -> Result<(), Screen> {
        let run = |words: &[&str]| {
            let screen = Screen::new(&finish(&mut self.command(words)));
            match screen.status {
                0 => Ok(screen),
                _ => Err(screen),
            }
        };
        let listed = run(&["ps", "--all", "--quiet", "--no-trunc"])?;
        let ids: Vec<&str> = listed.stdout.split_whitespace().collect();
        if !ids.is_empty() {
            drop(run(
                &[&["rm", "--force", "--volumes"], ids.as_slice()].concat()
            )?);
        }
        let pruned = run(&["network", "prune", "--force"])?;
        // A network in use is passed over without a word.
        match self.data().join("networks/bridge.json").exists() {
            true => Err(pruned),
            false => Ok(()),
        }
    }

    /// No mount below the sandbox, no run directory of a container, no process on its files.
    pub fn assert_nothing_left(&self) {
        let place = self.path().display().to_string();
        let mounts =
            std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo is readable");
        let left: Vec<&str> = mounts
            .lines()
            .filter(|line| line.contains(&place))
            .collect();
        assert!(left.is_empty(), "mounts are left: {left:#?}");
        let running = std::fs::read_dir(self.run_directory())
            .into_iter()
            .flatten()
            .flatten();
        let left: Vec<PathBuf> = running
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name.len() == 64))
            .collect();
        assert!(left.is_empty(), "run directories are left: {left:#?}");
        // A monitor tells its clients before it deletes what it has put in the trash, and ends by itself.
        let begun = Instant::now();
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return;
            }
            let patience = begun.elapsed() < GRACE;
            assert!(patience, "processes are left: {processes:#?}");
            std::thread::yield_now();
        }
    }

    /// The ids and command lines of live processes of ours that name the sandbox.
    fn processes(&self) -> Vec<(String, String)> {
        let place = self.path().display().to_string();
        let processes = std::fs::read_dir("/proc").expect("/proc is readable");
        processes
            .flatten()
            .filter_map(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                let ours = line.contains("berth-monitor") || line.contains("empty-trash");
                let pid = entry.file_name().to_string_lossy().into_owned();
                (ours && line.contains(&place)).then_some((pid, line))
            })
            .collect()
    }
}
