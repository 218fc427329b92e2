//! Objects of JSON, read and written by one compact rule.
//!
//! serde's derived code is good and general; for the hundreds of properties here it would be a fifth of
//! the monitor. Read here are objects alone (never arrays), an absent property is its type's nothing,
//! unknown ones are passed over, and `null` is an absent property that may be absent.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

/// A type of properties.
pub(super) trait Property: Sized {
    /// Whether an object without it is no such object.
    const REQUIRED: bool = false;

    /// What it is before it is read.
    fn absent() -> Self;

    /// Whether it is left out when it is written.
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T> Property for Option<T> {
    fn absent() -> Self {
        None
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

macro_rules! properties {
    ($($kind:ty),+) => {
        $(impl Property for $kind {
            fn absent() -> Self {
                <$kind>::default()
            }
        })+
    };
}
properties!(
    bool,
    u32,
    u64,
    i64,
    usize,
    String,
    PathBuf,
    Vec<String>,
    super::User
);

/// Finds the place of a property's name among those of an object.
pub(super) struct Name(pub(super) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property")
    }

    fn visit_str<E>(self, text: &str) -> Result<usize, E> {
        let place = self.0.iter().position(|name| *name == text);
        Ok(place.unwrap_or(self.0.len()))
    }
}

/// Reads one property: once for each type, not once for each property.
#[inline(never)]
pub(super) fn read<'de, T, A>(map: &mut A, property: &mut T) -> Result<(), A::Error>
where
    T: Deserialize<'de>,
    A: MapAccess<'de>,
{
    *property = map.next_value()?;
    Ok(())
}

/// Defines a structure by its fields and the names of their properties.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty = $property:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)+
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use $crate::oci::object::Property as _;
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $(if !self.$field.is_absent() {
                    map.serialize_entry($property, &self.$field)?;
                })+
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use $crate::oci::object::{Name, Property, read};
                struct Object;
                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        const NAMES: &[&str] = &[$($property),+];
                        let mut object = $name { $($field: <$kind>::absent()),+ };
                        let mut seen = 0_u64;
                        while let Some(place) = map.next_key_seed(Name(NAMES))? {
                            seen |= 1 << place;
                            let mut next = 0;
                            $(if place == next {
                                read(&mut map, &mut object.$field)?;
                            }
                            next += 1;)+
                            if place == next {
                                map.next_value::<serde::de::IgnoredAny>()?;
                            }
                        }
                        let mut next = 0;
                        $(if <$kind>::REQUIRED && seen & (1 << next) == 0 {
                            return Err(serde::de::Error::missing_field($property));
                        }
                        next += 1;)+
                        let _count: usize = next;
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    };
}
pub(super) use object;
