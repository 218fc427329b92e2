//! One container as a row of `ps`, with Docker's field names and shapes.

use berth_host::api::types::{ContainerSummary, Port};
use berth_host::format::{Column, Record, human, time};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::cli::listing::labels;

/// The fields of a row, in the order in which JSON shows them.
pub(super) const COLUMNS: [Column; 17] = [
    Column::new("Command", "COMMAND"),
    Column::new("CreatedAt", "CREATED AT"),
    Column::new("ID", "CONTAINER ID"),
    Column::new("Image", "IMAGE"),
    Column::new("ImageID", "IMAGE ID"),
    Column::new("Labels", "LABELS"),
    Column::new("LocalVolumes", "LOCAL VOLUMES"),
    Column::new("Mounts", "MOUNTS"),
    Column::new("Names", "NAMES"),
    Column::new("Networks", "NETWORKS"),
    Column::new("Platform", "PLATFORM"),
    Column::new("Ports", "PORTS"),
    Column::new("RunningFor", "CREATED"),
    Column::new("Runtime", "RUNTIME"),
    Column::new("Size", "SIZE"),
    Column::new("State", "STATE"),
    Column::new("Status", "STATUS"),
];

/// How rows are shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) truncated: bool,
    /// Nanoseconds since the Unix epoch.
    pub(super) now: u64,
    pub(super) zone: TimeZone,
}

/// A container as a row.
pub(super) fn record(summary: &ContainerSummary, shown: &Shown) -> Record {
    let value = |column: &Column| (column.field.to_owned(), field(column.field, summary, shown));
    let fields: Map<String, Value> = COLUMNS.iter().map(value).collect();
    Record {
        fields: Value::Object(fields),
        labels: Some(summary.labels.clone()),
    }
}

fn field(name: &str, summary: &ContainerSummary, shown: &Shown) -> Value {
    match name {
        "Command" => {
            let width = if shown.truncated { 20 } else { usize::MAX };
            quoted(&human::ellipsis(&summary.command, width)).into()
        }
        "CreatedAt" => time::go_time(summary.created, &shown.zone).into(),
        "ID" => short_id(&summary.id, shown.truncated).into(),
        "Image" => image(summary, shown.truncated).into(),
        "ImageID" => summary.image_id.as_str().into(),
        "Labels" => labels(&summary.labels).into(),
        "LocalVolumes" => {
            let volumes = summary
                .mounts
                .iter()
                .filter(|mount| mount.driver == "local")
                .count();
            volumes.to_string().into()
        }
        "Mounts" => mounts(summary, shown.truncated).into(),
        "Names" => names(summary).into(),
        "Networks" => {
            let networks = summary.network_settings.networks.keys();
            let networks: Vec<&str> = networks.map(String::as_str).collect();
            networks.join(",").into()
        }
        "Ports" => ports(&summary.ports).into(),
        "RunningFor" => {
            let created = u64::try_from(summary.created)
                .unwrap_or(0)
                .saturating_mul(1_000_000_000);
            human::ago(created, shown.now).into()
        }
        "Runtime" => summary.runtime.as_str().into(),
        "Size" => size(summary).into(),
        "State" => summary.state.as_str().into(),
        "Status" => summary.status.as_str().into(),
        _ => json!(null),
    }
}

/// The id without its algorithm, of twelve digits when it is shortened.
pub(crate) fn short_id(id: &str, truncated: bool) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    if truncated {
        digits.get(..12).unwrap_or(digits)
    } else {
        id
    }
}

/// The names without their leading `/`, without those by which links of others call it.
pub(super) fn names(summary: &ContainerSummary) -> String {
    let own = summary
        .names
        .iter()
        .map(|name| name.strip_prefix('/').unwrap_or(name));
    own.filter(|name| !name.contains('/'))
        .collect::<Vec<_>>()
        .join(",")
}

fn image(summary: &ContainerSummary, truncated: bool) -> &str {
    match summary.image.as_str() {
        "" => "<no image>",
        id if id.starts_with("sha256:") => short_id(id, truncated),
        name => name,
    }
}

/// Go's `strconv.Quote` for what commands contain.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control.is_control() => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn mounts(summary: &ContainerSummary, truncated: bool) -> String {
    let name = |mount: &berth_host::api::types::MountPoint| {
        let name = if mount.name.is_empty() {
            &mount.source
        } else {
            &mount.name
        };
        human::ellipsis(name, if truncated { 15 } else { usize::MAX })
    };
    summary
        .mounts
        .iter()
        .map(name)
        .collect::<Vec<_>>()
        .join(",")
}

fn size(summary: &ContainerSummary) -> String {
    let bytes = |size: Option<i64>| u64::try_from(size.unwrap_or(0)).unwrap_or(0);
    let own = human::size(bytes(summary.size_rw));
    match bytes(summary.size_root_fs) {
        0 => own,
        whole => format!("{own} (virtual {})", human::size(whole)),
    }
}

/// Ports as Docker shows them: ranges of equal ports joined, then the mappings.
pub(super) fn ports(ports: &[Port]) -> String {
    let mut ports: Vec<&Port> = ports.iter().collect();
    ports.sort_by(|left, right| {
        (left.private_port, &left.ip, left.public_port, &left.kind).cmp(&(
            right.private_port,
            &right.ip,
            right.public_port,
            &right.kind,
        ))
    });
    let mut shown = Vec::new();
    let mut mappings = Vec::new();
    let mut groups: Vec<(Option<String>, &str, u16, u16)> = Vec::new();
    for port in ports {
        let address = port.ip.as_deref().map(bracketed);
        if let (Some(address), Some(public)) = (&address, port.public_port)
            && public != port.private_port
        {
            mappings.push(format!(
                "{address}:{public}->{}/{}",
                port.private_port, port.kind
            ));
            continue;
        }
        let same = |group: &&mut (Option<String>, &str, u16, u16)| {
            group.0 == address && group.1 == port.kind
        };
        match groups.iter_mut().find(same) {
            None => groups.push((address, &port.kind, port.private_port, port.private_port)),
            Some(group) if group.3.checked_add(1) == Some(port.private_port) => {
                group.3 = port.private_port;
            }
            Some(group) => {
                shown.push(range(group));
                (group.2, group.3) = (port.private_port, port.private_port);
            }
        }
    }
    shown.extend(groups.iter().map(range));
    shown.extend(mappings);
    shown.join(", ")
}

fn range((address, kind, first, last): &(Option<String>, &str, u16, u16)) -> String {
    let numbers = if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    };
    match address {
        Some(address) => format!("{address}:{numbers}->{numbers}/{kind}"),
        None => format!("{numbers}/{kind}"),
    }
}

/// An address before a colon: IPv6 in brackets.
fn bracketed(address: &str) -> String {
    if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: Option<&str>, public: Option<u16>, private: u16) -> Port {
        Port {
            ip: ip.map(str::to_owned),
            public_port: public,
            private_port: private,
            kind: "tcp".to_owned(),
        }
    }

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        for (given, expected) in [
            (vec![], ""),
            (vec![port(None, None, 80)], "80/tcp"),
            (
                vec![
                    port(None, None, 81),
                    port(None, None, 80),
                    port(None, None, 90),
                ],
                "80-81/tcp, 90/tcp",
            ),
            (
                vec![
                    port(Some("0.0.0.0"), Some(8080), 80),
                    port(Some("::"), Some(8080), 80),
                ],
                "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            (
                vec![
                    port(Some("0.0.0.0"), Some(80), 80),
                    port(Some("0.0.0.0"), Some(81), 81),
                ],
                "0.0.0.0:80-81->80-81/tcp",
            ),
        ] {
            assert_eq!(ports(&given), expected);
        }
    }

    #[test]
    fn a_row_has_dockers_shape() {
        let summary = ContainerSummary {
            id: "0123456789abcdef".to_owned(),
            names: vec!["/web".to_owned(), "/other/link".to_owned()],
            image: "busybox".to_owned(),
            command: "sh -c 'echo \"a long command\"'".to_owned(),
            created: 1_000,
            size_rw: Some(13),
            size_root_fs: Some(5_580_000),
            ..ContainerSummary::default()
        };
        let shown = Shown {
            truncated: true,
            now: 1_180_000_000_000,
            zone: TimeZone::UTC,
        };
        let fields = record(&summary, &shown).fields;
        for (name, expected) in [
            ("ID", "0123456789ab"),
            ("Names", "web"),
            ("Command", "\"sh -c 'echo \\\"a long…\""),
            ("RunningFor", "3 minutes ago"),
            ("CreatedAt", "1970-01-01 00:16:40 +0000 UTC"),
            ("Size", "13B (virtual 5.58MB)"),
            ("LocalVolumes", "0"),
        ] {
            assert_eq!(fields[name], expected, "{name}");
        }
    }
}
