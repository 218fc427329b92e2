//! `RUN --mount=type=ssh`: a socket of the step's own that leads to the agent, with the mode and owner the mount asks
//! for, whatever the agent's own are.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use berth_contract::Result;
use berth_sys::error::Explain as _;

/// More than any command asks at once: each takes two threads of the builder.
const CLIENTS_LIMIT: usize = 64;

/// A socket, and the thread that passes on what is said; both end when it is dropped.
#[derive(Debug)]
pub(super) struct Agent {
    path: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Listens at `path` for the agent at `agent`.
    pub(super) fn start(
        path: &Path,
        agent: &Path,
        (mode, owner): (u32, (u32, u32)),
    ) -> Result<Self> {
        let cannot = || format!("cannot listen at {}", path.display());
        let listener = UnixListener::bind(path).explain(cannot)?;
        std::os::unix::fs::lchown(path, Some(owner.0), Some(owner.1)).explain(cannot)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).explain(cannot)?;
        let ended = Arc::new(AtomicBool::new(false));
        let (over, agent) = (Arc::clone(&ended), agent.to_owned());
        let served = Arc::new(());
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // Whoever is one too many, or cannot be passed on, is closed, which the client sees.
                if Arc::strong_count(&served) > CLIENTS_LIMIT {
                    continue;
                }
                let (agent, serving) = (agent.clone(), Arc::clone(&served));
                // Apart: an agent that lets its clients wait must not keep this one from ending.
                drop(std::thread::Builder::new().spawn(move || {
                    drop(UnixStream::connect(&agent).and_then(|server| pass(client, server)));
                    drop(serving);
                }));
            }
        });
        Ok(Self {
            path: path.to_owned(),
            ended,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Passes on in both directions, each until its end.
fn pass(client: UnixStream, server: UnixStream) -> io::Result<()> {
    let one_way = |mut from: UnixStream, mut to: UnixStream| {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(std::net::Shutdown::Write));
    };
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let asking = std::thread::Builder::new().spawn(move || one_way(from_client, to_server))?;
    one_way(server, client);
    drop(asking.join());
    Ok(())
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // A last client wakes the thread.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take()
            && woken
        {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn an_agent_that_accepts_nobody_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (own, theirs) = (folder.path().join("own"), folder.path().join("theirs"));
        let directory = std::fs::File::open(folder.path()).unwrap();
        let _deaf = berth_sys::socket::Listener::bind(&directory, "theirs").unwrap();
        let ids = (
            berth_sys::user::effective_id(),
            berth_sys::user::effective_group(),
        );
        let agent = Agent::start(&own, &theirs, (0o600, ids)).unwrap();
        // More than may wait there.
        let clients: Vec<_> = (0..200)
            .filter_map(|_| UnixStream::connect(&own).ok())
            .collect();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(agent);
            tell.send(()).unwrap();
        });
        let ended = told.recv_timeout(std::time::Duration::from_secs(20));
        assert!(ended.is_ok(), "it waits for the agent");
        drop(clients);
    }

    #[test]
    fn a_command_cannot_take_all_threads() {
        let folder = tempfile::tempdir().unwrap();
        let (own, theirs) = (folder.path().join("own"), folder.path().join("theirs"));
        let listener = UnixListener::bind(&theirs).unwrap();
        let ids = (
            berth_sys::user::effective_id(),
            berth_sys::user::effective_group(),
        );
        let _agent = Agent::start(&own, &theirs, (0o600, ids)).unwrap();
        let mut clients: Vec<_> = (0..=CLIENTS_LIMIT)
            .map(|_| UnixStream::connect(&own).unwrap())
            .collect();
        let mut last = clients.pop().unwrap();
        let closed = last.read(&mut [0]).unwrap();
        assert_eq!(closed, 0, "one more than the limit is closed");
        // Whoever has ended makes room.
        let mut servers = Vec::new();
        for _ in &clients {
            servers.push(listener.accept().unwrap().0);
        }
        drop((clients, servers));
        listener.set_nonblocking(true).unwrap();
        let is_served = (0..1_000_000).any(|_| {
            let _client = UnixStream::connect(&own).unwrap();
            std::thread::yield_now();
            listener.accept().is_ok()
        });
        assert!(is_served, "nobody is served any more");
    }

    #[test]
    fn what_is_said_is_passed_on_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let (own, theirs) = (folder.path().join("own"), folder.path().join("theirs"));
        let listener = UnixListener::bind(&theirs).unwrap();
        let answering = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut client, _) = listener.accept().unwrap();
                let mut asked = String::new();
                client.read_to_string(&mut asked).unwrap();
                client.write_all(asked.to_uppercase().as_bytes()).unwrap();
            }
        });
        let ids = (
            berth_sys::user::effective_id(),
            berth_sys::user::effective_group(),
        );
        let agent = Agent::start(&own, &theirs, (0o640, ids)).unwrap();
        let mode = std::fs::metadata(agent.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
        for text in ["one", "two"] {
            let mut client = UnixStream::connect(agent.path()).unwrap();
            client.write_all(text.as_bytes()).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, text.to_uppercase());
        }
        answering.join().unwrap();
    }
}
