//! Packet filter tables (`nf_tables`): batches of tables, chains, maps, rules and map elements.
//!
//! A batch happens as a whole or not at all. Values in packets and in keys are big endian; concatenated
//! values start at multiples of four bytes, one 32-bit register each.

mod expression;

use std::io;

use rustix::io::Errno;

pub use self::expression::{Expression, Field, Interface};
use self::expression::{padded, write};
use super::{APPEND, CREATE, DUMP, Message, Socket, attributes};

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM | 14;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// `NF_DROP` and `NF_ACCEPT`, as a chain's policy.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// A table's address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6 (Linux 5.2 for address translation).
    Inet,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }
}

/// Where a base chain hangs in the packet's way, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Destination translation of packets that come in.
    TranslateIncoming,
    /// Destination translation of packets this host sends.
    TranslateOwn,
    /// Source translation of packets that leave.
    TranslateOutgoing,
    /// Filtering of packets passed on.
    FilterForwarded,
}

impl Hook {
    /// Chain type, hook number, priority.
    fn parts(self) -> (&'static str, u32, i32) {
        match self {
            Self::TranslateIncoming => ("nat", 0, -100),
            Self::TranslateOwn => ("nat", 3, -100),
            Self::TranslateOutgoing => ("nat", 4, 100),
            Self::FilterForwarded => ("filter", 2, 0),
        }
    }
}

/// The type of a part of a map's key or data, as nft(8) numbers and prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A transport protocol's number.
    Protocol,
    /// A port.
    Port,
}

impl Type {
    fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
        }
    }

    fn length(self) -> u32 {
        if self == Self::Ipv6 { 16 } else { 4 }
    }
}

/// Changes that happen together.
#[derive(Debug, Clone)]
pub struct Batch {
    family: Family,
    table: String,
    messages: Vec<Message>,
}

impl Batch {
    /// A batch on one table.
    #[must_use]
    pub fn new(family: Family, table: &str) -> Self {
        Self {
            family,
            table: table.to_owned(),
            messages: Vec::new(),
        }
    }

    fn message(&mut self, kind: u16, flags: u16) -> &mut Message {
        let mut message = Message::new(kind, flags);
        message
            .header(&[self.family.number(), 0, 0, 0])
            .text(1, &self.table);
        self.messages.push(message);
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    /// Makes the table, if it is missing.
    pub fn create_table(&mut self) {
        self.message(NEW_TABLE, CREATE).network_number(2, 0);
    }

    /// Removes the table with all it holds.
    pub fn delete_table(&mut self) {
        self.message(DELETE_TABLE, 0);
    }

    /// Makes a chain; one with a hook lets pass what it does not decide.
    pub fn create_chain(&mut self, name: &str, hook: Option<Hook>) {
        match hook {
            Some(hook) => self.hang(name, hook, ACCEPT),
            None => {
                self.message(NEW_CHAIN, CREATE).text(3, name);
            }
        }
    }

    /// Makes a base chain if it is missing, and has it drop what it does not decide.
    pub fn drop_by_default(&mut self, name: &str, hook: Hook) {
        self.hang(name, hook, DROP);
    }

    fn hang(&mut self, name: &str, hook: Hook, policy: u32) {
        let (kind, number, priority) = hook.parts();
        self.message(NEW_CHAIN, CREATE)
            .text(3, name)
            .nest(4, |nested| {
                nested.network_number(1, number);
                nested.network_number(2, priority.cast_unsigned());
            })
            .network_number(5, policy)
            .text(7, kind);
    }

    /// Makes a map from concatenated keys to concatenated data.
    pub fn create_map(&mut self, name: &str, key: &[Type], data: &[Type]) {
        const IS_MAP: u32 = 8;
        // nft(8) concatenates type numbers of six bits each.
        let kind = |parts: &[Type]| parts.iter().fold(0, |all, part| all << 6 | part.number());
        let length = |parts: &[Type]| parts.iter().map(|part| part.length()).sum();
        let id = u32::try_from(self.messages.len()).unwrap_or(0);
        self.message(NEW_SET, CREATE)
            .text(2, name)
            .network_number(3, IS_MAP)
            .network_number(4, kind(key))
            .network_number(5, length(key))
            .network_number(6, kind(data))
            .network_number(7, length(data))
            .network_number(10, id);
    }

    /// Appends a rule to a chain.
    pub fn add_rule(&mut self, chain: &str, expressions: &[Expression<'_>]) {
        self.message(NEW_RULE, CREATE | APPEND)
            .text(2, chain)
            .nest(4, |list| {
                for expression in expressions {
                    write(list, expression);
                }
            });
    }

    /// Puts a rule in front of a chain's others.
    pub fn insert_rule(&mut self, chain: &str, expressions: &[Expression<'_>]) {
        self.message(NEW_RULE, CREATE)
            .text(2, chain)
            .nest(4, |list| {
                for expression in expressions {
                    write(list, expression);
                }
            });
    }

    /// Removes a rule by its handle.
    pub fn delete_rule(&mut self, chain: &str, handle: u64) {
        self.message(DELETE_RULE, 0)
            .text(2, chain)
            .attribute(3, &handle.to_be_bytes());
    }

    /// Adds an element to a map.
    pub fn add_element(&mut self, map: &str, key: &[u8], data: &[u8]) {
        self.message(NEW_ELEMENT, CREATE)
            .text(2, map)
            .nest(3, |elements| {
                elements.nest(LIST_ELEMENT, |element| {
                    element.nest(1, |value| {
                        value.attribute(DATA_VALUE, key);
                    });
                    element.nest(2, |value| {
                        value.attribute(DATA_VALUE, data);
                    });
                });
            });
    }

    /// Removes an element from a map.
    pub fn delete_element(&mut self, map: &str, key: &[u8]) {
        self.message(DELETE_ELEMENT, 0)
            .text(2, map)
            .nest(3, |elements| {
                elements.nest(LIST_ELEMENT, |element| {
                    element.nest(1, |value| {
                        value.attribute(DATA_VALUE, key);
                    });
                });
            });
    }
}

/// A socket to the packet filter of this thread's network namespace.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
}

impl Nftables {
    /// Opens a socket.
    ///
    /// # Errors
    /// The kernel has no netfilter.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            socket: Socket::netfilter()?,
        })
    }

    /// Whether there is such a table.
    ///
    /// # Errors
    /// The kernel has no `nf_tables`, or the permission is missing.
    pub fn has_table(&mut self, family: Family, name: &str) -> io::Result<bool> {
        let mut message = Message::new(GET_TABLE, 0);
        message.header(&[family.number(), 0, 0, 0]).text(1, name);
        match self.socket.ask(&message) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The handles of a chain's rules that test for an interface of this name.
    ///
    /// # Errors
    /// The kernel refuses. A chain that does not exist has none.
    pub fn rules_about(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        interface: &str,
    ) -> io::Result<Vec<u64>> {
        let mut message = Message::new(GET_RULE, DUMP);
        message
            .header(&[family.number(), 0, 0, 0])
            .text(1, table)
            .text(2, chain);
        let rules = match self.socket.dump(&message) {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Vec::new(),
            other => other?,
        };
        let name = padded(interface);
        Ok(rules
            .iter()
            .filter_map(|rule| {
                let mut handle = None;
                let mut names = false;
                for (kind, content) in attributes(&rule.payload, 4) {
                    match kind {
                        3 => handle = <[u8; 8]>::try_from(content).ok().map(u64::from_be_bytes),
                        4 => names = content.windows(name.len()).any(|bytes| bytes == name),
                        _ => {}
                    }
                }
                handle.filter(|_| names)
            })
            .collect())
    }

    /// Carries out a batch.
    ///
    /// # Errors
    /// One of the changes is refused; none has happened then.
    pub fn apply(&mut self, batch: &Batch) -> io::Result<()> {
        let [high, low] = 10_u16.to_be_bytes();
        let mut begin = Message::new(BATCH_BEGIN, 0);
        begin.header(&[0, 0, high, low]);
        let mut end = Message::new(BATCH_END, 0);
        end.header(&[0, 0, high, low]);
        self.socket.batch(&begin, &end, &batch.messages)
    }
}
