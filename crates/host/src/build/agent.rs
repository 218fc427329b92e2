//! `RUN --mount=type=ssh`: a socket of the step's own that leads to the agent, with the mode and owner the mount asks
//! for, whatever the agent's own are. A command may use the keys of whoever builds, and not rule them: it may list them
//! and have something signed (draft-miller-ssh-agent), as with `BuildKit`.

use std::convert::Infallible;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use berth_contract::Result;
use berth_sys::epoll::{Interest, Poller};
use berth_sys::error::Explain as _;

/// More than any command asks at once: each takes a thread of the builder.
const CLIENTS_LIMIT: usize = 64;
/// What OpenSSH's agent takes.
const MESSAGE_LIMIT: usize = 256 << 10;
/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST`. Others add, take away and lock keys, and have the agent
/// load libraries (CVE-2023-38408).
const PASSED_ON: [u8; 2] = [11, 13];
/// `SSH_AGENT_FAILURE` as a whole message.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

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
                    drop(UnixStream::connect(&agent).and_then(|server| pass(&client, &server)));
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

/// Passes on what may be asked and what is answered, one after the other, until one of them is gone.
fn pass(client: &UnixStream, server: &UnixStream) -> io::Result<Infallible> {
    let (mut asking, mut answering) = (End::new(client, server)?, End::new(server, client)?);
    let (mut to_client, mut to_server) = (client, server);
    loop {
        let request = message(&mut asking)?;
        let answer = if request.get(4).is_some_and(|kind| PASSED_ON.contains(kind)) {
            to_server.write_all(&request)?;
            message(&mut answering)?
        } else {
            FAILURE.to_vec()
        };
        to_client.write_all(&answer)?;
    }
}

/// A whole message, its length included.
fn message(from: &mut End<'_>) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    from.read_exact(&mut message)?;
    let length = message
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if !(1..=MESSAGE_LIMIT).contains(&length) {
        let reason = "no message of an agent has that length";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    message.resize(4 + length, 0);
    let (_, body) = message.split_at_mut(4);
    from.read_exact(body)?;
    Ok(message)
}

/// Who is read from, for as long as the other one is there to be told.
struct End<'a> {
    stream: &'a UnixStream,
    poller: Poller,
}

impl<'a> End<'a> {
    const OTHER: u64 = 1;

    fn new(stream: &'a UnixStream, other: &UnixStream) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(stream, 0, Interest::READ)?;
        poller.add(other, Self::OTHER, Interest::NOTHING)?;
        Ok(Self { stream, poller })
    }
}

impl Read for End<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut readable = false;
            for ready in self.poller.wait(None)? {
                if ready.token == Self::OTHER {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                readable = true;
            }
            if readable {
                return self.stream.read(buffer);
            }
        }
    }
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

    #[test]
    fn an_agent_that_accepts_nobody_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (own, theirs) = (folder.path().join("own"), folder.path().join("theirs"));
        let directory = std::fs::File::open(folder.path()).unwrap();
        let _deaf = berth_sys::socket::Listener::bind(&directory, "theirs").unwrap();
        let agent = start(folder.path(), &theirs, 0o600);
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
        let _agent = start(folder.path(), &theirs, 0o600);
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

    fn start(folder: &Path, agent: &Path, mode: u32) -> Agent {
        let ids = (
            berth_sys::user::effective_id(),
            berth_sys::user::effective_group(),
        );
        Agent::start(&folder.join("own"), agent, (mode, ids)).unwrap()
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        [&length.to_be_bytes(), body].concat()
    }

    fn read(mut from: &UnixStream, length: usize) -> Vec<u8> {
        from.set_read_timeout(Some(std::time::Duration::from_secs(20)))
            .unwrap();
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn is_closed(mut stream: &UnixStream) -> bool {
        stream
            .set_read_timeout(Some(std::time::Duration::from_secs(20)))
            .unwrap();
        // Whoever is closed with something unread is reset.
        match stream.read(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    #[test]
    fn what_is_said_is_passed_on_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs");
        let listener = UnixListener::bind(&theirs).unwrap();
        let agent = start(folder.path(), &theirs, 0o640);
        let mode = std::fs::metadata(agent.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
        let long = [&[13][..], &vec![7; MESSAGE_LIMIT - 1]].concat();
        for _ in 0..2 {
            let mut client = UnixStream::connect(agent.path()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            for (request, answer) in [
                (&[11][..], &[12, 0, 0, 0, 0][..]),
                (&[13, 1, 2], &[14, 3]),
                (&long, &long),
            ] {
                let (request, answer) = (framed(request), framed(answer));
                std::thread::scope(|scope| {
                    scope.spawn(|| client.write_all(&request).unwrap());
                    assert!(read(&server, request.len()) == request);
                });
                std::thread::scope(|scope| {
                    scope.spawn(|| server.write_all(&answer).unwrap());
                    assert!(read(&client, answer.len()) == answer);
                });
            }
            // Whoever has nothing more to ask still wants the answer.
            client.write_all(&framed(&[11])).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(read(&server, 5), framed(&[11]));
            server.write_all(&framed(&[12])).unwrap();
            assert_eq!(read(&client, 5), framed(&[12]));
            assert!(is_closed(&client) && is_closed(&server));
        }
    }

    #[test]
    fn a_command_does_not_rule_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs");
        let listener = UnixListener::bind(&theirs).unwrap();
        let agent = start(folder.path(), &theirs, 0o600);
        let mut client = UnixStream::connect(agent.path()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        for kind in (0..=255).filter(|kind| ![11, 13].contains(kind)) {
            // What follows could be taken for a request that is passed on.
            client.write_all(&framed(&[kind, 0, 0, 0, 1, 11])).unwrap();
            assert_eq!(read(&client, 5), FAILURE, "{kind}");
        }
        client.write_all(&framed(&[11])).unwrap();
        assert_eq!(read(&server, 5), framed(&[11]), "the first it hears of");
        // An answer that is none ends it.
        server.write_all(&[0; 4]).unwrap();
        assert!(is_closed(&client) && is_closed(&server));
        for nonsense in [&[0; 4][..], &[0, 4, 0, 1, 11], b"GET / HTTP/1.1\r\n\r\n"] {
            let mut client = UnixStream::connect(agent.path()).unwrap();
            let (server, _) = listener.accept().unwrap();
            client.write_all(nonsense).unwrap();
            assert!(is_closed(&client) && is_closed(&server), "{nonsense:?}");
        }
    }

    #[test]
    fn whoever_is_gone_is_gone_for_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs");
        let listener = UnixListener::bind(&theirs).unwrap();
        let agent = start(folder.path(), &theirs, 0o600);
        let client = UnixStream::connect(agent.path()).unwrap();
        drop(listener.accept().unwrap());
        assert!(is_closed(&client));
        let mut client = UnixStream::connect(agent.path()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(&framed(&[11])).unwrap();
        assert_eq!(read(&server, 5), framed(&[11]));
        drop(client);
        assert!(is_closed(&server), "no answer is waited for");
    }

    #[test]
    fn the_keys_of_an_agent_stay_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let run = |program: &str, words: &[&str]| {
            let mut command = std::process::Command::new(program);
            command.args(words).env("SSH_AUTH_SOCK", at("own"));
            let output = command.current_dir(folder.path()).output().unwrap();
            (
                output.status.success(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        for name in ["key", "other"] {
            let words = ["-q", "-t", "ed25519", "-N", "", "-C", "me@here", "-f", name];
            assert!(run("ssh-keygen", &words).0);
        }
        // It ends with its command, which ends with its input.
        let mut real = std::process::Command::new("ssh-agent");
        let script = "ssh-add -q key && rm key && echo ready && cat";
        real.args(["-a", "theirs", "sh", "-c", script]);
        let piped = std::process::Stdio::piped;
        let started = real
            .current_dir(folder.path())
            .stdin(piped())
            .stdout(piped());
        let mut real = started.spawn().unwrap();
        let mut ready = [0; 6];
        real.stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        let agent = start(folder.path(), &at("theirs"), 0o600);
        std::fs::write(at("text"), "text").unwrap();
        for words in [&["-D"][..], &["-d", "key.pub"], &["other"]] {
            assert!(!run("ssh-add", words).0, "{words:?}");
        }
        assert_eq!(run("ssh-add", &["-l"]).1.matches("me@here").count(), 1);
        let sign = ["-Y", "sign", "-q", "-f", "key.pub", "-n", "file", "text"];
        assert!(run("ssh-keygen", &sign).0 && at("text.sig").exists());
        drop((agent, real.stdin.take()));
        real.wait().unwrap();
    }
}
