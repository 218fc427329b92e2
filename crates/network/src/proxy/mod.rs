//! The proxy: a small process that serves published ports to clients of the loopback interface.
//!
//! The packet filter cannot translate 127.0.0.1 without `route_localnet`, which opens 127/8 to the
//! neighbours, and IPv6 has no such switch at all. So whatever arrives at the sockets that hold the ports
//! is relayed to the container in user space: TCP by splice(2), UDP datagram by datagram.
//!
//! It is a copy of the monitor, made before the guest exists; it closes everything else, and the kernel
//! kills it with the monitor.

mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::process::parent_id;
use std::time::Duration;

use berth_contract::{Class, Error, Result, Signal};
use berth_sys::clone::{self, Child};
use berth_sys::epoll::{Interest, Poller};
use berth_sys::namespace::Namespaces;
use berth_sys::{fd, pidfd, process};

use crate::port::{Held, HostSocket};

/// Where a held port leads.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) socket: &'a HostSocket,
    pub(crate) to: SocketAddr,
}

/// The running proxy; killed and collected when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
}

impl Proxy {
    /// Starts the proxy for the ports held.
    pub(crate) fn start(held: &[Held], to: impl Fn(&Held) -> SocketAddr) -> Result<Self> {
        let targets: Vec<Target<'_>> = held
            .iter()
            .map(|one| Target {
                socket: &one.socket,
                to: to(one),
            })
            .collect();
        let parent = std::process::id();
        clone::spawn(Namespaces::empty(), None, || match run(&targets, parent) {
            Ok(()) => 0,
            Err(_nobody_listens) => 1,
        })
        .map(|child| Self { child })
        .map_err(|error| {
            Error::new(
                Class::Internal,
                "cannot start the proxy of the published ports",
            )
            .caused_by(error)
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Ended by itself or not: after the signal it is collected.
        drop(pidfd::signal(&self.child.pidfd, Signal::KILL));
        drop(pidfd::wait(self.child.pidfd.as_fd()));
    }
}

/// What a token of the poller stands for.
const CONNECTIONS: u64 = 1 << 32;
const FLOWS: u64 = 1 << 33;

/// How often idle UDP flows are looked for.
const SWEEP: Duration = Duration::from_secs(15);

fn run(targets: &[Target<'_>], parent: u32) -> io::Result<()> {
    process::die_with_parent()?;
    if parent_id() != parent {
        return Ok(());
    }
    let keep: Vec<i32> = targets
        .iter()
        .map(|target| match target.socket {
            HostSocket::Tcp(socket) => fd::number(socket),
            HostSocket::Udp(socket) => fd::number(socket),
        })
        .collect();
    fd::close_all_but(&keep)?;
    raise_file_limit();
    let mut poller = Poller::new()?;
    for (token, target) in (0..).zip(targets) {
        match target.socket {
            HostSocket::Tcp(socket) => poller.add(socket, token, Interest::READ)?,
            HostSocket::Udp(socket) => poller.add(socket, token, Interest::READ)?,
        }
    }
    let mut connections = tcp::Connections::default();
    let mut flows = udp::Flows::default();
    let mut events = Vec::new();
    loop {
        events.clear();
        events.extend(poller.wait((!flows.is_empty()).then_some(SWEEP))?);
        for event in &events {
            if event.token >= FLOWS {
                flows.answer(event.token - FLOWS, targets);
            } else if event.token >= CONNECTIONS {
                connections.advance(&poller, event.token - CONNECTIONS, event.hangup);
            } else if let Some((index, target)) = usize::try_from(event.token)
                .ok()
                .and_then(|at| Some((at, targets.get(at)?)))
            {
                match target.socket {
                    HostSocket::Tcp(socket) => {
                        connections.accept(&poller, socket, event.token, target.to);
                    }
                    HostSocket::Udp(socket) => flows.relay(&poller, socket, index, target.to),
                }
            }
        }
        connections.resume(&poller, targets);
        flows.sweep();
    }
}

/// A relayed connection takes six files; the usual soft limit of 1024 would stop at 170 of them.
fn raise_file_limit() {
    const FILES: u32 = 7; // RLIMIT_NOFILE
    if let Ok(limit) = process::limit(FILES) {
        // Staying at the soft limit is slower at worst.
        drop(process::set_limit(process::Limit {
            soft: limit.hard,
            ..limit
        }));
    }
}
