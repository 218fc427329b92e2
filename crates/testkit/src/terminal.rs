//! A real terminal around a command: what it writes is read until a text appears; keys are typed.

use std::io::{Read as _, Write};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long a text may take to appear; only a failing test ever waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command on a pty.
pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Terminal")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts a command on a terminal of 24 lines and 80 columns.
    #[must_use]
    pub fn start(command: &Command) -> Self {
        let size = PtySize {
            rows: 24,
            cols: 80,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system()
            .openpty(size)
            .expect("a pty can be opened");
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.env_clear();
        for (name, value) in command.get_envs() {
            builder.env(name, value.unwrap_or_default());
        }
        if let Some(folder) = command.get_current_dir() {
            builder.cwd(folder);
        }
        let child = pair
            .slave
            .spawn_command(builder)
            .expect("the command starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("the pty can be read");
        let keyboard = pair.master.take_writer().expect("the pty can be written");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            master: pair.master,
            keyboard,
            child,
            output,
            seen: String::new(),
        }
    }

    /// Waits until the screen shows `text`; what came before is forgotten.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} never appeared; the screen showed:\n{}", self.seen),
            }
        }
    }

    /// Types.
    pub fn send(&mut self, keys: &str) {
        let typed = self
            .keyboard
            .write_all(keys.as_bytes())
            .and_then(|()| self.keyboard.flush());
        typed.expect("the pty can be written");
    }

    /// Sends the command a signal, by name.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.process_id().expect("the command runs");
        let outcome = Command::new("kill")
            .args(["-s", signal, &pid.to_string()])
            .status();
        assert!(
            outcome.is_ok_and(|status| status.success()),
            "cannot signal berth"
        );
    }

    /// Changes the terminal's size, which signals the command.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = PtySize {
            rows,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        self.master.resize(size).expect("the pty can be resized");
    }

    /// Waits for the command's end and returns its status and the rest of the screen.
    #[must_use]
    pub fn finish(mut self) -> (u32, String) {
        let status = self.child.wait().expect("the command ends").exit_code();
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(200)) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        (status, self.seen)
    }
}
