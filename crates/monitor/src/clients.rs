//! The clients: who may speak to the container, what they say, and what becomes of one that leaves or
//! reads slowly.

use std::os::fd::OwnedFd;

use berth_sys::epoll::Readiness;
use berth_sys::socket::{self, Listener};

use crate::peer::{BACKLOG, Peer, Said};
use crate::supervisor::Supervisor;
use crate::token::Token;

impl Supervisor<'_> {
    /// A number no client or session had before.
    pub(crate) fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }

    /// Takes one more client.
    pub(crate) fn welcome(&mut self, peer: Peer) -> u32 {
        let number = self.number();
        if self
            .poller
            .add(&peer, Token::Client(number).number(), peer.registered)
            .is_ok()
        {
            self.clients.insert(number, peer);
        }
        number
    }

    /// Takes everybody who is waiting. Only the container's owner and root may speak to it.
    pub(crate) fn accept(&mut self) {
        while let Some(Ok(Some(socket))) = self.listener.as_ref().map(Listener::accept) {
            if is_allowed(&socket) {
                self.welcome(Peer::new(socket));
            }
        }
    }

    pub(crate) fn serve(&mut self, number: u32, event: &Readiness) {
        if event.writable
            && let Some(peer) = self.clients.get_mut(&number)
        {
            peer.flush();
        }
        if event.readable {
            let mut scratch = std::mem::take(&mut self.scratch);
            if let Some(peer) = self.clients.get_mut(&number) {
                peer.receive(&mut scratch);
            }
            self.scratch = scratch;
            self.listen_to(number);
        }
    }

    /// Deals with everything a client has said so far.
    pub(crate) fn listen_to(&mut self, number: u32) {
        while let Some(said) = self.clients.get_mut(&number).and_then(Peer::next) {
            match said {
                Said::Request(request, files) => self.handle(number, request, files),
                Said::Stdin(bytes) => self.take_input(number, bytes),
                Said::StdinEnd => self.end_input(),
            }
        }
    }

    fn take_input(&mut self, number: u32, bytes: Vec<u8>) {
        let attached = self.clients.get(&number).and_then(|peer| peer.attached);
        let wanted = attached.is_some_and(|attached| attached.stdin);
        match &mut self.running {
            Some(running) if wanted && running.console.sink().is_some() => {
                running.console.queue(number, bytes);
                self.feed();
            }
            _ => {
                if let Some(peer) = self.clients.get_mut(&number) {
                    peer.taken(bytes.len());
                }
            }
        }
    }

    /// After each round: drops clients that are gone, waits for the slow ones and for the log's receiver,
    /// slows the guest down.
    pub(crate) fn settle(&mut self) {
        let gone: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, peer)| peer.is_gone())
            .map(|(n, _)| *n)
            .collect();
        for number in gone {
            self.part(number);
        }
        for (number, peer) in &mut self.clients {
            let interest = peer.interest();
            if interest != peer.registered {
                peer.registered = interest;
                drop(
                    self.poller
                        .modify(&*peer, Token::Client(*number).number(), interest),
                );
            }
        }
        let throttle = self
            .clients
            .values()
            .any(|peer| peer.attached.is_some() && peer.backlog() > BACKLOG)
            || self.log.is_behind();
        self.log.watch(&self.poller);
        if throttle != self.throttled {
            self.throttled = throttle;
            self.watch_output(!throttle);
        }
    }

    fn part(&mut self, number: u32) {
        let Some(peer) = self.clients.remove(&number) else {
            return;
        };
        let sent_input = peer.attached.is_some_and(|attached| attached.stdin);
        if sent_input && self.launch.stdin_once {
            self.end_input();
        }
        if self.launch.attended && peer.attached.is_some() {
            self.launch.auto_remove = true;
            self.kill_everything();
        }
        self.abandon_sessions(number);
    }
}

/// Whether the other end is root or the user this process runs as.
fn is_allowed(socket: &OwnedFd) -> bool {
    let uid = |socket: &OwnedFd| socket::peer(socket).ok().map(|peer| peer.uid);
    let own = || socket::pair().ok().and_then(|(one, _other)| uid(&one));
    uid(socket).is_some_and(|uid| uid == 0 || own() == Some(uid))
}
