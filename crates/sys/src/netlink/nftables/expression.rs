//! The expressions of a rule: what they test and what they do, as the kernel reads them.

use super::{DATA_VALUE, DATA_VERDICT, Family, LIST_ELEMENT, Message};

/// The first 32-bit register; `nth` words further on are its followers.
const REGISTER: u32 = 8;
const VERDICT_REGISTER: u32 = 0;

/// Which of a packet's interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// The one it came in by.
    Incoming,
    /// The one it leaves by.
    Outgoing,
}

/// A field of a packet's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// IPv4's source.
    SourceIpv4,
    /// IPv4's destination.
    DestinationIpv4,
    /// IPv6's source.
    SourceIpv6,
    /// IPv6's destination.
    DestinationIpv6,
    /// TCP's or UDP's destination port.
    DestinationPort,
}

impl Field {
    /// Header (network 1, transport 2), offset, length.
    fn parts(self) -> (u32, u32, u32) {
        match self {
            Self::SourceIpv4 => (1, 12, 4),
            Self::DestinationIpv4 => (1, 16, 4),
            Self::SourceIpv6 => (1, 8, 16),
            Self::DestinationIpv6 => (1, 24, 16),
            Self::DestinationPort => (2, 2, 2),
        }
    }
}

/// One expression of a rule. A test that fails ends the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression<'a> {
    /// The packet is IPv4 (`false`: IPv6).
    IsIpv4(bool),
    /// An interface's name is (not) this.
    Interface {
        /// Which interface.
        which: Interface,
        /// Its name.
        name: &'a str,
        /// Whether it must be it, or must not be.
        is: bool,
    },
    /// A field's leading bits are (not) those of a value.
    Prefix {
        /// The field.
        field: Field,
        /// The value, already without the bits that do not count.
        value: &'a [u8],
        /// How many bits count.
        bits: u32,
        /// Whether they must be equal, or must not be.
        is: bool,
    },
    /// The destination is an address of this host.
    DestinationIsLocal,
    /// The connection is established or related to one that is.
    Established,
    /// The connection's destination was translated.
    DestinationTranslated,
    /// Loads a field into the registers, `word` words on.
    Load {
        /// The field.
        field: Field,
        /// The register.
        word: u32,
    },
    /// Loads the transport protocol's number.
    LoadProtocol {
        /// The register.
        word: u32,
    },
    /// Looks the registers from the first on up in a map, which replaces them by its data.
    Map(&'a str),
    /// Translates the destination to the address in the first registers and the port behind it.
    TranslateDestination {
        /// Whether it is an IPv4 address.
        ipv4: bool,
    },
    /// Translates the source to the outgoing interface's address.
    Masquerade,
    /// Goes on in another chain, and comes back.
    Jump(&'a str),
    /// Lets the packet pass.
    Accept,
    /// Drops the packet.
    Drop,
}

/// Writes one expression as a list element of (name, data).
fn expression(list: &mut Message, name: &str, data: impl FnOnce(&mut Message)) {
    list.nest(LIST_ELEMENT, |element| {
        element.text(1, name).nest(2, data);
    });
}

fn load_meta(list: &mut Message, key: u32, register: u32) {
    expression(list, "meta", |data| {
        data.network_number(1, register).network_number(2, key);
    });
}

fn load_field(list: &mut Message, field: Field, register: u32) {
    let (header, offset, length) = field.parts();
    expression(list, "payload", |data| {
        data.network_number(1, register)
            .network_number(2, header)
            .network_number(3, offset)
            .network_number(4, length);
    });
}

fn compare(list: &mut Message, is: bool, value: &[u8]) {
    expression(list, "cmp", |data| {
        data.network_number(1, REGISTER)
            .network_number(2, u32::from(!is))
            .nest(3, |nested| {
                nested.attribute(DATA_VALUE, value);
            });
    });
}

fn mask(list: &mut Message, mask: &[u8]) {
    let length = u32::try_from(mask.len()).unwrap_or(0);
    expression(list, "bitwise", |data| {
        data.network_number(1, REGISTER)
            .network_number(2, REGISTER)
            .network_number(3, length)
            .nest(4, |nested| {
                nested.attribute(DATA_VALUE, mask);
            })
            .nest(5, |nested| {
                nested.attribute(DATA_VALUE, &vec![0; mask.len()]);
            });
    });
}

fn verdict(list: &mut Message, code: i32, chain: Option<&str>) {
    expression(list, "immediate", |data| {
        data.network_number(1, VERDICT_REGISTER).nest(2, |nested| {
            nested.nest(DATA_VERDICT, |verdict| {
                verdict.network_number(1, code.cast_unsigned());
                if let Some(chain) = chain {
                    verdict.text(2, chain);
                }
            });
        });
    });
}

/// Loads a bit field of the tracked connection (in host byte order) and tests it for any of `bits`.
fn connection_has(list: &mut Message, key: u32, bits: u32) {
    expression(list, "ct", |data| {
        data.network_number(1, REGISTER).network_number(2, key);
    });
    mask(list, &bits.to_ne_bytes());
    compare(list, false, &[0; 4]);
}

/// An interface's name as the kernel compares it.
pub(super) fn padded(name: &str) -> Vec<u8> {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(16, 0);
    padded
}

/// The first `bits` bits set, in as many bytes as the value has.
fn leading(bits: u32, length: usize) -> Vec<u8> {
    let mut left = bits;
    (0..length)
        .map(|_| {
            let here = left.min(8);
            left -= here;
            u8::MAX.checked_shl(8 - here).unwrap_or(0)
        })
        .collect()
}

pub(super) fn write(list: &mut Message, what: &Expression<'_>) {
    // enum nft_meta_keys, nft_ct_keys, nf_conntrack_status of linux/netfilter.
    const INCOMING_NAME: u32 = 6;
    const OUTGOING_NAME: u32 = 7;
    const NETWORK_PROTOCOL: u32 = 15;
    const TRANSPORT_PROTOCOL: u32 = 16;
    match *what {
        Expression::IsIpv4(ipv4) => {
            load_meta(list, NETWORK_PROTOCOL, REGISTER);
            compare(list, true, &[if ipv4 { 2 } else { 10 }]);
        }
        Expression::Interface { which, name, is } => {
            let key = if which == Interface::Incoming {
                INCOMING_NAME
            } else {
                OUTGOING_NAME
            };
            load_meta(list, key, REGISTER);
            compare(list, is, &padded(name));
        }
        Expression::Prefix {
            field,
            value,
            bits,
            is,
        } => {
            load_field(list, field, REGISTER);
            mask(list, &leading(bits, value.len()));
            compare(list, is, value);
        }
        Expression::DestinationIsLocal => {
            const LOCAL: u32 = 2;
            expression(list, "fib", |data| {
                // Result: the type of the destination's route.
                data.network_number(1, REGISTER)
                    .network_number(2, 3)
                    .network_number(3, 2);
            });
            compare(list, true, &LOCAL.to_ne_bytes());
        }
        Expression::Established => connection_has(list, 0, 2 | 4),
        Expression::DestinationTranslated => connection_has(list, 2, 1 << 5),
        Expression::Load { field, word } => load_field(list, field, REGISTER + word),
        Expression::LoadProtocol { word } => load_meta(list, TRANSPORT_PROTOCOL, REGISTER + word),
        Expression::Map(name) => expression(list, "lookup", |data| {
            data.text(1, name)
                .network_number(2, REGISTER)
                .network_number(3, REGISTER);
        }),
        Expression::TranslateDestination { ipv4 } => {
            let (family, words) = if ipv4 {
                (Family::Ipv4, 1)
            } else {
                (Family::Ipv6, 4)
            };
            expression(list, "nat", |data| {
                data.network_number(1, 1)
                    .network_number(2, u32::from(family.number()))
                    .network_number(3, REGISTER)
                    .network_number(5, REGISTER + words);
            });
        }
        Expression::Masquerade => expression(list, "masq", |_| {}),
        Expression::Jump(chain) => verdict(list, -3, Some(chain)),
        Expression::Accept => verdict(list, 1, None),
        Expression::Drop => verdict(list, 0, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_bits_are_spelt_in_bytes() {
        for (bits, length, expected) in [
            (0, 4, vec![0, 0, 0, 0]),
            (16, 4, vec![255, 255, 0, 0]),
            (20, 4, vec![255, 255, 240, 0]),
            (32, 4, vec![255; 4]),
            (1, 2, vec![128, 0]),
        ] {
            assert_eq!(leading(bits, length), expected, "{bits}");
        }
    }
}
