//! The monitor's side of one connection.
//!
//! Nothing here waits: what a slow client does not take is queued, and a client that is gone or speaks
//! nonsense is marked as such and dropped by the loop without harm to anybody else.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_contract::{Error, Report};
use berth_sys::epoll::Interest;
use berth_sys::socket::{self, Wait};

use crate::frame::{Decoder, header};
use crate::log::Stream;
use crate::protocol::{Kind, Reply, Request, STDIN_WINDOW};

/// A client that lets more than this lie makes the guest wait.
pub(crate) const BACKLOG: usize = 256 << 10;
/// The most files a client may have sent without using them.
const MAXIMUM_FILES: usize = 8;

/// What a client said.
#[derive(Debug)]
pub(crate) enum Said {
    /// A request, with the files that came before or with it.
    Request(Request, Vec<OwnedFd>),
    /// Bytes for the guest's standard input.
    Stdin(Vec<u8>),
    /// Standard input has ended.
    StdinEnd,
}

/// Bytes and files that wait to be sent.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    sent: usize,
    files: Vec<OwnedFd>,
}

/// Which of the guest's streams a client is attached to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "three streams, each chosen independently"
)]
pub(crate) struct Attached {
    /// It sends standard input.
    pub(crate) stdin: bool,
    /// It wants standard output.
    pub(crate) stdout: bool,
    /// It wants standard error.
    pub(crate) stderr: bool,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Peer {
    socket: OwnedFd,
    decoder: Decoder,
    files: Vec<OwnedFd>,
    outgoing: VecDeque<Piece>,
    queued: usize,
    gone: bool,
    /// What the poller waits for on it.
    pub(crate) registered: Interest,
    /// What it attached to, until it was told that the guest ended.
    pub(crate) attached: Option<Attached>,
    /// Why the start it waits for failed; told once nothing of it is left.
    pub(crate) failure_owed: Option<Report>,
    /// How many `Exited` it still has to get for `Stop` and `Wait`.
    pub(crate) exits_owed: u32,
    /// How many `Removed` it still has to get.
    pub(crate) removals_owed: u32,
    /// Bytes of its standard input that the guest has not taken yet.
    pub(crate) stdin_under_way: usize,
}

impl Peer {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            files: Vec::new(),
            outgoing: VecDeque::new(),
            queued: 0,
            gone: false,
            registered: Interest::READ,
            attached: None,
            failure_owed: None,
            exits_owed: 0,
            removals_owed: 0,
            stdin_under_way: 0,
        }
    }

    /// Whether the connection has ended, by the client's doing or by its fault.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// How many bytes wait for it.
    pub(crate) fn backlog(&self) -> usize {
        self.queued
    }

    /// What the poller should wait for.
    pub(crate) fn interest(&self) -> Interest {
        if self.outgoing.is_empty() {
            Interest::READ
        } else {
            Interest::BOTH
        }
    }

    /// Reads what has arrived, once.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) {
        match socket::receive(&self.socket, scratch, &mut self.files, Wait::No) {
            Ok(0) => self.gone = true,
            Ok(count) => self.decoder.push(&scratch[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_gone) => self.gone = true,
        }
        if self.files.len() > MAXIMUM_FILES {
            self.gone = true;
        }
    }

    /// The next thing the client said. Nonsense ends the connection.
    pub(crate) fn next(&mut self) -> Option<Said> {
        if self.gone && self.decoder.peek().is_err() {
            return None;
        }
        let (kind, payload) = match self.decoder.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return None,
            Err(_garbled) => {
                self.gone = true;
                return None;
            }
        };
        match kind {
            Kind::Request => match serde_json::from_slice(payload) {
                Ok(request) => Some(Said::Request(request, std::mem::take(&mut self.files))),
                Err(_garbled) => {
                    self.gone = true;
                    None
                }
            },
            Kind::Stdin if self.stdin_under_way + payload.len() <= STDIN_WINDOW => {
                self.stdin_under_way += payload.len();
                Some(Said::Stdin(payload.to_vec()))
            }
            Kind::StdinEnd => Some(Said::StdinEnd),
            Kind::Stdin | Kind::Reply | Kind::Stdout | Kind::Stderr | Kind::Taken => {
                self.gone = true;
                None
            }
        }
    }

    /// Sends a reply.
    pub(crate) fn reply(&mut self, reply: &Reply, files: Vec<OwnedFd>) {
        match serde_json::to_vec(reply) {
            Ok(payload) => self.send(Kind::Reply, &payload, files),
            Err(_unprintable) => self.gone = true,
        }
    }

    /// Tells the client that what it asked did not happen.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.reply(
            &Reply::Failed {
                report: Report::from(error),
            },
            Vec::new(),
        );
    }

    /// Sends what the guest wrote, if the client wants it.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let kind = match (stream, self.attached) {
            (Stream::Stdout, Some(Attached { stdout: true, .. })) => Kind::Stdout,
            (Stream::Stderr, Some(Attached { stderr: true, .. })) => Kind::Stderr,
            _ => return,
        };
        self.send(kind, bytes, Vec::new());
    }

    /// Says that the guest took, or will never take, so much of the client's standard input.
    pub(crate) fn taken(&mut self, count: usize) {
        self.stdin_under_way = self.stdin_under_way.saturating_sub(count);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.send(Kind::Taken, &count.to_le_bytes(), Vec::new());
    }

    fn send(&mut self, kind: Kind, payload: &[u8], files: Vec<OwnedFd>) {
        if self.gone {
            return;
        }
        let header = header(kind, payload.len());
        let mut sent = 0;
        let mut waiting = files;
        if self.outgoing.is_empty() {
            let borrowed: Vec<_> = waiting.iter().map(AsFd::as_fd).collect();
            let pieces = [IoSlice::new(&header), IoSlice::new(payload)];
            sent = self.send_now(&pieces, &borrowed);
        }
        if sent > 0 {
            waiting.clear();
        }
        let total = header.len() + payload.len();
        if sent < total && !self.gone {
            let mut rest = Vec::with_capacity(total - sent);
            rest.extend_from_slice(header.get(sent..).unwrap_or_default());
            rest.extend_from_slice(&payload[sent.saturating_sub(header.len())..]);
            self.queued += rest.len();
            self.outgoing.push_back(Piece {
                bytes: rest,
                sent: 0,
                files: waiting,
            });
        }
    }

    fn send_now(&mut self, pieces: &[IoSlice<'_>], files: &[BorrowedFd<'_>]) -> usize {
        match socket::send(&self.socket, pieces, files, Wait::No) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_gone) => {
                self.gone = true;
                0
            }
        }
    }

    /// Sends on what waits, as far as the client takes it.
    pub(crate) fn flush(&mut self) {
        while let Some(mut piece) = self.outgoing.pop_front() {
            let borrowed: Vec<_> = piece.files.iter().map(AsFd::as_fd).collect();
            let sent = self.send_now(&[IoSlice::new(&piece.bytes[piece.sent..])], &borrowed);
            self.queued -= sent;
            if sent > 0 {
                piece.files.clear();
                piece.sent += sent;
            }
            if piece.sent < piece.bytes.len() {
                if !self.gone {
                    self.outgoing.push_front(piece);
                }
                return;
            }
        }
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Connection, Incoming};

    fn pair() -> (Connection, Peer) {
        let (client, monitor) = socket::pair().unwrap();
        (Connection::new(client), Peer::new(monitor))
    }

    #[test]
    fn requests_and_files_arrive_together() {
        let (mut client, mut peer) = pair();
        let null = berth_sys::pipe::null().unwrap();
        client.send(&Request::Pause, &[]).unwrap();
        client
            .send(&Request::Wait { removed: false }, &[null.as_fd()])
            .unwrap();
        let mut scratch = [0; 1024];
        peer.receive(&mut scratch);
        let Some(Said::Request(Request::Pause, _)) = peer.next() else {
            panic!("no pause")
        };
        peer.receive(&mut scratch);
        let Some(Said::Request(Request::Wait { .. }, files)) = peer.next() else {
            panic!("no wait")
        };
        assert!(files.len() <= 1);
    }

    #[test]
    fn what_a_slow_client_does_not_take_is_kept_in_order() {
        let (mut client, mut peer) = pair();
        peer.attached = Some(Attached {
            stdin: false,
            stdout: true,
            stderr: false,
        });
        let mut expected = Vec::new();
        for number in 0..200_u8 {
            let bytes = vec![number; 10_000];
            peer.output(Stream::Stdout, &bytes);
            peer.output(Stream::Stderr, b"not wanted");
            expected.extend(bytes);
        }
        let null = berth_sys::pipe::null().unwrap();
        peer.reply(&Reply::ExecStarted { pid: 1 }, vec![null]);
        assert!(peer.backlog() > BACKLOG);
        assert_eq!(peer.interest(), Interest::BOTH);
        let mut received = Vec::new();
        loop {
            peer.flush();
            client.fill().unwrap();
            match client.next().unwrap() {
                Some(Incoming::Stdout(bytes)) => received.extend_from_slice(bytes),
                Some(Incoming::Reply(reply, files)) => {
                    assert_eq!(reply, Reply::ExecStarted { pid: 1 });
                    assert_eq!(files.len(), 1);
                    break;
                }
                Some(Incoming::Stderr(_)) => panic!("stderr was not asked for"),
                None => {}
            }
        }
        assert_eq!(received, expected);
        assert_eq!((peer.backlog(), peer.interest()), (0, Interest::READ));
    }

    #[test]
    fn nonsense_ends_the_connection_alone() {
        let outcomes = [
            &b"GET / HTTP/1.0\r\n\r\n"[..],
            &[1, 2, 0, 0, 0, b'{', b'x'],
            &[3, 0xff, 0xff, 0xff, 0xff],
            &[5, 0, 0, 0, 0],
        ];
        for bytes in outcomes {
            let (client, monitor) = socket::pair().unwrap();
            let mut peer = Peer::new(monitor);
            socket::send(&client, &[IoSlice::new(bytes)], &[], Wait::Yes).unwrap();
            peer.receive(&mut [0; 64]);
            assert!(peer.next().is_none() && peer.is_gone(), "{bytes:?}");
        }
    }

    #[test]
    fn more_input_than_the_window_ends_the_connection() {
        let (mut client, mut peer) = pair();
        let input = vec![7; STDIN_WINDOW];
        assert_eq!(client.send_stdin(&input).unwrap(), STDIN_WINDOW);
        assert_eq!(client.send_stdin(&input).unwrap(), 0);
        let mut scratch = vec![0; 1 << 17];
        let mut received = 0;
        while received < input.len() {
            peer.receive(&mut scratch);
            while let Some(Said::Stdin(bytes)) = peer.next() {
                received += bytes.len();
            }
        }
        peer.taken(1000);
        client.fill().unwrap();
        assert!(client.next().unwrap().is_none());
        assert_eq!(client.stdin_room(), 1000);
        assert_eq!(peer.stdin_under_way, STDIN_WINDOW - 1000);
        client.send_stdin(&input).unwrap();
        // A client that ignores the window.
        client.end_stdin().unwrap();
        peer.receive(&mut scratch);
        assert!(matches!(peer.next(), Some(Said::Stdin(_))));
        assert!(matches!(peer.next(), Some(Said::StdinEnd)));
        peer.stdin_under_way = STDIN_WINDOW;
        let mut other = Connection::new(client.as_fd().try_clone_to_owned().unwrap());
        other.send_stdin(b"x").unwrap();
        peer.receive(&mut scratch);
        assert!(peer.next().is_none() && peer.is_gone());
    }
}
