//! `berth images`: which images there are.

use berth_contract::{Error, Result};
use berth_host::api::types::ImageSummary;
use berth_host::format::filter::{Filters, matches_wildcard};
use berth_host::format::time::{go_time, parse_moment};
use berth_host::format::{Column, Layout, Record, human};
use berth_image::Reference;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

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
     berth images --format '{{.Repository}}:{{.Tag}} {{.Size}}'",
);

/// The fields of a row, in the order in which JSON shows them.
const COLUMNS: [Column; 12] = [
    Column {
        field: "Containers",
        title: "CONTAINERS",
    },
    Column {
        field: "CreatedAt",
        title: "CREATED AT",
    },
    Column {
        field: "CreatedSince",
        title: "CREATED",
    },
    Column {
        field: "Digest",
        title: "DIGEST",
    },
    Column {
        field: "ID",
        title: "IMAGE ID",
    },
    Column {
        field: "Platform",
        title: "PLATFORM",
    },
    Column {
        field: "Repository",
        title: "REPOSITORY",
    },
    Column {
        field: "SharedSize",
        title: "SHARED SIZE",
    },
    Column {
        field: "Size",
        title: "SIZE",
    },
    Column {
        field: "Tag",
        title: "TAG",
    },
    Column {
        field: "UniqueSize",
        title: "UNIQUE SIZE",
    },
    Column {
        field: "VirtualSize",
        title: "SIZE",
    },
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
    /// Show only images that match: dangling, label, before, since, reference, until (can be repeated)
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print as a table, as json, or with a Go template
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Print each image with what it has for each platform
    #[arg(
        long,
        conflicts_with_all = ["digests", "filter", "format", "no_trunc", "quiet"]
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
        let layout = match (self.quiet, self.format.as_str()) {
            (true, "" | "table") => Layout::parse("{{.ID}}", "")?,
            _ => Layout::parse(&self.format, standard)?,
        };
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
        let mut rows = Vec::new();
        for image in listing
            .images
            .iter()
            .filter(|image| selection.matches(image, &bounds))
        {
            for names in rows_of(image, self.digests) {
                if selection.names(&names) && self.wants(&names) {
                    rows.push(record(image, &names, &shown));
                }
            }
        }
        if self.quiet {
            // An image with several names is one id.
            rows.dedup_by(|left, right| left.fields["ID"] == right.fields["ID"]);
        }
        context.screen.data(&layout.render(&COLUMNS, rows)?)?;
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

/// One row's names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    repository: String,
    tag: String,
    digest: String,
}

const NONE: &str = "<none>";

impl Names {
    fn of(name: &Reference) -> Self {
        Self {
            repository: name.familiar_name(),
            tag: name.tag().unwrap_or(NONE).to_owned(),
            digest: NONE.to_owned(),
        }
    }

    /// Go's `path.Match` against the repository, or against repository and tag.
    fn matches(&self, pattern: &str) -> bool {
        let familiar = pattern
            .strip_prefix("docker.io/library/")
            .or_else(|| pattern.strip_prefix("docker.io/"));
        let pattern = familiar.unwrap_or(pattern);
        let segments = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let wanted = segments(pattern);
        let same = |name: &str| {
            let own = segments(name);
            own.len() == wanted.len()
                && own
                    .iter()
                    .zip(&wanted)
                    .all(|(own, wanted)| matches_wildcard(own, wanted))
        };
        same(&self.repository)
            || same(&format!("{}:{}", self.repository, self.tag))
            || (self.digest != NONE && same(&format!("{}@{}", self.repository, self.digest)))
    }
}

/// One row for each tag, else one for each digest, else one without a name.
fn rows_of(image: &ImageSummary, digests: bool) -> Vec<Names> {
    let by_digest = |repository: &str| {
        let found = image
            .repo_digests
            .iter()
            .filter_map(|name| name.split_once('@'));
        let mut own = found
            .filter(|(name, _)| *name == repository)
            .map(|(_, digest)| digest);
        own.next().unwrap_or(NONE).to_owned()
    };
    let mut rows: Vec<Names> = image
        .repo_tags
        .iter()
        .map(|name| {
            let (repository, tag) = split_tag(name);
            Names {
                digest: by_digest(repository),
                repository: repository.to_owned(),
                tag: tag.to_owned(),
            }
        })
        .collect();
    for (repository, digest) in image
        .repo_digests
        .iter()
        .filter_map(|name| name.split_once('@'))
    {
        let listed = rows.iter().any(|row| row.repository == repository);
        if !listed || (digests && !rows.iter().any(|row| row.digest == digest)) {
            rows.push(Names {
                repository: repository.to_owned(),
                tag: NONE.to_owned(),
                digest: digest.to_owned(),
            });
        }
    }
    if rows.is_empty() {
        let none = NONE.to_owned();
        rows.push(Names {
            repository: none.clone(),
            tag: none.clone(),
            digest: none,
        });
    }
    rows
}

fn split_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, NONE),
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

/// The checked filters of `images`.
#[derive(Debug)]
struct Selection {
    filters: Filters,
    dangling: Option<bool>,
    /// In seconds since the Unix epoch.
    until: Option<i64>,
}

/// Creation times between which images must lie.
#[derive(Debug)]
struct Bounds {
    before: Option<i64>,
    since: Option<i64>,
}

impl Selection {
    fn parse(values: &[String], now: u64, zone: &TimeZone) -> Result<Self> {
        const KEYS: [&str; 7] = [
            "before",
            "dangling",
            "label",
            "label!",
            "reference",
            "since",
            "until",
        ];
        let filters = Filters::parse(values, &KEYS)?;
        let dangling = filters.truth("dangling")?;
        let moments = filters
            .values("until")
            .iter()
            .map(|text| parse_moment(text, now, zone));
        let until = moments.collect::<Result<Vec<_>>>()?.into_iter().min();
        let until = until.map(|moment| i64::try_from(moment / 1_000_000_000).unwrap_or(i64::MAX));
        Ok(Self {
            filters,
            dangling,
            until,
        })
    }

    /// The times of the images that `before` and `since` name.
    fn bounds(&self, images: &[ImageSummary]) -> Result<Bounds> {
        let time = |key: &str| -> Result<Vec<i64>> {
            self.filters
                .values(key)
                .iter()
                .map(|name| creation(images, name))
                .collect()
        };
        Ok(Bounds {
            before: time("before")?.into_iter().min(),
            since: time("since")?.into_iter().max(),
        })
    }

    fn matches(&self, image: &ImageSummary, bounds: &Bounds) -> bool {
        let dangling = image.repo_tags.is_empty() && image.repo_digests.is_empty();
        self.dangling.is_none_or(|wanted| wanted == dangling)
            && self.filters.matches_labels(&image.labels)
            && bounds.before.is_none_or(|bound| image.created < bound)
            && bounds.since.is_none_or(|bound| image.created > bound)
            && self.until.is_none_or(|until| image.created <= until)
    }

    fn names(&self, names: &Names) -> bool {
        self.filters
            .any("reference", |pattern| names.matches(pattern))
    }
}

fn creation(images: &[ImageSummary], name: &str) -> Result<i64> {
    let is_named = |image: &&ImageSummary| {
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        image
            .repo_tags
            .iter()
            .any(|tag| tag == name || *tag == format!("{name}:latest"))
            || image.repo_digests.iter().any(|digest| digest == name)
            || (name.len() >= 4 && (id.starts_with(name) || image.id == name))
    };
    let found = images.iter().find(is_named).map(|image| image.created);
    found.ok_or_else(|| {
        Error::new(
            berth_contract::Class::NotFound,
            format!("no image {name:?} to compare with"),
        )
        .hint("berth images lists those that are here")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tags: &[&str], digests: &[&str]) -> ImageSummary {
        ImageSummary {
            id: format!("sha256:{}", "ab".repeat(32)),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            repo_digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
            created: 1000,
            size: 5_580_000,
            platform: "linux/amd64".to_owned(),
            ..ImageSummary::default()
        }
    }

    #[test]
    fn each_tag_is_a_row() {
        let show = |tags: &[&str], digests: &[&str], with| {
            let rows = rows_of(&image(tags, digests), with);
            let text = |row: &Names| format!("{} {} {}", row.repository, row.tag, row.digest);
            rows.iter().map(text).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(show(&[], &[], false), "<none> <none> <none>");
        assert_eq!(show(&["a:1", "a:2"], &[], false), "a 1 <none>; a 2 <none>");
        assert_eq!(show(&["a:1"], &["a@sha256:x"], false), "a 1 sha256:x");
        assert_eq!(show(&[], &["a@sha256:x"], false), "a <none> sha256:x");
        assert_eq!(
            show(&["localhost:5000/a:1"], &[], false),
            "localhost:5000/a 1 <none>"
        );
    }

    #[test]
    fn names_match_like_paths() {
        let names = Names {
            repository: "me/app".to_owned(),
            tag: "1".to_owned(),
            digest: NONE.to_owned(),
        };
        for (pattern, expected) in [
            ("me/app", true),
            ("me/app:1", true),
            ("docker.io/me/app:1", true),
            ("me/*", true),
            ("*/app:*", true),
            ("app", false),
            ("*", false),
            ("me/app:2", false),
        ] {
            assert_eq!(names.matches(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn rows_have_dockers_fields() {
        let shown = Shown {
            truncated: true,
            now: 1_180_000_000_000,
            zone: TimeZone::UTC,
        };
        let image = image(&["busybox:latest"], &[]);
        let record = record(&image, &rows_of(&image, false)[0], &shown);
        assert_eq!(record.fields["ID"], "abababababab");
        assert_eq!(record.fields["Size"], "5.58MB");
        assert_eq!(record.fields["CreatedSince"], "3 minutes ago");
        assert_eq!(record.fields["Repository"], "busybox");
    }
}
