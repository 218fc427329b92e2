//! Forgetting connections that the kernel tracks.
//!
//! A UDP client that keeps sending keeps its tracked connection alive, with the translation that was in
//! force when it began: after a port is published anew its packets would still go to the old place.

use std::io;

use rustix::io::Errno;

use super::{DUMP, Message, Socket, attributes};

const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const TUPLE_ORIGINAL: u16 = 1;
const ZONE: u16 = 18;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;
const NESTED: u16 = 1 << 15;

/// Forgets every tracked UDP connection to one of these ports of this host.
///
/// # Errors
/// The kernel refuses. A kernel without connection tracking has nothing to forget.
pub fn forget_udp(ports: &[u16]) -> io::Result<()> {
    let mut socket = Socket::netfilter()?;
    for family in [2_u8, 10] {
        let mut message = Message::new(GET, DUMP);
        message.header(&[family, 0, 0, 0]);
        let entries = match socket.dump(&message) {
            Ok(entries) => entries,
            Err(error) if is(&error, Errno::INVAL) || is(&error, Errno::OPNOTSUPP) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let mut original = None;
            let mut zone = None;
            for (kind, content) in attributes(&entry.payload, 4) {
                match kind {
                    TUPLE_ORIGINAL => original = Some(content),
                    ZONE => zone = Some(content),
                    _ => {}
                }
            }
            let Some(original) = original.filter(|tuple| concerns(tuple, ports)) else {
                continue;
            };
            let mut message = Message::new(DELETE, 0);
            message
                .header(&[family, 0, 0, 0])
                .attribute(TUPLE_ORIGINAL | NESTED, original);
            if let Some(zone) = zone {
                message.attribute(ZONE, zone);
            }
            match socket.request(&message) {
                // It ended by itself meanwhile.
                Err(error) if is(&error, Errno::NOENT) => {}
                other => other?,
            }
        }
    }
    Ok(())
}

fn concerns(tuple: &[u8], ports: &[u16]) -> bool {
    let Some((_, protocol)) = attributes(tuple, 0).find(|(kind, _)| *kind == TUPLE_PROTOCOL) else {
        return false;
    };
    let mut udp = false;
    let mut port = None;
    for (kind, content) in attributes(protocol, 0) {
        match (kind, content) {
            (PROTOCOL_NUMBER, [number, ..]) => udp = *number == UDP,
            (DESTINATION_PORT, [high, low, ..]) => port = Some(u16::from_be_bytes([*high, *low])),
            _ => {}
        }
    }
    udp && port.is_some_and(|port| ports.contains(&port))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
