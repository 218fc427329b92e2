//! Enumerations whose members are words in JSON.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Unexpected, Visitor};

/// A text that is none of an enumeration's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a word of the OCI runtime-spec")
    }
}

impl std::error::Error for Unknown {}

/// Defines an enumeration by its members and their words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$member_doc])* #[doc = concat!("`", $word, "`")] $member,)+
        }

        impl $name {
            /// Every member.
            pub const ALL: &[Self] = &[$(Self::$member,)+];

            /// Its word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$member => $word,)+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::oci::Unknown;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().find(|member| member.word() == text);
                found.copied().ok_or($crate::oci::Unknown)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::oci::object::Property for $name {
            const REQUIRED: bool = true;

            fn absent() -> Self {
                Self::ALL[0]
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::oci::word::read(deserializer)
            }
        }
    };
}
pub(super) use words;

/// Reads one word.
pub(super) fn read<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_str(Word(PhantomData))
}

struct Word<T>(PhantomData<T>);

impl<T: FromStr> Visitor<'_> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word of the OCI runtime-spec")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse()
            .map_err(|_unknown| E::invalid_value(Unexpected::Str(text), &self))
    }
}
