//! Netlink messages and sockets, written here so that every length is checked.
//!
//! ```text
//! nlmsghdr   length u32 · type u16 · flags u16 · sequence u32 · port u32
//! payload    a fixed header of the family, then attributes
//! attribute  length u16 (header included) · type u16 · payload · padding to 4
//! ```
//!
//! An attribute's length is 16 bits: a payload that does not fit makes the whole message an error
//! instead of a shorter length with the rest read as further attributes (CVE-2021-43784).

pub mod conntrack;
pub mod nftables;
pub mod route;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NESTED: u16 = 1 << 15;

/// `NLM_F_REQUEST`.
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
pub(crate) const ACKNOWLEDGE: u16 = 4;
/// `NLM_F_EXCL`.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(crate) const APPEND: u16 = 0x800;

/// A kernel that does not answer within this time will not; waiting for ever would hang a `run`.
const PATIENCE: Duration = Duration::from_secs(10);

/// One message being written.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    overflow: bool,
}

impl Message {
    /// A message of a type, with flags beside `NLM_F_REQUEST`.
    pub(crate) fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        Self {
            bytes,
            overflow: false,
        }
    }

    /// Appends bytes of the family's fixed header.
    pub(crate) fn header(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Appends an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, payload: &[u8]) -> &mut Self {
        let start = self.open(kind);
        self.bytes.extend_from_slice(payload);
        self.close(start);
        self
    }

    /// Appends a text attribute, with its final zero.
    pub(crate) fn text(&mut self, kind: u16, text: &str) -> &mut Self {
        let start = self.open(kind);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.close(start);
        self
    }

    /// Appends a number in host byte order, as rtnetlink has them.
    pub(crate) fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends a number in network byte order, as netfilter has them.
    pub(crate) fn network_number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends an attribute made of attributes.
    pub(crate) fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.open(kind | NESTED);
        content(self);
        self.close(start);
        self
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_too_long) => self.overflow = true,
        }
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// The message with its length and sequence number.
    fn finish(&self, sequence: u32) -> io::Result<Vec<u8>> {
        let length = u32::try_from(self.bytes.len()).map_err(io::Error::other)?;
        if self.overflow {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a netlink attribute is longer than 65535 bytes",
            ));
        }
        let mut bytes = self.bytes.clone();
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        Ok(bytes)
    }
}

/// A message that the kernel sent, without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) kind: u16,
    pub(crate) payload: Vec<u8>,
}

/// A netlink socket; it stays in the network namespace it was made in.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket: `None` is rtnetlink, the others are named.
    pub(crate) fn open(protocol: Option<rustix::net::Protocol>) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// A socket of netfilter.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    /// Sends messages at once; each is answered by an acknowledgement. The first failure is returned,
    /// with the index of its message; the kernel carries out the others all the same.
    pub(crate) fn carry_out(&mut self, messages: &[Message]) -> Result<(), (usize, io::Error)> {
        let first = self.sequence + 1;
        let mut bytes = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            self.sequence += 1;
            let mut one = message
                .finish(self.sequence)
                .map_err(|error| (index, error))?;
            let flags = u16::from_ne_bytes([one[6], one[7]]) | ACKNOWLEDGE;
            one[6..8].copy_from_slice(&flags.to_ne_bytes());
            bytes.append(&mut one);
        }
        self.send(&bytes).map_err(|error| (0, error))?;
        let mut failure = None;
        let mut answered = 0;
        while answered < messages.len() {
            for (sequence, reply) in self.receive().map_err(|error| (0, error))? {
                if reply.kind != ERROR || sequence < first {
                    continue;
                }
                answered += 1;
                if let Err(error) = acknowledgement(&reply) {
                    let index = usize::try_from(sequence - first).unwrap_or(0);
                    failure.get_or_insert((index, error));
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Sends one message that is answered by an acknowledgement.
    pub(crate) fn request(&mut self, message: &Message) -> io::Result<()> {
        self.carry_out(std::slice::from_ref(message))
            .map_err(|(_, error)| error)
    }

    /// Sends one message that is answered by one message.
    pub(crate) fn ask(&mut self, message: &Message) -> io::Result<Reply> {
        self.sequence += 1;
        self.send(&message.finish(self.sequence)?)?;
        loop {
            for (sequence, reply) in self.receive()? {
                if sequence != self.sequence {
                    continue;
                }
                if reply.kind == ERROR {
                    acknowledgement(&reply)?;
                    continue;
                }
                return Ok(reply);
            }
        }
    }

    /// Sends a dump request and collects what comes.
    pub(crate) fn dump(&mut self, message: &Message) -> io::Result<Vec<Reply>> {
        self.sequence += 1;
        self.send(&message.finish(self.sequence)?)?;
        let mut replies = Vec::new();
        loop {
            for (sequence, reply) in self.receive()? {
                match reply.kind {
                    _ if sequence != self.sequence => {}
                    DONE => return Ok(replies),
                    ERROR => acknowledgement(&reply)?,
                    _ => replies.push(reply),
                }
            }
        }
    }

    /// Sends a netfilter batch (begin, messages, end) that happens as a whole or not at all.
    pub(crate) fn batch(
        &mut self,
        begin: &Message,
        end: &Message,
        messages: &[Message],
    ) -> io::Result<()> {
        self.sequence += 1;
        let first = self.sequence;
        let mut bytes = begin.finish(first)?;
        for message in messages {
            self.sequence += 1;
            bytes.append(&mut message.finish(self.sequence)?);
        }
        // One acknowledgement, asked of the last message, ends the wait: the kernel answers a batch in
        // order, and answers failures without being asked.
        let last = self.sequence;
        if let Some(message) = messages.last() {
            let start = bytes.len() - message.bytes.len();
            let flags = u16::from_ne_bytes([bytes[start + 6], bytes[start + 7]]) | ACKNOWLEDGE;
            bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
        }
        self.sequence += 1;
        bytes.append(&mut end.finish(self.sequence)?);
        self.send(&bytes)?;
        loop {
            for (sequence, reply) in self.receive()? {
                // Answers to an earlier batch that failed may still be waiting.
                if reply.kind != ERROR || sequence < first {
                    continue;
                }
                acknowledgement(&reply)?;
                if sequence == last {
                    return Ok(());
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = rustix::net::sendto(&self.socket, bytes, SendFlags::empty(), &kernel)?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// Receives one datagram and takes it apart: (sequence number, message).
    fn receive(&self) -> io::Result<Vec<(u32, Reply)>> {
        let mut buffer = vec![0_u8; 32 << 10];
        let length = loop {
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC) {
                Ok((_, length)) if length > buffer.len() => {
                    return Err(io::Error::other("the kernel's netlink answer does not fit"));
                }
                Ok((_, length)) => break length,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        Ok(split(&buffer[..length]))
    }
}

/// Takes a datagram apart into messages.
fn split(mut bytes: &[u8]) -> Vec<(u32, Reply)> {
    let mut replies = Vec::new();
    while bytes.len() >= HEADER {
        let length = usize::try_from(word(bytes, 0)).unwrap_or(usize::MAX);
        if length < HEADER || length > bytes.len() {
            break;
        }
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        let payload = bytes[HEADER..length].to_vec();
        replies.push((word(bytes, 8), Reply { kind, payload }));
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    replies
}

fn word(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(&[a, b, c, d]) => u32::from_ne_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// The outcome an `NLMSG_ERROR` message reports.
fn acknowledgement(reply: &Reply) -> io::Result<()> {
    match word(&reply.payload, 0).cast_signed() {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// The attributes in a payload, after a fixed header of `skip` bytes: (type, payload).
pub(crate) fn attributes(payload: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = payload.get(skip..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes([*rest.first()?, *rest.get(1)?]));
        let kind = u16::from_ne_bytes([*rest.get(2)?, *rest.get(3)?]) & !NESTED & !(1 << 14);
        let content = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut message = Message::new(7, CREATE);
        message
            .header(&[1, 2, 3, 4])
            .text(3, "eth0")
            .nest(18, |inner| {
                inner.number(1, 9).attribute(2, &[]);
            });
        let bytes = message.finish(5).unwrap();
        let messages = split(&bytes);
        let [(5, reply)] = &messages[..] else {
            panic!("{messages:?}")
        };
        assert_eq!(reply.kind, 7);
        let all: Vec<_> = attributes(&reply.payload, 4).collect();
        assert_eq!(all[0], (3, &b"eth0\0"[..]));
        assert_eq!(all[1].0, 18);
        let inner: Vec<_> = attributes(all[1].1, 0).collect();
        assert_eq!(inner, [(1, &9_u32.to_ne_bytes()[..]), (2, &[][..])]);
    }

    #[test]
    fn an_attribute_that_does_not_fit_is_refused() {
        for (length, fits) in [(65_531, true), (65_532, false), (70_000, false)] {
            let mut message = Message::new(1, 0);
            message.nest(1, |_| {}).attribute(2, &vec![0; length]);
            assert_eq!(message.finish(1).is_ok(), fits, "{length}");
        }
        let mut nested = Message::new(1, 0);
        nested.nest(1, |inner| {
            inner.attribute(2, &[0; 40_000]).attribute(3, &[0; 40_000]);
        });
        assert!(nested.finish(1).is_err());
    }

    #[test]
    fn hostile_answers_end_the_reading() {
        for bytes in [
            &[0_u8; 16][..],
            &[255; 20],
            &[4, 0, 0],
            &[3, 0, 1, 0, 9, 9, 9, 9],
        ] {
            assert_eq!(split(bytes).len(), 0);
            assert!(attributes(bytes, 0).count() <= bytes.len());
        }
    }
}
