//! `ps --filter`: which containers are listed.

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_host::api::types::ContainerSummary;
use berth_host::format::Filters;
use berth_host::format::filter::matches_name;
use berth_image::Reference;

use super::row::names;

const KEYS: [&str; 15] = [
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "label!", "name",
    "network", "publish", "since", "status", "volume",
];
const STATES: [&str; 7] = [
    "created",
    "restarting",
    "running",
    "removing",
    "paused",
    "exited",
    "dead",
];
const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

/// The checked filters of `ps`.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    filters: Filters,
    is_task: Option<bool>,
}

impl Selection {
    /// Parses and checks the values of `--filter`.
    pub(crate) fn parse(values: &[String]) -> Result<Self> {
        let filters = Filters::parse(values, &KEYS)?;
        check(&filters, "status", &STATES)?;
        check(&filters, "health", &HEALTH)?;
        for code in filters.values("exited") {
            if code.parse::<i32>().is_err() {
                return Err(invalid("exited", code).caused_by("it must be an exit status"));
            }
        }
        for key in ["publish", "expose"] {
            for ports in filters.values(key) {
                if port_range(ports).is_none() {
                    let reason = "it must be a port or a range, as in 80, 80/udp or 80-90/tcp";
                    return Err(invalid(key, ports).caused_by(reason));
                }
            }
        }
        let is_task = filters.truth("is-task")?;
        Ok(Self { filters, is_task })
    }

    /// Whether containers that do not run are meant too, as in Docker.
    pub(crate) fn implies_all(&self) -> bool {
        self.filters.has("status") || self.filters.has("exited")
    }

    /// The containers that match, in the order given, which is newest first.
    pub(crate) fn choose<'list>(
        &self,
        engine: &Engine,
        containers: &'list [ContainerSummary],
        everything: bool,
    ) -> Result<Vec<&'list ContainerSummary>> {
        // A name that is no image stays a text.
        let named = self.filters.values("ancestor").iter();
        let ids: Vec<String> = named
            .filter_map(|name| engine.image(name, None).ok())
            .map(|image| image.id)
            .collect();
        self.choose_among(containers, everything, &ids)
    }

    fn choose_among<'list>(
        &self,
        containers: &'list [ContainerSummary],
        everything: bool,
        ancestor_ids: &[String],
    ) -> Result<Vec<&'list ContainerSummary>> {
        let before = self.bound(containers, "before")?.into_iter().max();
        let since = self.bound(containers, "since")?.into_iter().min();
        let is_wanted = |(position, summary): &(usize, &ContainerSummary)| {
            let live = matches!(summary.state.as_str(), "running" | "paused" | "restarting");
            (everything || live)
                && before.is_none_or(|bound| *position > bound)
                && since.is_none_or(|bound| *position < bound)
                && self.matches(summary, ancestor_ids)
        };
        Ok(containers
            .iter()
            .enumerate()
            .filter(is_wanted)
            .map(|(_, summary)| summary)
            .collect())
    }

    /// The positions of the containers that `before` or `since` names.
    fn bound(&self, containers: &[ContainerSummary], key: &str) -> Result<Vec<usize>> {
        let position = |wanted: &String| {
            let name = wanted.strip_prefix('/').unwrap_or(wanted);
            let by_name = containers.iter().position(|summary| names(summary) == name);
            let found = by_name.or_else(|| {
                let is_id = !name.is_empty();
                containers
                    .iter()
                    .position(|summary| is_id && summary.id.starts_with(name))
            });
            found.ok_or_else(|| {
                Error::new(
                    Class::NotFound,
                    format!("no container {wanted:?} for --filter {key}"),
                )
                .hint("berth ps -a lists all containers")
            })
        };
        self.filters.values(key).iter().map(position).collect()
    }

    fn matches(&self, summary: &ContainerSummary, ancestor_ids: &[String]) -> bool {
        let filters = &self.filters;
        let own_names = names(summary);
        self.is_task != Some(true)
            && filters.matches_labels(&summary.labels)
            && filters.any("id", |id| summary.id.starts_with(id))
            && filters.any("name", |pattern| {
                own_names.split(',').any(|name| matches_name(name, pattern))
            })
            && filters.any("status", |status| summary.state == status)
            && filters.any("exited", |code| {
                summary.state == "exited" && code.parse() == Ok(summary.exit_code)
            })
            && filters.any("health", |health| has_health(&summary.status, health))
            && filters.any("volume", |volume| uses_volume(summary, volume))
            && filters.any("network", |network| uses_network(summary, network))
            && filters.any("publish", |ports| {
                let published = summary
                    .ports
                    .iter()
                    .filter_map(|port| Some((port.public_port?, &port.kind)));
                covers(ports, published.map(|(port, kind)| (port, kind.as_str())))
            })
            && filters.any("expose", |ports| {
                let exposed = summary.exposed_ports.iter().filter_map(|port| {
                    let (number, kind) = port.split_once('/').unwrap_or((port, "tcp"));
                    Some((number.parse().ok()?, kind))
                });
                let private = summary
                    .ports
                    .iter()
                    .map(|port| (port.private_port, port.kind.as_str()));
                covers(ports, exposed.chain(private))
            })
            && filters.any("ancestor", |name| is_ancestor(summary, name, ancestor_ids))
    }
}

fn invalid(key: &str, value: &str) -> Error {
    Error::new(
        Class::Invalid,
        format!("invalid filter {:?}", format!("{key}={value}")),
    )
}

fn check(filters: &Filters, key: &str, known: &[&str]) -> Result<()> {
    match filters
        .values(key)
        .iter()
        .find(|value| !known.contains(&value.as_str()))
    {
        Some(wrong) => Err(invalid(key, wrong).hint(format!("use one of: {}", known.join(", ")))),
        None => Ok(()),
    }
}

/// Docker tells health in parentheses behind the state.
fn has_health(status: &str, wanted: &str) -> bool {
    let shown = match status
        .rsplit_once('(')
        .map(|(_, tail)| tail.trim_end_matches(')'))
    {
        Some("health: starting") => "starting",
        Some("healthy") => "healthy",
        Some("unhealthy") => "unhealthy",
        _ => "none",
    };
    shown == wanted
}

fn uses_volume(summary: &ContainerSummary, volume: &str) -> bool {
    let same_path = |path: &str| path.trim_end_matches('/') == volume.trim_end_matches('/');
    let uses = |mount: &berth_host::api::types::MountPoint| {
        mount.name == volume || same_path(&mount.destination) || same_path(&mount.source)
    };
    summary.mounts.iter().any(uses)
}

fn uses_network(summary: &ContainerSummary, network: &str) -> bool {
    let named = summary.network_settings.networks.iter();
    let mut joined = named.map(|(name, settings)| (name.as_str(), settings.network_id.as_str()));
    joined.any(|(name, id)| name == network || (!network.is_empty() && id.starts_with(network)))
        || summary.host_config.network_mode == network
}

/// A port filter: the first and last port, and the protocol if it was named.
fn port_range(text: &str) -> Option<(u16, u16, Option<&str>)> {
    let (ports, kind) = match text.split_once('/') {
        Some((ports, kind @ ("tcp" | "udp" | "sctp"))) => (ports, Some(kind)),
        Some(_) => return None,
        None => (text, None),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last, kind))
}

/// Whether one of the ports lies in a filter's range; without a protocol, TCP is meant.
fn covers<'port>(range: &str, mut ports: impl Iterator<Item = (u16, &'port str)>) -> bool {
    let Some((first, last, kind)) = port_range(range) else {
        return false;
    };
    ports.any(|(port, own)| (first..=last).contains(&port) && own == kind.unwrap_or("tcp"))
}

fn is_ancestor(summary: &ContainerSummary, name: &str, ids: &[String]) -> bool {
    let digits = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
    let is_prefix = name.len() >= 4 && digits(&summary.image_id).starts_with(&digits(name));
    let same_name = match (
        name.parse::<Reference>(),
        summary.image.parse::<Reference>(),
    ) {
        (Ok(wanted), Ok(own)) => wanted == own,
        _ => summary.image == name,
    };
    is_prefix || same_name || ids.contains(&summary.image_id)
}

#[cfg(test)]
mod tests {
    use berth_host::api::types::{MountPoint, Port};

    use super::*;

    fn containers() -> Vec<ContainerSummary> {
        let make = |id: &str, name: &str, state: &str, code| ContainerSummary {
            id: id.repeat(8),
            names: vec![format!("/{name}")],
            image: "busybox".to_owned(),
            image_id: "sha256:feedbeef".to_owned(),
            state: state.to_owned(),
            status: "Up 3 minutes (healthy)".to_owned(),
            exit_code: code,
            labels: [("tier".to_owned(), name.to_owned())].into(),
            mounts: vec![MountPoint {
                name: format!("vol-{name}"),
                destination: "/data".to_owned(),
                ..MountPoint::default()
            }],
            ports: vec![Port {
                ip: Some("0.0.0.0".to_owned()),
                private_port: 80,
                public_port: Some(8080),
                kind: "tcp".to_owned(),
            }],
            exposed_ports: vec!["53/udp".to_owned()],
            ..ContainerSummary::default()
        };
        vec![
            make("c1", "web-2", "running", 0),
            make("b1", "web", "exited", 3),
            make("a1", "db", "created", 0),
        ]
    }

    fn chosen(all: bool, filters: &[&str]) -> String {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let containers = containers();
        let result = Selection::parse(&filters).and_then(|selection| {
            let all = all || selection.implies_all();
            selection.choose_among(&containers, all, &[])
        });
        match result {
            Ok(chosen) => chosen.into_iter().map(names).collect::<Vec<_>>().join(" "),
            Err(error) => format!("! {error}"),
        }
    }

    #[test]
    fn filters_choose_as_docker_does() {
        for (all, filters, expected) in [
            (false, &[][..], "web-2"),
            (true, &[], "web-2 web db"),
            (true, &["name=web"], "web-2 web"),
            (true, &["name=^web$"], "web"),
            (true, &["name=db", "name=^web$"], "web db"),
            (true, &["id=b1b1"], "web"),
            (false, &["status=exited"], "web"),
            (false, &["status=created", "status=exited"], "web db"),
            (false, &["exited=3"], "web"),
            (true, &["exited=0"], ""),
            (true, &["label=tier=db"], "db"),
            (true, &["label!=tier=db"], "web-2 web"),
            (true, &["before=web"], "db"),
            (true, &["since=web"], "web-2"),
            (
                true,
                &["before=nope"],
                "! no container \"nope\" for --filter before",
            ),
            (true, &["volume=vol-db"], "db"),
            (true, &["volume=/data"], "web-2 web db"),
            (true, &["publish=8080"], "web-2 web db"),
            (true, &["publish=80"], ""),
            (true, &["expose=50-60/udp"], "web-2 web db"),
            (true, &["expose=53"], ""),
            (
                true,
                &["ancestor=docker.io/library/busybox:latest"],
                "web-2 web db",
            ),
            (true, &["ancestor=feedbe"], "web-2 web db"),
            (true, &["ancestor=alpine"], ""),
            (false, &["health=healthy"], "web-2"),
            (false, &["health=none"], ""),
            (true, &["is-task=true"], ""),
            (true, &["status=up"], "! invalid filter \"status=up\""),
            (true, &["publish=x"], "! invalid filter \"publish=x\""),
            (true, &["color=red"], "! invalid filter \"color\""),
        ] {
            assert_eq!(chosen(all, filters), expected, "{filters:?}");
        }
    }
}
