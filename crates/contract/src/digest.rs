//! A content digest, `algorithm:hex`, checked before it can become part of any path (CVE-2024-3727).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Class, Error};

/// A SHA-256 or SHA-512 digest as image-spec's `descriptor.md` writes it: `sha256:` and 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of these 32 bytes of SHA-256.
    #[must_use]
    pub fn sha256(bytes: [u8; 32]) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Self(text)
    }

    /// `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256` or `sha512`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.0
            .split_once(':')
            .map_or("", |(algorithm, _)| algorithm)
    }

    /// The digits, safe as a file name.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first twelve digits: what listings show.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let length = match text.split_once(':').map(|(algorithm, _)| algorithm) {
            Some("sha256") => 64,
            Some("sha512") => 128,
            _ => 0,
        };
        let hex = text.split_once(':').map_or("", |(_, hex)| hex);
        let hexadecimal = hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if length > 0 && hex.len() == length && hexadecimal {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::new(
                Class::Invalid,
                format!("invalid digest {text:?}"),
            ))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    #[test]
    fn only_exact_digests_parse() {
        let good = format!("sha256:{}", "0".repeat(64));
        assert_eq!(good.parse::<Digest>().unwrap().hex().len(), 64);
        let bad = [
            String::new(),
            "sha256:".to_owned(),
            format!("sha256:{}", "0".repeat(63)),
            format!("sha256:{}", "A".repeat(64)),
            format!("md5:{}", "0".repeat(32)),
            format!("sha256:../{}", "0".repeat(61)),
            format!("{good}\n"),
        ];
        for text in bad {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn printing_and_parsing_agree(bytes in any::<[u8; 32]>()) {
            let digest = Digest::sha256(bytes);
            prop_assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        }
    }
}
