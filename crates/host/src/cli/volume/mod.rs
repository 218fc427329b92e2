//! `berth volume …`: directories that outlive the containers they are mounted in.

mod archive;

use std::collections::BTreeMap;

use berth_contract::VolumeName;
use berth_host::engine::VolumeEntry;
use berth_host::format::filter::matches_name;
use berth_host::format::{Column, Filters, Record, human};
use serde_json::json;

use crate::cli::document::{Format, as_value};
use crate::cli::listing::{Table, exists, labels, remove_each};
use crate::cli::parse::environment::{self, Entry};
use crate::cli::shared::confirm;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb =
    Verb::family("volume", Group::VolumesAndNetworks, "Manage volumes", VERBS);

const GROUP: Group = Group::VolumesAndNetworks;
const SWARM: &str = "there is no cluster; leave it away";

const VERBS: &[Verb] = &[
    Verb::new::<Create>("create", GROUP, "Make a volume", "[OPTIONS] [NAME]")
        .examples(
            "berth volume create data\n\
             berth run --rm -v data:/data busybox ls /data\n\
             berth volume create -o type=tmpfs -o device=tmpfs -o o=size=64m scratch",
        )
        .refusing(&[
            ("--availability", SWARM),
            ("--group", SWARM),
            ("--limit-bytes", SWARM),
            ("--required-bytes", SWARM),
            ("--scope", SWARM),
            ("--secret", SWARM),
            ("--sharing", SWARM),
            ("--topology-preferred", SWARM),
            ("--topology-required", SWARM),
            ("--type", SWARM),
        ]),
    Verb::new::<Ls>("ls", GROUP, "List volumes", "[OPTIONS]")
        .aliases(&["list"])
        .examples("berth volume ls\nberth volume ls -q --filter dangling=true")
        .refusing(&[("--cluster", SWARM)]),
    Verb::new::<Inspect>(
        "inspect",
        GROUP,
        "Print everything about volumes",
        "[OPTIONS] VOLUME [VOLUME...]",
    )
    .examples("berth volume inspect -f '{{.Mountpoint}}' data"),
    Verb::new::<Rm>(
        "rm",
        GROUP,
        "Remove volumes",
        "[OPTIONS] VOLUME [VOLUME...]",
    )
    .aliases(&["remove"])
    .examples("berth volume rm data"),
    Verb::new::<Exists>(
        "exists",
        GROUP,
        "Tell by the exit code whether a volume exists",
        "VOLUME",
    ),
    archive::EXPORT,
    archive::IMPORT,
    Verb::new::<Prune>(
        "prune",
        GROUP,
        "Remove volumes that no container mounts",
        "[OPTIONS]",
    )
    .examples("berth volume prune\nberth volume prune -a -f"),
];

/// The arguments of `volume create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The driver; only local
    #[arg(short, long, value_name = "DRIVER", value_parser = ["local"], default_value = "local")]
    driver: String,

    /// Label the volume (can be repeated)
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = environment::entry)]
    label: Vec<Entry>,

    /// What to mount while containers use it: type=…, device=…, o=… as mount(8) has them (can be repeated)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = environment::pair)]
    opt: Vec<(String, String)>,

    /// Its name; a random one when left away
    #[arg(value_name = "NAME", hide = true)]
    name: Option<VolumeName>,

    /// The same, as a flag
    #[arg(
        long = "name",
        value_name = "NAME",
        hide = true,
        conflicts_with = "name"
    )]
    named: Option<VolumeName>,
}

impl Arguments for Create {
    fn run(self, context: &Context) -> Outcome {
        let labels: BTreeMap<String, String> = self
            .label
            .into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect();
        let name = context.engine()?.create_volume(
            self.name.or(self.named),
            labels,
            self.opt.into_iter().collect(),
        )?;
        context.screen.data(&format!("{name}\n"))?;
        Ok(0)
    }
}

/// The arguments of `volume ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Show only those with dangling=true|false, name=PART, label=KEY[=VALUE], driver=local (can be repeated)
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,

    #[command(flatten)]
    table: Table,

    /// Print names alone
    #[arg(short, long)]
    quiet: bool,
}

const COLUMNS: [Column; 10] = [
    Column::new("Availability", "AVAILABILITY"),
    Column::new("Group", "GROUP"),
    Column::new("Links", "LINKS"),
    Column::new("Status", "STATUS"),
    Column::new("Driver", "DRIVER"),
    Column::new("Name", "VOLUME NAME"),
    Column::new("Labels", "LABELS"),
    Column::new("Mountpoint", "MOUNTPOINT"),
    Column::new("Scope", "SCOPE"),
    Column::new("Size", "SIZE"),
];

impl Arguments for Ls {
    fn run(self, context: &Context) -> Outcome {
        let known = ["dangling", "name", "label", "label!", "driver"];
        let filters = Filters::parse(&self.filter, &known)?;
        let dangling = filters.truth("dangling")?;
        let standard = "{{.Driver}}\t{{.Name}}";
        let layout = self
            .table
            .layout_or_key(self.quiet, "{{.Name}}", standard)?;
        let entries = context.engine()?.volumes()?.into_iter().filter(|entry| {
            dangling.is_none_or(|dangling| entry.used != dangling)
                && filters.matches_labels(&entry.volume.labels)
                && filters.any("name", |name| matches_name(&entry.volume.name, name))
                && filters.any("driver", |driver| driver == entry.volume.driver)
        });
        context
            .screen
            .data(&layout.render(&COLUMNS, entries.map(record))?)?;
        Ok(0)
    }
}

fn record(entry: VolumeEntry) -> Record {
    let volume = entry.volume;
    Record {
        fields: json!({
            "Availability": "N/A",
            "Driver": volume.driver,
            "Group": "N/A",
            "Labels": labels(&volume.labels),
            "Links": "N/A",
            "Mountpoint": volume.mountpoint,
            "Name": volume.name,
            "Scope": volume.scope,
            "Size": "N/A",
            "Status": "N/A",
        }),
        labels: Some(volume.labels),
    }
}

/// The arguments of `volume inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    format: Format,

    /// The volumes
    #[arg(value_name = "VOLUME", required = true, hide = true)]
    volumes: Vec<String>,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        self.format.inspect(context, &self.volumes, |name| {
            as_value(&engine.volume(name)?)
        })
    }
}

/// The arguments of `volume rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Do not mind volumes that do not exist
    #[arg(short, long)]
    force: bool,

    /// The volumes
    #[arg(value_name = "VOLUME", required = true, hide = true)]
    volumes: Vec<String>,
}

impl Arguments for Rm {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        remove_each(context, &self.volumes, self.force, |name| {
            engine.remove_volume(name)
        })
    }
}

/// The arguments of `volume exists`.
#[derive(Debug, clap::Args)]
pub(crate) struct Exists {
    /// The volume
    #[arg(value_name = "VOLUME", required = true, hide = true)]
    volume: String,
}

impl Arguments for Exists {
    fn run(self, context: &Context) -> Outcome {
        exists(context.engine()?.volume(&self.volume))
    }
}

/// The arguments of `volume prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove those that somebody named as well
    #[arg(short, long)]
    all: bool,

    /// Only those with label=KEY[=VALUE], label!=KEY[=VALUE]; all=true is --all (can be repeated)
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,

    /// Do not ask first
    #[arg(short, long)]
    force: bool,
}

impl Arguments for Prune {
    fn run(self, context: &Context) -> Outcome {
        let filters = Filters::parse(&self.filter, &["label", "label!", "all"])?;
        let all = self.all || filters.truth("all")?.unwrap_or_default();
        let question = if all {
            "All volumes that no container mounts will be removed."
        } else {
            "All volumes that nobody named and no container mounts will be removed."
        };
        if !self.force && !confirm(context, question)? {
            return Ok(1);
        }
        let report = context.engine()?.prune_volumes(&|entry| {
            (all || entry.anonymous) && filters.matches_labels(&entry.volume.labels)
        })?;
        let mut text = String::new();
        if !report.deleted.is_empty() {
            text.push_str(&format!(
                "Deleted Volumes:\n{}\n\n",
                report.deleted.join("\n")
            ));
        }
        text.push_str(&format!(
            "Total reclaimed space: {}\n",
            human::size(report.space_reclaimed)
        ));
        context.screen.data(&text)?;
        Ok(0)
    }
}
