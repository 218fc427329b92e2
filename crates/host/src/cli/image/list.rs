//! `berth images`: which images there are.

use std::collections::BTreeSet;

use berth_host::api::types::ImageSummary;
use berth_host::format::time::go_time;
use berth_host::format::{Column, Record, human};
use berth_image::Reference;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::names::{Names, rows_of};
use super::selection::Selection;
use crate::cli::listing::Table;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

const TABLE: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Platform}}\t{{.Size}}";
const TABLE_WITH_DIGESTS: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Platform}}\t{{.Size}}";

pub(crate) const VERB: Verb = Verb::new::<Images>(
    "images",
    Group::Images,
    "List images",
    "[OPTIONS] [REPOSITORY[:TAG]]",
)
.examples(
    "berth images\n\
     berth images --filter dangling=true -q\n\
     berth images --sort size\n\
     berth images --format '{{.Repository}}:{{.Tag}} {{.Size}}'",
)
.refusing(&[("--history", "names that an image had before are not kept")]);

/// The fields of a row, in the order in which JSON shows them.
const COLUMNS: [Column; 12] = [
    Column::new("Containers", "CONTAINERS"),
    Column::new("CreatedAt", "CREATED AT"),
    Column::new("CreatedSince", "CREATED"),
    Column::new("Digest", "DIGEST"),
    Column::new("ID", "IMAGE ID"),
    Column::new("Platform", "PLATFORM"),
    Column::new("Repository", "REPOSITORY"),
    Column::new("SharedSize", "SHARED SIZE"),
    Column::new("Size", "SIZE"),
    Column::new("Tag", "TAG"),
    Column::new("UniqueSize", "UNIQUE SIZE"),
    Column::new("VirtualSize", "SIZE"),
];

/// The flags of `images`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's flags")]
pub(crate) struct Images {
    /// Show only this repository's images
    #[arg(value_name = "REPOSITORY[:TAG]", hide = true)]
    repository: Option<String>,
    /// Show all images; berth has no hidden ones
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Show only images that match: before, containers, dangling, id, intermediate, label, manifest, readonly,
    /// reference, since, until (can be repeated)
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    #[command(flatten)]
    table: Table,
    /// Print no titles
    #[arg(short, long)]
    noheading: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// List them in this order
    #[arg(long, value_name = "KEY", value_enum, default_value_t)]
    sort: Order,
    /// Print each image with what it has for each platform
    #[arg(
        long,
        conflicts_with_all = ["digests", "filter", "format", "no_trunc", "noheading", "quiet", "sort"]
    )]
    tree: bool,
}

impl Arguments for Images {
    fn run(self, context: &Context) -> Outcome {
        if self.tree {
            let wanted = |name: &Reference| {
                let names = Names::of(name);
                self.wants(&names)
            };
            let text = super::forest::render(&context.engine()?, &wanted)?;
            context.screen.data(&text)?;
            return Ok(0);
        }
        let standard = if self.digests {
            TABLE_WITH_DIGESTS
        } else {
            TABLE
        };
        let layout = self.table.layout_or_key(self.quiet, "{{.ID}}", standard)?;
        let now = berth_sys::clock::realtime();
        let zone = berth_host::zone::local(context.environment.text("TZ"));
        let selection = Selection::parse(&self.filter, now, &zone)?;
        let listing = context.engine()?.images()?;
        let bounds = selection.bounds(&listing.images)?;
        let shown = Shown {
            truncated: !self.no_trunc,
            now,
            zone,
        };
        let mut rows: Vec<(&ImageSummary, Names)> = Vec::new();
        for image in listing
            .images
            .iter()
            .filter(|image| selection.matches(image, &bounds))
        {
            let names = rows_of(image, self.digests).into_iter();
            let own = names.filter(|names| selection.names(names) && self.wants(names));
            rows.extend(own.map(|names| (image, names)));
        }
        self.sort.sort(&mut rows);
        if self.quiet {
            // An image with several names is one id.
            let mut seen = BTreeSet::new();
            rows.retain(|(image, _)| seen.insert(&image.id));
        }
        let rows: Vec<Record> = rows
            .iter()
            .map(|(image, names)| record(image, names, &shown))
            .collect();
        let mut text = layout.render(&COLUMNS, rows)?;
        if self.noheading {
            text = self.table.without_titles(self.quiet, text);
        }
        context.screen.data(&text)?;
        for damage in &listing.damaged {
            context.screen.fail(damage);
        }
        Ok(u8::from(!listing.damaged.is_empty()))
    }
}

impl Images {
    /// Whether a row is of the repository asked for, or carries the very name.
    fn wants(&self, names: &Names) -> bool {
        self.repository
            .as_ref()
            .is_none_or(|wanted| names.matches(wanted))
    }
}

/// What images are listed by, as Podman names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    /// The newest first.
    #[default]
    Created,
    Id,
    Repository,
    Size,
    Tag,
}

impl Order {
    /// Sorts; what is equal stays in the order it had, the newest first.
    fn sort(self, rows: &mut [(&ImageSummary, Names)]) {
        match self {
            Self::Created => {}
            Self::Id => rows.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id)),
            Self::Repository => rows.sort_by(|(_, one), (_, other)| {
                (&one.repository, &one.tag).cmp(&(&other.repository, &other.tag))
            }),
            Self::Size => rows.sort_by_key(|(image, _)| image.size),
            Self::Tag => rows.sort_by(|(_, one), (_, other)| one.tag.cmp(&other.tag)),
        }
    }
}

/// How rows are shown.
#[derive(Debug)]
struct Shown {
    truncated: bool,
    now: u64,
    zone: TimeZone,
}

fn record(image: &ImageSummary, names: &Names, shown: &Shown) -> Record {
    let size = human::size(u64::try_from(image.size).unwrap_or(0));
    let created = u64::try_from(image.created).unwrap_or(0);
    let since = if created == 0 {
        "N/A".to_owned()
    } else {
        human::ago(created.saturating_mul(1_000_000_000), shown.now)
    };
    let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
    let id = if shown.truncated {
        id.get(..12).unwrap_or(id)
    } else {
        &image.id
    };
    let value = |column: &Column| -> Value {
        match column.field {
            "Containers" => image.containers.to_string().into(),
            "CreatedAt" => go_time(image.created, &shown.zone).into(),
            "CreatedSince" => since.as_str().into(),
            "Digest" => names.digest.as_str().into(),
            "ID" => id.into(),
            "Platform" => image.platform.as_str().into(),
            "Repository" => names.repository.as_str().into(),
            "Tag" => names.tag.as_str().into(),
            "SharedSize" | "UniqueSize" => "N/A".into(),
            _ => size.as_str().into(),
        }
    };
    let fields: Map<String, Value> = COLUMNS
        .iter()
        .map(|column| (column.field.to_owned(), value(column)))
        .collect();
    Record {
        fields: Value::Object(fields),
        labels: Some(image.labels.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_dockers_fields() {
        let shown = Shown {
            truncated: true,
            now: 1_180_000_000_000,
            zone: TimeZone::UTC,
        };
        let image = ImageSummary {
            id: format!("sha256:{}", "ab".repeat(32)),
            repo_tags: vec!["busybox:latest".to_owned()],
            created: 1000,
            size: 5_580_000,
            ..ImageSummary::default()
        };
        let record = record(&image, &rows_of(&image, false)[0], &shown);
        assert_eq!(record.fields["ID"], "abababababab");
        assert_eq!(record.fields["Size"], "5.58MB");
        assert_eq!(record.fields["CreatedSince"], "3 minutes ago");
        assert_eq!(record.fields["Repository"], "busybox");
    }
}
