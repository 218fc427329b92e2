//! The keys that leave a container running: their spelling, and their recognition in the input.

use std::str::FromStr;

/// A sequence of keys; empty means that none detaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    /// `ctrl-p,ctrl-q`.
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl DetachKeys {
    /// No key detaches.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }
}

impl FromStr for DetachKeys {
    type Err = String;

    /// Reads keys separated by commas: a character, or `ctrl-` and one of `a-z @ [ \ ] ^ _`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }
}

fn key(text: &str) -> Result<u8, String> {
    if let &[character] = text.as_bytes() {
        return Ok(character);
    }
    let control = text
        .strip_prefix("ctrl-")
        .map(|name| name.to_ascii_lowercase());
    match control.as_deref().map(str::as_bytes) {
        Some(&[letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
        Some(&[b'@']) => Ok(0),
        // `[ \ ] ^ _` follow `Z` in ASCII, as escape and the four separators follow ctrl-z.
        Some(&[sign @ b'['..=b'_']) => Ok(sign - b'@'),
        _ => Err(format!(
            "{text:?} is no key: use a character or ctrl-LETTER"
        )),
    }
}

/// What became of a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// These bytes are for the guest.
    Pass(Vec<u8>),
    /// These bytes are for the guest, and then the sequence was complete.
    Detach(Vec<u8>),
}

/// Looks for a sequence in input that arrives piece by piece.
///
/// Keys that may become the sequence are held back until it is clear that they do not.
#[derive(Debug)]
pub(crate) struct Matcher {
    keys: Vec<u8>,
    matched: usize,
}

impl Matcher {
    /// Looks for these keys from now on.
    pub(crate) fn new(keys: DetachKeys) -> Self {
        Self {
            keys: keys.0,
            matched: 0,
        }
    }

    /// Takes the next piece of input.
    pub(crate) fn take(&mut self, input: &[u8]) -> Keys {
        if self.keys.is_empty() {
            return Keys::Pass(input.to_vec());
        }
        let mut passed = Vec::with_capacity(input.len() + self.matched);
        for byte in input {
            while self.matched > 0 && self.keys[self.matched] != *byte {
                self.fall_back(&mut passed);
            }
            if self.keys[self.matched] != *byte {
                passed.push(*byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                self.matched = 0;
                return Keys::Detach(passed);
            }
        }
        Keys::Pass(passed)
    }

    /// What is held back, when the input has ended.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let held = self.keys[..self.matched].to_vec();
        self.matched = 0;
        held
    }

    /// Gives up the longest match and keeps the next shorter one that the same input allows.
    fn fall_back(&mut self, passed: &mut Vec<u8>) {
        let held = &self.keys[..self.matched];
        let shorter = (1..held.len()).find(|start| self.keys.starts_with(&held[*start..]));
        let dropped = shorter.unwrap_or(held.len());
        passed.extend_from_slice(&held[..dropped]);
        self.matched -= dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spelled_as_in_docker() {
        for (text, expected) in [
            ("ctrl-p,ctrl-q", &[0x10, 0x11][..]),
            ("ctrl-@", &[0]),
            ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", &[27, 28, 29, 30, 31]),
            ("a,b,~", b"ab~"),
            ("ctrl-A", &[1]),
            ("", &[]),
        ] {
            assert_eq!(text.parse::<DetachKeys>().unwrap().0, expected, "{text}");
        }
        for text in ["ctrl-", "ctrl-1", "shift-a", "ab", "ctrl-p,,q", "ä"] {
            assert!(text.parse::<DetachKeys>().is_err(), "{text}");
        }
    }

    fn feed(keys: &str, pieces: &[&str]) -> (String, bool) {
        let mut matcher = Matcher::new(keys.parse().unwrap());
        let mut passed = Vec::new();
        for piece in pieces {
            match matcher.take(piece.as_bytes()) {
                Keys::Pass(bytes) => passed.extend(bytes),
                Keys::Detach(bytes) => {
                    passed.extend(bytes);
                    return (String::from_utf8(passed).unwrap(), true);
                }
            }
        }
        passed.extend(matcher.rest());
        (String::from_utf8(passed).unwrap(), false)
    }

    #[test]
    fn the_sequence_is_found_across_pieces_and_nothing_else_is_lost() {
        for (keys, pieces, passed, detached) in [
            ("p,q", &["hello"][..], "hello", false),
            ("p,q", &["abpq"], "ab", true),
            ("p,q", &["ap", "qb"], "a", true),
            ("p,q", &["ap", "xq"], "apxq", false),
            ("p,q", &["ppq"], "p", true),
            ("p,q", &["pp", "pp"], "pppp", false),
            ("a,a,b", &["aaab"], "a", true),
            ("a,b,a,c", &["ababac"], "ab", true),
            ("x", &["1x2"], "1", true),
            ("", &["pq"], "pq", false),
        ] {
            assert_eq!(
                feed(keys, pieces),
                (passed.to_owned(), detached),
                "{keys} {pieces:?}"
            );
        }
    }
}
