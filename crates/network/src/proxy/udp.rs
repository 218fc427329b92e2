//! Relaying UDP: each client of a port gets a socket of its own towards the container.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use berth_sys::epoll::{Interest, Poller};
use berth_sys::inet;

use super::{FLOWS, SWEEP, Target};
use crate::port::HostSocket;

/// A client that is silent for so long has gone; Docker's proxy uses the same.
const IDLE: Duration = Duration::from_secs(90);

/// More clients than this at once push out the one silent for longest.
const MOST: usize = 1024;

/// How many datagrams are moved before others get their turn.
const BATCH: usize = 64;

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_client: BTreeMap<(usize, SocketAddr), u64>,
    by_number: BTreeMap<u64, Flow>,
    next: u64,
    buffer: Vec<u8>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Flow {
    socket: UdpSocket,
    port: usize,
    client: SocketAddr,
    used: Instant,
}

impl Flows {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// Sends what clients sent to a port on to the container.
    pub(super) fn relay(
        &mut self,
        poller: &Poller,
        socket: &UdpSocket,
        port: usize,
        to: SocketAddr,
    ) {
        self.buffer.resize(1 << 16, 0);
        for _ in 0..BATCH {
            let Ok((length, client)) = socket.recv_from(&mut self.buffer) else {
                return;
            };
            let number = match self.by_client.get(&(port, client)) {
                Some(number) => *number,
                // No file is left, or no route: UDP may lose datagrams.
                None => match self.open(poller, port, client, to) {
                    Ok(number) => number,
                    Err(_lost) => continue,
                },
            };
            if let Some(flow) = self.by_number.get_mut(&number) {
                flow.used = Instant::now();
                // A refusal of an earlier datagram is reported here; it is not about this one.
                if flow.socket.send(&self.buffer[..length]).is_err() {
                    drop(flow.socket.send(&self.buffer[..length]));
                }
            }
        }
    }

    fn open(
        &mut self,
        poller: &Poller,
        port: usize,
        client: SocketAddr,
        to: SocketAddr,
    ) -> io::Result<u64> {
        if self.by_number.len() >= MOST {
            let oldest = self.by_number.iter().min_by_key(|(_, flow)| flow.used);
            if let Some(number) = oldest.map(|(number, _)| *number) {
                self.forget(number);
            }
        }
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = inet::bind(SocketAddr::new(any, 0))?;
        socket.connect(to)?;
        let number = self.next;
        self.next += 1;
        poller.add(&socket, FLOWS + number, Interest::READ)?;
        self.by_client.insert((port, client), number);
        self.by_number.insert(
            number,
            Flow {
                socket,
                port,
                client,
                used: Instant::now(),
            },
        );
        Ok(number)
    }

    /// Sends the container's answers back to the client.
    pub(super) fn answer(&mut self, number: u64, targets: &[Target<'_>]) {
        self.buffer.resize(1 << 16, 0);
        let Some(flow) = self.by_number.get_mut(&number) else {
            return;
        };
        let Some(Target {
            socket: HostSocket::Udp(port),
            ..
        }) = targets.get(flow.port)
        else {
            return;
        };
        flow.used = Instant::now();
        for _ in 0..BATCH {
            match flow.socket.recv(&mut self.buffer) {
                Ok(length) => drop(port.send_to(&self.buffer[..length], flow.client)),
                // Nothing more, or the container refused a datagram, which reading has now cleared.
                Err(_done) => return,
            }
        }
    }

    /// Forgets clients that have gone.
    pub(super) fn sweep(&mut self) {
        if self.by_number.is_empty() {
            return;
        }
        let now = Instant::now();
        if self
            .swept
            .is_some_and(|swept| now.duration_since(swept) < SWEEP)
        {
            return;
        }
        self.swept = Some(now);
        let idle: Vec<u64> = self
            .by_number
            .iter()
            .filter(|(_, flow)| now.duration_since(flow.used) > IDLE)
            .map(|(number, _)| *number)
            .collect();
        for number in idle {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some(flow) = self.by_number.remove(&number) {
            self.by_client.remove(&(flow.port, flow.client));
        }
    }
}
