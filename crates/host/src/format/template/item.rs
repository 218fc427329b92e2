//! A value on its way through a pipeline, and what Docker's types know that JSON does not.

use std::borrow::Cow;

use serde_json::Value;

use super::print::kind;

/// Fields whose value is a map in Docker's API: a missing key is `<no value>` there, not an error.
const MAPS: [&str; 22] = [
    "Annotations",
    "ClusterOptions",
    "Config",
    "ConfigFrom",
    "Containers",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "GenericResources",
    "Labels",
    "Metadata",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "Status",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "UsageData",
    "Volumes",
];

/// Fields that Docker leaves out when they are empty: absent reads as nil, not as a wrong name.
const OPTIONAL: [&str; 16] = [
    "Annotations",
    "ExposedPorts",
    "Health",
    "Healthcheck",
    "IPAMConfig",
    "Identity",
    "ImageManifestDescriptor",
    "Init",
    "Metadata",
    "Shell",
    "SizeRootFs",
    "SizeRw",
    "StopTimeout",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
];

/// Maps of texts that Docker may leave nil.
const NIL_TEXTS: [&str; 8] = [
    "Annotations",
    "DriverOpts",
    "Labels",
    "Metadata",
    "Options",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
];

/// Other maps that Docker may leave nil.
const NIL_MAPS: [&str; 6] = [
    "Containers",
    "ExposedPorts",
    "Networks",
    "PortBindings",
    "Ports",
    "Volumes",
];

/// Lists that Docker may leave nil.
const NIL_LISTS: [&str; 33] = [
    "Aliases",
    "Args",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Layers",
    "Links",
    "Mounts",
    "OnBuild",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];

/// Fields of Docker's structures whose names in Go are not those in JSON.
const GO_NAMES: [(&str, &str); 5] = [
    ("DNS", "Dns"),
    ("DNSOptions", "DnsOptions"),
    ("DNSSearch", "DnsSearch"),
    ("HostIP", "HostIp"),
    ("ID", "Id"),
];

/// What Go calls a field of a manifest or config, as OCI's documents spell it: `MediaType` is `mediaType`.
fn in_documents(name: &str) -> String {
    match name {
        "OS" => "os".to_owned(),
        "OSVersion" => "os.version".to_owned(),
        "OSFeatures" => "os.features".to_owned(),
        "URLs" => "urls".to_owned(),
        _ => {
            let mut letters = name.chars();
            let first = letters.next().map(|first| first.to_ascii_lowercase());
            first.into_iter().chain(letters).collect()
        }
    }
}

/// What a null would be if it was not nil: Go's are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nil {
    /// A map from names to texts.
    Texts,
    Map,
    List,
}

impl Nil {
    fn of(name: &str, value: &Value) -> Option<Self> {
        if !value.is_null() {
            return None;
        }
        let kinds: [(&[&str], Self); 3] = [
            (&NIL_TEXTS, Self::Texts),
            (&NIL_MAPS, Self::Map),
            (&NIL_LISTS, Self::List),
        ];
        let kind = kinds.iter().find(|(names, _)| names.contains(&name));
        kind.map(|(_, kind)| *kind)
    }
}

/// A value on its way through a pipeline.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    pub(super) value: Cow<'a, Value>,
    /// Whether an object is a map (any key may be asked for) and not a structure.
    map: bool,
    /// Whether it stands for a missing map entry, which prints as `<no value>`.
    pub(super) absent: bool,
    /// The type of a null, where it has one.
    pub(super) nil: Option<Nil>,
}

impl<'a> Item<'a> {
    pub(super) fn owned(value: impl Into<Value>) -> Self {
        Self {
            value: Cow::Owned(value.into()),
            map: false,
            absent: false,
            nil: None,
        }
    }

    pub(super) fn absent() -> Self {
        Self {
            value: Cow::Owned(Value::Null),
            map: false,
            absent: true,
            nil: None,
        }
    }

    pub(super) fn borrowed(value: &'a Value) -> Self {
        Self {
            value: Cow::Borrowed(value),
            map: false,
            absent: false,
            nil: None,
        }
    }

    /// Go's truth: not zero, not empty, not nil.
    pub(super) fn is_true(&self) -> bool {
        match self.value.as_ref() {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
        }
    }

    /// A field by name; the error is in Go's words.
    pub(super) fn field(self, name: &str) -> Result<Self, String> {
        let map = self.map;
        let alias = GO_NAMES.iter().find(|(go, _)| *go == name && !map);
        let alias = alias.map_or(name, |(_, json)| *json);
        let documents = in_documents(name);
        let found = match self.value {
            Cow::Borrowed(Value::Object(fields)) => fields
                .get(name)
                .or_else(|| fields.get(alias))
                .or_else(|| fields.get(&documents).filter(|_| !map))
                .map(Cow::Borrowed),
            Cow::Owned(Value::Object(mut fields)) => fields
                .remove(name)
                .or_else(|| fields.remove(alias))
                .or_else(|| fields.remove(&documents).filter(|_| !map))
                .map(Cow::Owned),
            _ if matches!(self.nil, Some(Nil::Texts | Nil::Map)) => return Ok(Self::absent()),
            _ if self.absent || self.value.is_null() => {
                return Err(format!("nil pointer evaluating interface {{}}.{name}"));
            }
            other => {
                let kind = kind(&other);
                return Err(format!("can't evaluate field {name} in type {kind}"));
            }
        };
        match found {
            Some(value) => Ok(Self {
                nil: Nil::of(alias, &value),
                value,
                map: MAPS.contains(&name),
                absent: false,
            }),
            None if map => Ok(Self::absent()),
            None if OPTIONAL.contains(&name) => Ok(Self {
                nil: Nil::of(name, &Value::Null),
                ..Self::owned(Value::Null)
            }),
            None => Err(format!("map has no entry for key {name:?}")),
        }
    }
}
