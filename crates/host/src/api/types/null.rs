//! Lists and maps of the Engine API that are `null` when they are empty.
//!
//! `#[serde(with = "null")]` writes and reads them so; `#[serde(deserialize_with = "null::deserialize")]`
//! stands where Docker writes an empty list and its clients may still send `null`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A collection that knows when it is empty.
pub(super) trait Collection {
    fn is_nothing(&self) -> bool;
}

impl<T> Collection for Vec<T> {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Collection for std::collections::BTreeMap<K, V> {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

pub(super) fn serialize<C, S>(collection: &C, serializer: S) -> Result<S::Ok, S::Error>
where
    C: Collection + Serialize,
    S: Serializer,
{
    if collection.is_nothing() {
        serializer.serialize_none()
    } else {
        collection.serialize(serializer)
    }
}

pub(super) fn deserialize<'de, C, D>(deserializer: D) -> Result<C, D::Error>
where
    C: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
