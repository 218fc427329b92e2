//! Relaying TCP connections, with each direction ending by itself.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use berth_sys::epoll::{Interest, Poller};
use berth_sys::inet::{self, Moved, Splice};

use super::{CONNECTIONS, Target};
use crate::port::HostSocket;

/// How many connections are taken before others get their turn.
const BATCH: usize = 64;

/// Spare pipes kept for the next connections.
const SPARE_PIPES: usize = 64;

/// All relayed connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Given back in this round: an event of the old connection may still be waiting in it.
    retired: Vec<usize>,
    pipes: Vec<Splice>,
    /// Listeners (by token) that wait until a connection has given its files back.
    paused: Vec<u64>,
}

/// One relayed connection.
#[derive(Debug)]
struct Connection {
    client: Side,
    server: Side,
    connected: bool,
    up: Direction,
    down: Direction,
}

#[derive(Debug)]
struct Side {
    stream: TcpStream,
    interest: Interest,
    /// Hung up: epoll would report it without end, and no new bytes can come.
    gone: bool,
}

#[derive(Debug)]
struct Direction {
    pipe: Splice,
    /// The source has ended.
    ended: bool,
    /// The target was told so, or takes nothing any more.
    finished: bool,
}

impl Direction {
    fn new(pipe: Splice) -> Self {
        Self {
            pipe,
            ended: false,
            finished: false,
        }
    }

    /// Moves what can be moved; says whether anything was.
    fn pump(&mut self, source: &TcpStream, target: &TcpStream) -> io::Result<bool> {
        let mut progress = false;
        if self.finished {
            return Ok(false);
        }
        if !self.ended && self.pipe.held() == 0 {
            match self.pipe.fill(source)? {
                Moved::Bytes(_) => progress = true,
                Moved::End => {
                    self.ended = true;
                    progress = true;
                }
                Moved::Nothing => {}
            }
        }
        match self.pipe.drain(target) {
            Ok(Moved::Bytes(_)) => progress = true,
            Ok(Moved::Nothing | Moved::End) => {}
            // The target takes nothing more; the other direction may still have something to say.
            Err(_broken) => {
                self.ended = true;
                self.finished = true;
                return Ok(true);
            }
        }
        if self.ended && self.pipe.held() == 0 {
            // Already closed is closed as well.
            drop(target.shutdown(Shutdown::Write));
            self.finished = true;
            progress = true;
        }
        Ok(progress)
    }
}

impl Connections {
    /// Takes the connections that wait at a listener.
    pub(super) fn accept(
        &mut self,
        poller: &Poller,
        listener: &TcpListener,
        token: u64,
        to: SocketAddr,
    ) {
        for _ in 0..BATCH {
            let begun = match inet::accept(listener) {
                Ok(Some(client)) => self.begin(poller, client, to),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            if begun.is_err_and(|error| is_exhaustion(&error)) {
                // No file is left: waiting at the listener would only spin.
                drop(poller.modify(listener, token, Interest::NOTHING));
                self.paused.push(token);
                return;
            }
        }
    }

    fn begin(&mut self, poller: &Poller, client: TcpStream, to: SocketAddr) -> io::Result<()> {
        // Latency counts more here than the few packets Nagle's algorithm saves.
        drop(client.set_nodelay(true));
        let server = inet::start_connect(to)?;
        drop(server.set_nodelay(true));
        let up = self.pipe()?;
        let down = self.pipe()?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let token = CONNECTIONS + 2 * u64::try_from(slot).unwrap_or(u64::MAX);
        let added = poller
            .add(&client, token, Interest::NOTHING)
            .and_then(|()| poller.add(&server, token + 1, Interest::WRITE));
        if let Err(error) = added {
            self.free.push(slot);
            return Err(error);
        }
        self.slots[slot] = Some(Connection {
            client: Side {
                stream: client,
                interest: Interest::NOTHING,
                gone: false,
            },
            server: Side {
                stream: server,
                interest: Interest::WRITE,
                gone: false,
            },
            connected: false,
            up: Direction::new(up),
            down: Direction::new(down),
        });
        Ok(())
    }

    fn pipe(&mut self) -> io::Result<Splice> {
        self.pipes.pop().map_or_else(Splice::new, Ok)
    }

    /// Goes on with a connection after something happened to one of its ends.
    pub(super) fn advance(&mut self, poller: &Poller, number: u64, hangup: bool) {
        let Ok(slot) = usize::try_from(number / 2) else {
            return;
        };
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let of_server = number % 2 == 1;
        if hangup {
            let side = if of_server {
                &mut connection.server
            } else {
                &mut connection.client
            };
            side.gone = true;
            drop(poller.remove(&side.stream));
        }
        if connection.step(of_server).unwrap_or(false) {
            connection.watch(poller, CONNECTIONS + (number & !1));
            return;
        }
        if let Some(connection) = self.slots[slot].take() {
            for direction in [connection.up, connection.down] {
                if direction.pipe.held() == 0 && self.pipes.len() < SPARE_PIPES {
                    self.pipes.push(direction.pipe);
                }
            }
            self.retired.push(slot);
        }
    }

    /// Ends a round: what its ended connections held can be used again, also by paused listeners.
    pub(super) fn resume(&mut self, poller: &Poller, targets: &[Target<'_>]) {
        if self.retired.is_empty() {
            return;
        }
        self.free.append(&mut self.retired);
        for token in self.paused.drain(..) {
            let target = usize::try_from(token)
                .ok()
                .and_then(|index| targets.get(index));
            if let Some(Target {
                socket: HostSocket::Tcp(listener),
                ..
            }) = target
            {
                drop(poller.modify(listener, token, Interest::READ));
            }
        }
    }
}

impl Connection {
    /// Moves bytes both ways; `false` when both directions have ended.
    fn step(&mut self, of_server: bool) -> io::Result<bool> {
        if !self.connected {
            if !of_server {
                return Ok(true);
            }
            if let Some(error) = self.server.stream.take_error()? {
                return Err(error);
            }
            self.connected = true;
        }
        loop {
            let up = self.up.pump(&self.client.stream, &self.server.stream)?;
            let down = self.down.pump(&self.server.stream, &self.client.stream)?;
            if self.up.finished && self.down.finished {
                return Ok(false);
            }
            if !up && !down {
                break;
            }
        }
        // Nothing can wake a connection both of whose ends are gone.
        Ok(!(self.client.gone && self.server.gone))
    }

    fn watch(&mut self, poller: &Poller, token: u64) {
        if !self.connected {
            return;
        }
        let wanted = |outward: &Direction, inward: &Direction| Interest {
            readable: !outward.ended && outward.pipe.held() == 0,
            writable: inward.pipe.held() > 0 && !inward.finished,
        };
        let client = wanted(&self.up, &self.down);
        let server = wanted(&self.down, &self.up);
        self.client.watch(poller, token, client);
        self.server.watch(poller, token + 1, server);
    }
}

impl Side {
    fn watch(&mut self, poller: &Poller, token: u64, interest: Interest) {
        if self.gone || self.interest == interest {
            return;
        }
        if poller.modify(&self.stream, token, interest).is_ok() {
            self.interest = interest;
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM: std has no kinds for the first three.
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}
