//! The devices that a name of `RUN --device` means, as `BuildKit` reads it: `KIND=NAME`, `KIND` for the first of a
//! kind, `KIND=*` for all, `KIND=CLASS` for those whose annotations say that they are of a class.

use std::path::Path;

use berth_contract::{Class, Error, Result};

use super::{Catalogue, DIRECTORIES, Device, File};

const CLASS: &str = "org.mobyproject.buildkit.device.class";
const ALLOWED: &str = "org.mobyproject.buildkit.device.autoallow";

/// A device that a file describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its full name.
    pub(crate) name: String,
    /// Whether its file says that a build may have it unasked.
    pub(crate) is_allowed: bool,
}

/// The devices that a name means; none when no file describes any.
pub(crate) fn named(name: &str) -> Result<Vec<Named>> {
    let catalogue = Catalogue::read(&DIRECTORIES.map(Path::new))?;
    matching(&catalogue, name).ok_or_else(|| {
        Error::new(Class::Invalid, format!("invalid device {name:?}"))
            .caused_by("a device is called VENDOR/CLASS=NAME")
    })
}

fn matching(catalogue: &Catalogue, name: &str) -> Option<Vec<Named>> {
    let (kind, wanted) = name.split_once('=').unwrap_or((name, ""));
    kind.split_once('/')
        .filter(|(vendor, class)| !vendor.is_empty() && !class.is_empty())?;
    let files = catalogue
        .files
        .iter()
        .rev()
        .filter(|file| file.kind == kind);
    let mut devices: Vec<(&File, &Device)> = files
        .flat_map(|file| file.devices.iter().map(move |device| (file, device)))
        .collect();
    devices.sort_by_key(|(_, device)| &device.name);
    devices.dedup_by_key(|(_, device)| &device.name);
    let own = |(_, device): &(&File, &Device)| device.name == wanted;
    match wanted {
        "" => devices.truncate(1),
        "*" => {}
        _ if devices.iter().any(own) => devices.retain(own),
        class => devices.retain(|one| annotation(*one, CLASS).as_deref() == Some(class)),
    }
    let named = |(file, device): &(&File, &Device)| Named {
        name: format!("{kind}={}", device.name),
        is_allowed: annotation((file, device), ALLOWED).as_deref() == Some("true"),
    };
    Some(devices.iter().map(named).collect())
}

/// What the device's annotations say, else those of its file.
fn annotation((file, device): (&File, &Device), key: &str) -> Option<String> {
    let value = device
        .annotations
        .get(key)
        .or_else(|| file.annotations.get(key))?;
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_device_or_more() {
        let file = serde_json::json!({
            "cdiVersion": "0.6.0", "kind": "a.com/disk",
            "annotations": {CLASS: "slow"},
            "devices": [
                {"name": "two", "annotations": {CLASS: "fast", ALLOWED: "true"}, "containerEdits": {}},
                {"name": "one", "containerEdits": {}},
            ],
        });
        let catalogue = Catalogue {
            files: vec![serde_json::from_value(file).unwrap()],
            unread: Vec::new(),
        };
        let found = |name: &str| {
            let found = matching(&catalogue, name)?;
            let names = found.into_iter();
            let names = names.map(|one| (one.name.replace("a.com/disk=", ""), one.is_allowed));
            Some(names.collect::<Vec<_>>())
        };
        let one = || ("one".to_owned(), false);
        let two = || ("two".to_owned(), true);
        for (name, expected) in [
            ("a.com/disk=one", vec![one()]),
            ("a.com/disk", vec![one()]),
            ("a.com/disk=*", vec![one(), two()]),
            ("a.com/disk=fast", vec![two()]),
            ("a.com/disk=slow", vec![one()]),
            ("a.com/disk=none", vec![]),
            ("b.com/disk", vec![]),
        ] {
            assert_eq!(found(name), Some(expected), "{name}");
        }
        assert!(found("disk=one").is_none() && found("/x").is_none());
    }
}
