//! Names and ids as types: a container's id cannot be mistaken for its name, or for a network's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Class, Error};

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:path, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(reason) => Err(Error::new(
                        Class::Invalid,
                        format!(concat!("invalid ", $what, " {:?}"), text),
                    )
                    .caused_by(reason)),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

text_type!(
    /// A container's id: 64 lower-case hexadecimal digits.
    ContainerId, check_id, "container id"
);
text_type!(
    /// A container's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 253 characters.
    ContainerName, check_name, "container name"
);
text_type!(
    /// A network's name, with the syntax of a container's name.
    NetworkName, check_name, "network name"
);
text_type!(
    /// A volume's name, with the syntax of a container's name.
    VolumeName, check_name, "volume name"
);

impl ContainerId {
    /// The id made of 32 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        let mut text = String::with_capacity(64);
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Self(text)
    }

    /// The first twelve digits: what listings show, and the default host name.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

fn check_id(text: &str) -> Result<(), &'static str> {
    let hexadecimal = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() == 64 && hexadecimal {
        Ok(())
    } else {
        Err("it must be 64 lower-case hexadecimal digits")
    }
}

fn check_name(text: &str) -> Result<(), &'static str> {
    let mut bytes = text.bytes();
    match bytes.next() {
        None => return Err("it is empty"),
        Some(first) if !first.is_ascii_alphanumeric() => {
            return Err("it must begin with a letter or a digit");
        }
        Some(_) => {}
    }
    if text.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    if bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')) {
        Ok(())
    } else {
        Err("only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dockers_grammar() {
        for good in ["a", "web-1", "A_b.c", "0x0"] {
            assert!(good.parse::<ContainerName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n"] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_64_hexadecimal_digits() {
        let id = ContainerId::from_random([0xab; 32]);
        assert_eq!(id.as_str().len(), 64);
        assert_eq!(id.short(), "abababababab");
        assert_eq!(id.as_str().parse::<ContainerId>().unwrap(), id);
        assert!("ABAB".parse::<ContainerId>().is_err());
        assert!("..".parse::<ContainerId>().is_err());
    }
}
