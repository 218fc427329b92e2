//! `berth network …`: the bridge that containers share, the host's network, and none.

use berth_contract::{Class, Error};
use berth_host::api::types::NetworkInspect;
use berth_host::format::filter::matches_name;
use berth_host::format::{Column, Filters, Record};
use serde_json::json;

use super::document::{Format, as_value};
use super::listing::{Table, exists, labels, remove_each};
use super::ps::short_id;
use super::shared::confirm;
use super::{Arguments, Context, Group, Outcome, Verb};

const GROUP: Group = Group::VolumesAndNetworks;

pub(crate) const VERB: Verb = Verb::family("network", GROUP, "Manage networks", VERBS);

const VERBS: &[Verb] = &[
    Verb::new::<Ls>("ls", GROUP, "List networks", "[OPTIONS]")
        .aliases(&["list"])
        .examples("berth network ls\nberth network ls -q --filter driver=bridge"),
    Verb::new::<Inspect>(
        "inspect",
        GROUP,
        "Print everything about networks",
        "[OPTIONS] NETWORK [NETWORK...]",
    )
    .examples("berth network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{end}}' bridge"),
    Verb::new::<Rm>(
        "rm",
        GROUP,
        "Remove networks",
        "[OPTIONS] NETWORK [NETWORK...]",
    )
    .aliases(&["remove"]),
    Verb::new::<Exists>(
        "exists",
        GROUP,
        "Tell by the exit code whether a network exists",
        "NETWORK",
    ),
    Verb::new::<Prune>(
        "prune",
        GROUP,
        "Take the default network off the host while no running container is on it",
        "[OPTIONS]",
    )
    .examples("berth network prune -f")
    .refusing(&[(
        "--filter",
        "there is one network, and it has neither age nor labels",
    )]),
    Verb::new::<Unsupported>("create", Group::Hidden, "Make a network", "NETWORK"),
    Verb::new::<Unsupported>(
        "connect",
        Group::Hidden,
        "Put a container on a network",
        "NETWORK CONTAINER",
    ),
    Verb::new::<Unsupported>(
        "disconnect",
        Group::Hidden,
        "Take a container off a network",
        "NETWORK CONTAINER",
    ),
];

/// The arguments of what needs networks of one's own.
#[derive(Debug, clap::Args)]
pub(crate) struct Unsupported {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<String>,
}

impl Arguments for Unsupported {
    fn run(self, _context: &Context) -> Outcome {
        Err(
            Error::new(Class::Unsupported, "cannot change which networks there are")
                .caused_by("user-defined networks are not here yet: bridge, host and none are")
                .hint("share one network with berth run --network container:NAME"),
        )
    }
}

/// The arguments of `network ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Show only those with driver=…, id=…, name=PART, scope=local, type=builtin|custom, label=… or
    /// dangling=true|false (can be repeated)
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,

    #[command(flatten)]
    table: Table,

    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,

    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
}

const COLUMNS: [Column; 9] = [
    Column::new("CreatedAt", "CREATED AT"),
    Column::new("Driver", "DRIVER"),
    Column::new("ID", "NETWORK ID"),
    Column::new("IPv4", "IPV4"),
    Column::new("IPv6", "IPV6"),
    Column::new("Internal", "INTERNAL"),
    Column::new("Labels", "LABELS"),
    Column::new("Name", "NAME"),
    Column::new("Scope", "SCOPE"),
];

impl Arguments for Ls {
    fn run(self, context: &Context) -> Outcome {
        let known = [
            "driver", "id", "name", "scope", "type", "label", "label!", "dangling",
        ];
        let filters = Filters::parse(&self.filter, &known)?;
        let dangling = filters.truth("dangling")?;
        let standard = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
        let layout = self.table.layout_or_key(self.quiet, "{{.ID}}", standard)?;
        // A predefined network is never dangling, as in Docker.
        let chosen = |network: &NetworkInspect| {
            dangling != Some(true)
                && filters.matches_labels(&network.labels)
                && filters.any("driver", |driver| network.driver == driver)
                && filters.any("id", |id| network.id.starts_with(id))
                && filters.any("name", |name| matches_name(&network.name, name))
                && filters.any("scope", |scope| network.scope == scope)
                && filters.any("type", |kind| kind == "builtin")
        };
        let networks = context.engine()?.networks()?.into_iter().filter(chosen);
        let rows = networks.map(|network| record(&network, !self.no_trunc));
        context.screen.data(&layout.render(&COLUMNS, rows)?)?;
        Ok(0)
    }
}

fn record(network: &NetworkInspect, truncated: bool) -> Record {
    Record {
        fields: json!({
            "CreatedAt": network.created,
            "Driver": network.driver,
            "ID": short_id(&network.id, truncated),
            "IPv4": network.enable_ipv4.to_string(),
            "IPv6": network.enable_ipv6.to_string(),
            "Internal": network.internal.to_string(),
            "Labels": labels(&network.labels),
            "Name": network.name,
            "Scope": network.scope,
        }),
        labels: Some(network.labels.clone()),
    }
}

/// The arguments of `network inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    format: Format,

    /// Kept for scripts: everything is shown anyway
    #[arg(short, long, hide = true)]
    verbose: bool,

    /// The networks
    #[arg(value_name = "NETWORK", required = true, hide = true)]
    networks: Vec<String>,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        self.format.inspect(context, &self.networks, |name| {
            as_value(&engine.network(name)?)
        })
    }
}

/// The arguments of `network rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Do not mind networks that do not exist
    #[arg(short, long)]
    force: bool,

    /// The networks
    #[arg(value_name = "NETWORK", required = true, hide = true)]
    networks: Vec<String>,
}

impl Arguments for Rm {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        remove_each(context, &self.networks, self.force, |name| {
            engine.remove_network(name)
        })
    }
}

/// The arguments of `network exists`.
#[derive(Debug, clap::Args)]
pub(crate) struct Exists {
    /// The network
    #[arg(value_name = "NETWORK", required = true, hide = true)]
    network: String,
}

impl Arguments for Exists {
    fn run(self, context: &Context) -> Outcome {
        exists(context.engine()?.network(&self.network))
    }
}

/// The arguments of `network prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Do not ask first
    #[arg(short, long)]
    force: bool,
}

impl Arguments for Prune {
    fn run(self, context: &Context) -> Outcome {
        let question = "The bridge and the packet filter table of the default network will be removed, \
                        unless a running container is on it.";
        if !self.force && !confirm(context, question)? {
            return Ok(1);
        }
        let removed = context.engine()?.prune_networks()?.deleted;
        if !removed.is_empty() {
            let text = format!("Deleted Networks:\n{}\n", removed.join("\n"));
            context.screen.data(&text)?;
        }
        Ok(0)
    }
}
