//! Frames as bytes: how they are written, and how they are found again in a stream cut anywhere.
//!
//! ```text
//! kind: u8 │ length: u32 little-endian │ payload: `length` bytes
//! ```

use std::fmt;

use crate::protocol::{Kind, MAXIMUM_PAYLOAD};

/// The bytes in front of every payload.
pub(crate) const HEADER: usize = 5;

/// A buffer larger than this is given back when it is empty.
const KEPT: usize = 16 << 10;

/// The header of a frame.
///
/// A payload never exceeds [`MAXIMUM_PAYLOAD`]: whoever makes one larger sees a length of 0 arrive.
#[must_use]
pub(crate) fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let length = u32::try_from(length).unwrap_or_default().to_le_bytes();
    [kind as u8, length[0], length[1], length[2], length[3]]
}

/// What makes a stream unreadable; the connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Garbled {
    /// No frame is of this kind.
    Kind(u8),
    /// The payload would be longer than [`MAXIMUM_PAYLOAD`].
    Length(u32),
}

impl fmt::Display for Garbled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(formatter, "a frame of unknown kind {kind}"),
            Self::Length(length) => write!(formatter, "a frame of {length} bytes"),
        }
    }
}

impl std::error::Error for Garbled {}

/// Finds frames in a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Adds what was received. Memory grows with what arrives, never with what a header claims.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The kind of the next whole frame, which stays.
    ///
    /// # Errors
    /// The stream is [`Garbled`].
    pub(crate) fn peek(&self) -> Result<Option<Kind>, Garbled> {
        Ok(self.find()?.map(|(kind, _)| kind))
    }

    /// The next whole frame: its kind and payload.
    ///
    /// # Errors
    /// The stream is [`Garbled`]; it stays so.
    pub(crate) fn next_frame(&mut self) -> Result<Option<(Kind, &[u8])>, Garbled> {
        let Some((kind, length)) = self.find()? else {
            self.release();
            return Ok(None);
        };
        let payload = self.start + HEADER..self.start + HEADER + length;
        self.start = payload.end;
        Ok(Some((kind, &self.buffer[payload])))
    }

    fn find(&self) -> Result<Option<(Kind, usize)>, Garbled> {
        let [kind, a, b, c, d, rest @ ..] = &self.buffer[self.start..] else {
            return Ok(None);
        };
        let kind = kind_of(*kind)?;
        let length = u32::from_le_bytes([*a, *b, *c, *d]);
        if length > MAXIMUM_PAYLOAD {
            return Err(Garbled::Length(length));
        }
        let length = length as usize;
        Ok((rest.len() >= length).then_some((kind, length)))
    }

    fn release(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > KEPT {
                self.buffer = Vec::new();
            }
        }
    }
}

fn kind_of(byte: u8) -> Result<Kind, Garbled> {
    let kind = match byte {
        1 => Kind::Request,
        2 => Kind::Reply,
        3 => Kind::Stdin,
        4 => Kind::StdinEnd,
        5 => Kind::Stdout,
        6 => Kind::Stderr,
        7 => Kind::Taken,
        other => return Err(Garbled::Kind(other)),
    };
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in vec((1_u8..=7, vec(any::<u8>(), 0..300)), 0..8),
            cuts in vec(1_usize..50, 1..20),
        ) {
            let mut stream = Vec::new();
            for (kind, payload) in &frames {
                stream.extend(header(kind_of(*kind).unwrap(), payload.len()));
                stream.extend(payload);
            }
            let (mut decoder, mut found, mut rest) = (Decoder::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                decoder.push(now);
                while let Some((kind, payload)) = decoder.next_frame().unwrap() {
                    found.push((kind as u8, payload.to_vec()));
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, frames);
        }

        #[test]
        fn any_bytes_give_frames_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            let mut total = 0;
            while let Ok(Some((_, payload))) = decoder.next_frame() {
                total += HEADER + payload.len();
            }
            prop_assert!(total <= bytes.len());
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut decoder = Decoder::default();
        decoder.push(&header(Kind::Stdin, MAXIMUM_PAYLOAD as usize));
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.buffer.capacity() < 4096);
        let mut decoder = Decoder::default();
        decoder.push(&[3, 255, 255, 255, 255]);
        assert_eq!(decoder.next_frame(), Err(Garbled::Length(u32::MAX)));
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 0, 0]);
        assert_eq!(decoder.next_frame(), Err(Garbled::Kind(0)));
    }
}
