//! A place of its own for one test: data and run directories, a cleared environment, and nothing left.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::archive::ImageArchive;
use crate::programs::programs;
use crate::screen::Screen;

/// One test's berth: every command runs on directories that nobody else sees.
#[derive(Debug)]
pub struct Sandbox {
    place: TempDir,
    programs: PathBuf,
}

/// A command that goes on while the test does something else; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Sandbox {
    /// An empty sandbox.
    #[must_use]
    pub fn new() -> Self {
        Self::with_programs(programs())
    }

    /// An empty sandbox in which other programs are tested than the shipped ones.
    #[must_use]
    pub fn with_programs(programs: PathBuf) -> Self {
        let place = tempfile::Builder::new().prefix("berth-test-").tempdir();
        Self {
            place: place.expect("a temporary directory can be made"),
            programs,
        }
    }

    /// A sandbox whose store holds `busybox:latest`: Debian's static busybox with all its applets.
    #[must_use]
    pub fn with_busybox() -> Self {
        let sandbox = Self::new();
        sandbox.load(&ImageArchive::busybox());
        sandbox
    }

    /// The sandbox's directory; tests put their own files here.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The run directory.
    #[must_use]
    pub fn run_directory(&self) -> PathBuf {
        self.path().join("run")
    }

    /// `berth` with these arguments, on this sandbox's directories, with a cleared environment.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("berth"));
        command
            .arg("--root")
            .arg(self.data())
            .arg("--runroot")
            .arg(self.run_directory());
        command.args(arguments);
        command.env_clear();
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.path());
        command
            .env("NO_COLOR", "1")
            .env("COLUMNS", "120")
            .env("TERM", "xterm");
        command.current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs `berth` to its end and returns what a person saw.
    pub fn berth(&self, arguments: &[&str]) -> Screen {
        Screen::new(&finish(&mut self.command(arguments)))
            .replace(&self.path().display().to_string(), "[SANDBOX]")
    }

    /// As [`Sandbox::berth`], with this on standard input.
    pub fn berth_with_input(&self, arguments: &[&str], input: &[u8]) -> Screen {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("berth starts");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // A guest that does not read makes this fail, and that is its right.
            drop(stdin.write_all(&input));
        });
        let output = child.wait_with_output().expect("berth ends");
        writer.join().expect("the writer ends");
        Screen::new(&output).replace(&self.path().display().to_string(), "[SANDBOX]")
    }

    /// Starts `berth` and leaves it running.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Running {
            child: command.spawn().expect("berth starts"),
        }
    }

    /// Loads an image archive.
    pub fn load(&self, image: &ImageArchive) {
        let screen = self.berth_with_input(&["load", "--quiet"], image.bytes());
        screen.success();
    }

    /// Runs busybox under this name, without a network, for as long as somebody needs it.
    pub fn sleeper(&self, name: &str) {
        let run = ["run", "--detach", "--network", "none", "--name", name];
        let words = [&run[..], &["busybox", "sleep", "1000"]].concat();
        self.berth(&words).success();
    }

    /// One field of `inspect`.
    #[must_use]
    pub fn inspect(&self, container: &str, template: &str) -> String {
        self.berth(&["inspect", "--format", template, container])
            .success()
    }

    /// Waits for a container's log to hold a text: the guest's own word that it is ready.
    pub fn wait_for_log(&self, container: &str, text: &str) {
        let mut logs = self.start(&["logs", "--follow", container]);
        logs.wait_for(text);
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Running {
    /// Reads standard output until a line holds `text`; fails the test when it ends before.
    pub fn wait_for(&mut self, text: &str) {
        let stdout = self
            .child
            .stdout
            .as_mut()
            .expect("standard output is a pipe");
        let mut reader = BufReader::with_capacity(1, stdout);
        let mut seen = String::new();
        while !seen.contains(text) {
            let count = reader
                .read_line(&mut seen)
                .expect("standard output is readable");
            if count == 0 {
                let mut complaint = String::new();
                let stderr = self
                    .child
                    .stderr
                    .as_mut()
                    .expect("standard error is a pipe");
                drop(stderr.read_to_string(&mut complaint));
                panic!(
                    "{text:?} never came; standard output:\n{seen}\nstandard error:\n{complaint}"
                );
            }
        }
    }

    /// Writes to standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("standard input is open");
        stdin
            .write_all(bytes)
            .and_then(|()| stdin.flush())
            .expect("standard input is writable");
    }

    /// Ends standard input.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// The command's pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the command a signal, by name.
    pub fn signal(&self, signal: &str) {
        let outcome = Command::new("kill")
            .args(["-s", signal, &self.pid().to_string()])
            .status();
        assert!(
            outcome.is_ok_and(|status| status.success()),
            "cannot signal berth"
        );
    }

    /// Waits for the command's end and returns the rest of what it said.
    pub fn finish(mut self) -> Screen {
        drop(self.child.stdin.take());
        let mut stdout = Vec::new();
        let mut stderr = Vec::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_end(&mut stdout)
                .expect("standard output is readable");
        }
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_end(&mut stderr)
                .expect("standard error is readable");
        }
        let status = self.child.wait().expect("berth ends");
        Screen::new(&Output {
            status,
            stdout,
            stderr,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn finish(command: &mut Command) -> Output {
    command.output().expect("berth starts")
}
