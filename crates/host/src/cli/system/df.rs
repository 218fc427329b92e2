//! `berth system df`: who owns the bytes of the data directory.

use berth_contract::Result;
use berth_host::engine::{DiskUsage, Share};
use berth_host::format::listing::unparsable;
use berth_host::format::{Column, Layout, Record, Template, human};
use berth_image::Reference;
use serde_json::{Value, json};

use crate::cli::listing::Table;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Df>(
    "df",
    Group::System,
    "Print what takes the space of the data directory",
    "[OPTIONS]",
)
.examples("berth system df\nberth system df -v\nberth system df --format '{{.Type}} {{.Size}}'");

const TABLE: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const COLUMNS: [Column; 5] = [
    Column::new("Active", "ACTIVE"),
    Column::new("Reclaimable", "RECLAIMABLE"),
    Column::new("Size", "SIZE"),
    Column::new("TotalCount", "TOTAL"),
    Column::new("Type", "TYPE"),
];
const IMAGES: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t\
                      {{.UniqueSize}}\t{{.Containers}}";
const IMAGE_COLUMNS: [Column; 8] = [
    Column::new("Repository", "REPOSITORY"),
    Column::new("Tag", "TAG"),
    Column::new("ID", "IMAGE ID"),
    Column::new("CreatedSince", "CREATED"),
    Column::new("Size", "SIZE"),
    Column::new("SharedSize", "SHARED SIZE"),
    Column::new("UniqueSize", "UNIQUE SIZE"),
    Column::new("Containers", "CONTAINERS"),
];
const CONTAINERS: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t\
                          {{.RunningFor}}\t{{.Status}}\t{{.Names}}";
const CONTAINER_COLUMNS: [Column; 8] = [
    Column::new("ID", "CONTAINER ID"),
    Column::new("Image", "IMAGE"),
    Column::new("Command", "COMMAND"),
    Column::new("LocalVolumes", "LOCAL VOLUMES"),
    Column::new("Size", "SIZE"),
    Column::new("RunningFor", "CREATED"),
    Column::new("Status", "STATUS"),
    Column::new("Names", "NAMES"),
];
const VOLUMES: &str = "{{.Name}}\t{{.Links}}\t{{.Size}}";
const VOLUME_COLUMNS: [Column; 3] = [
    Column::new("Name", "VOLUME NAME"),
    Column::new("Links", "LINKS"),
    Column::new("Size", "SIZE"),
];

/// The flags of `system df`.
#[derive(Debug, clap::Args)]
pub(crate) struct Df {
    #[command(flatten)]
    table: Table,
    /// Print every image, container and volume
    #[arg(short, long)]
    verbose: bool,
}

impl Arguments for Df {
    fn run(self, context: &Context) -> Outcome {
        let now = berth_sys::clock::realtime();
        let usage = context.engine()?.disk_usage()?;
        let text = match (self.verbose, self.table.text()) {
            (false, _) => {
                let layout = self.table.layout(TABLE)?;
                // What berth has beside Docker's four kinds is shown where there is any.
                let shown = |share: &&Share| share.size > 0 || DOCKERS.contains(&share.kind);
                layout.render(&COLUMNS, usage.shares.iter().filter(shown).map(row))?
            }
            (true, "") => sections(&usage, now)?,
            (true, format) => {
                let document = json!({
                    "Images": images(&usage, now),
                    "Containers": containers(&usage, now),
                    "Volumes": volumes(&usage),
                    "BuildCache": [],
                });
                match format {
                    "json" => format!("{document}\n"),
                    text => {
                        let template =
                            Template::parse(text).map_err(|error| unparsable(text, error))?;
                        let rendered = template.render(&Record::new(document));
                        rendered.map_err(|error| unparsable(text, error))? + "\n"
                    }
                }
            }
        };
        context.screen.data(&text)?;
        Ok(0)
    }
}

const DOCKERS: [&str; 4] = ["Images", "Containers", "Local Volumes", "Build Cache"];

fn row(share: &Share) -> Record {
    let percent = share
        .reclaimable
        .saturating_mul(100)
        .checked_div(share.size)
        .unwrap_or(0);
    let reclaimable = human::size(share.reclaimable);
    Record::new(json!({
        "Active": share.active.to_string(),
        "Reclaimable": match share.size {
            0 => reclaimable,
            _ => format!("{reclaimable} ({percent}%)"),
        },
        "Size": human::size(share.size),
        "TotalCount": share.total.to_string(),
        "Type": share.kind,
    }))
}

/// Docker's `-v`: one table for each kind.
fn sections(usage: &DiskUsage, now: u64) -> Result<String> {
    let table = |template: &str, columns: &[Column], rows: Vec<Value>| {
        let layout = Layout::parse("", template)?;
        layout.render(columns, rows.into_iter().map(Record::new))
    };
    let mut text = format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n",
        table(IMAGES, &IMAGE_COLUMNS, images(usage, now))?,
        table(CONTAINERS, &CONTAINER_COLUMNS, containers(usage, now))?,
        table(VOLUMES, &VOLUME_COLUMNS, volumes(usage))?,
    );
    for share in usage.shares.iter().skip(3) {
        text.push_str(&format!(
            "{} usage: {}\n",
            share.kind,
            human::size(share.size)
        ));
    }
    Ok(text)
}

fn images(usage: &DiskUsage, now: u64) -> Vec<Value> {
    let mut rows = Vec::new();
    for image in &usage.images {
        let id = image
            .images
            .first()
            .map_or(image.target.short(), |first| first.id().short());
        let created = image.images.first().map_or("", |first| first.created());
        let created = created
            .parse::<jiff::Timestamp>()
            .map_or(0, jiff::Timestamp::as_nanosecond);
        let since = match u64::try_from(created) {
            Ok(0) | Err(_) => "N/A".to_owned(),
            Ok(created) => human::ago(created, now),
        };
        let mut names: Vec<(String, String)> = image.names.iter().map(name).collect();
        if names.is_empty() {
            names.push(("<none>".into(), "<none>".into()));
        }
        for (repository, tag) in names {
            rows.push(json!({
                "Repository": repository,
                "Tag": tag,
                "ID": id,
                "CreatedSince": since,
                "Size": human::size(image.size),
                "SharedSize": human::size(image.shared),
                "UniqueSize": human::size(image.size - image.shared),
                "Containers": users(usage, image).to_string(),
            }));
        }
    }
    rows
}

fn name(name: &Reference) -> (String, String) {
    let tag = name.tag().unwrap_or("<none>").to_owned();
    (name.familiar_name(), tag)
}

fn users(usage: &DiskUsage, image: &berth_image::ImageUsage) -> usize {
    let made_from = |id: &str| image.images.iter().any(|own| own.id().as_str() == id);
    let containers = usage.containers.iter();
    containers
        .filter(|one| made_from(&one.thing.image_id))
        .count()
}

fn containers(usage: &DiskUsage, now: u64) -> Vec<Value> {
    let row = |one: &berth_host::engine::Measured<berth_host::api::types::ContainerSummary>| {
        let container = &one.thing;
        let created = u64::try_from(container.created).unwrap_or(0);
        let names = container
            .names
            .iter()
            .map(|name| name.trim_start_matches('/'));
        let volumes = container
            .mounts
            .iter()
            .filter(|mount| !mount.name.is_empty());
        json!({
            "ID": container.id.get(..12).unwrap_or(&container.id),
            "Image": container.image,
            "Command": format!("\"{}\"", human::ellipsis(&container.command, 20)),
            "LocalVolumes": volumes.count().to_string(),
            "Size": human::size(one.size),
            "RunningFor": human::ago(created.saturating_mul(1_000_000_000), now),
            "Status": container.status,
            "Names": names.collect::<Vec<_>>().join(","),
        })
    };
    usage.containers.iter().map(row).collect()
}

fn volumes(usage: &DiskUsage) -> Vec<Value> {
    let row = |one: &berth_host::engine::Measured<berth_host::engine::VolumeEntry>| {
        let name = &one.thing.volume.name;
        let mounts = |container: &berth_host::api::types::ContainerSummary| {
            container.mounts.iter().any(|mount| mount.name == *name)
        };
        let links = usage
            .containers
            .iter()
            .filter(|one| mounts(&one.thing))
            .count();
        json!({ "Name": name, "Links": links.to_string(), "Size": human::size(one.size) })
    };
    usage.volumes.iter().map(row).collect()
}
