//! `--ssh ID=KEY,…`: private keys, which an agent of the host has as long as a build goes on.

use std::fs::{self, DirBuilder};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;

/// What the agent lives as long as. Its input ends with whoever started it, however that ends; what a terminal says to
/// all of them ends the question for a passphrase, and not this.
const SCRIPT: &str = "directory=$1; shift; trap : HUP INT QUIT TERM; \
    ssh-add -q -- \"$@\" && trap '' HUP INT QUIT TERM && echo ready && cat > /dev/null; \
    kill \"$SSH_AGENT_PID\"; rm -rf -- \"$directory\"";

/// An agent with keys; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct KeyAgent {
    directory: PathBuf,
    process: Child,
}

impl KeyAgent {
    /// Starts one that has these keys.
    pub(super) fn start(keys: &[PathBuf]) -> Result<Self> {
        let names: Vec<String> = keys.iter().map(|key| key.display().to_string()).collect();
        let cannot = || format!("cannot use the key {}", names.join(", "));
        let name = berth_sys::file::unique_name("berth-ssh-");
        let directory = std::env::temp_dir().join(name);
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(&directory).explain(cannot)?;
        let process = Command::new("ssh-agent")
            .arg("-a")
            .arg(socket(&directory))
            .args(["sh", "-c", SCRIPT, "sh"])
            .arg(&directory)
            .args(keys)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let process = process.map_err(|error| {
            drop(fs::remove_dir_all(&directory));
            match error.kind() {
                io::ErrorKind::NotFound => Error::new(Class::Unsupported, cannot())
                    .caused_by("the program ssh-agent is not installed")
                    .hint("install the client of OpenSSH, or give the socket of an agent"),
                _ => Error::new(Class::Internal, cannot()).caused_by(error),
            }
        })?;
        let mut agent = Self { directory, process };
        let mut said = String::new();
        if let Some(output) = agent.process.stdout.as_mut() {
            BufReader::new(output)
                .read_line(&mut said)
                .explain(cannot)?;
        }
        if said.trim_end() == "ready" {
            return Ok(agent);
        }
        let mut reason = String::new();
        if let Some(errors) = agent.process.stderr.as_mut() {
            errors.read_to_string(&mut reason).explain(cannot)?;
        }
        Err(Error::new(Class::Invalid, cannot()).caused_by(reason.trim().to_owned()))
    }

    pub(super) fn socket(&self) -> PathBuf {
        socket(&self.directory)
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Nothing of it is needed any more, however it ended.
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(command: &mut Command) -> String {
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn an_agent_has_keys_as_long_as_it_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let keys = ["first", "second"].map(|name| folder.path().join(name));
        for key in &keys {
            let words = ["-q", "-t", "ed25519", "-N", "", "-C", "me@here", "-f"];
            output(Command::new("ssh-keygen").args(words).arg(key));
        }
        let agent = KeyAgent::start(&keys).unwrap();
        let socket = agent.socket();
        let list = || {
            let mut command = Command::new("ssh-add");
            output(command.arg("-l").env("SSH_AUTH_SOCK", &socket))
        };
        assert_eq!(list().matches("me@here (ED25519)").count(), 2);
        drop(agent);
        assert!(list().is_empty() && !socket.parent().unwrap().exists());
        // What is no key is told, in the words of who reads it.
        let other = folder.path().join("other");
        fs::write(&other, "no key").unwrap();
        let failed = KeyAgent::start(&[keys[0].clone(), other]).unwrap_err();
        assert!(
            failed.to_string().contains("cannot use the key"),
            "{failed}"
        );
    }

    #[test]
    fn an_agent_ends_with_whoever_started_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let words = ["-q", "-t", "ed25519", "-N", "", "-f"];
        output(Command::new("ssh-keygen").args(words).arg(&key));
        let mut agent = KeyAgent::start(&[key]).unwrap();
        let shell = agent.process.id();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let said =
            |process: &str, name: &str| fs::read_to_string(format!("/proc/{process}/{name}"));
        let is_agent = |process: &&str| said(process, "comm").unwrap() == "ssh-agent\n";
        let (agents, others): (Vec<_>, Vec<_>) = children.split_whitespace().partition(is_agent);
        let [process] = agents[..] else {
            panic!("{children}");
        };
        // As Ctrl-C does: the agent itself is none of the terminal's.
        let interrupt = Command::new("kill")
            .arg("-INT")
            .args(others)
            .arg(shell.to_string())
            .status();
        assert!(interrupt.unwrap().success());
        // As when whoever started it is killed: nothing else is cleared up.
        drop(agent.process.stdin.take());
        agent.process.wait().unwrap();
        assert!(!agent.directory.exists());
        // Nobody may be there yet to reap it.
        let begun = std::time::Instant::now();
        while said(process, "stat").is_ok_and(|stat| !stat.contains(") Z ")) {
            // By itself it looks every ten seconds whether its parent is there.
            assert!(begun.elapsed().as_secs() < 5, "the agent goes on");
            std::thread::yield_now();
        }
    }
}
