//! `berth search`: repositories and tags of registries.

use std::cmp::Ordering;

use berth_contract::{Class, Error, Result};
use berth_host::format::{Column, Filters, Record, human};
use berth_image::{Found, Reference};
use serde_json::json;

use super::access::{RegistryFlags, access};
use crate::cli::listing::Table;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Search>(
    "search",
    Group::Images,
    "Search registries for images",
    "[OPTIONS] [REGISTRY/]TERM",
)
.examples(
    "berth search --filter is-official=true nginx\n\
     berth search localhost:5000/app\n\
     berth search --list-tags quay.io/podman/stable",
);

const COLUMNS: [Column; 7] = [
    Column::new("Index", "INDEX"),
    Column::new("Name", "NAME"),
    Column::new("Description", "DESCRIPTION"),
    Column::new("StarCount", "STARS"),
    Column::new("IsOfficial", "OFFICIAL"),
    Column::new("IsAutomated", "AUTOMATED"),
    Column::new("Tag", "TAG"),
];

/// Docker's number.
const LIMIT: usize = 25;
const DESCRIPTION_WIDTH: usize = 45;

/// The flags of `search`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's and Podman's flags")]
pub(crate) struct Search {
    /// What to look for
    #[arg(value_name = "[REGISTRY/]TERM", required = true, hide = true)]
    term: String,
    /// Show only those with stars=NUMBER, is-official=true|false, is-automated=true|false (can be repeated)
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    #[command(flatten)]
    table: Table,
    /// Show at most this many of each registry: 25, and all tags
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Show descriptions whole
    #[arg(long)]
    no_trunc: bool,
    /// List the tags of a repository, versions in their order
    #[arg(long)]
    list_tags: bool,
    /// Accepted for Podman's sake: the columns are Docker's always
    #[arg(long)]
    compatible: bool,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Arguments for Search {
    fn run(self, context: &Context) -> Outcome {
        if self.limit == Some(0) {
            return Err(Error::new(Class::Invalid, "cannot show at most 0 results")
                .hint("leave --limit away"));
        }
        let text = if self.list_tags {
            self.tags(context)?
        } else {
            self.images(context)?
        };
        context.screen.data(&text)?;
        Ok(0)
    }
}

impl Search {
    fn images(&self, context: &Context) -> Result<String> {
        let filters = Filters::parse(&self.filter, &["stars", "is-official", "is-automated"])?;
        let official = filters.truth("is-official")?;
        let automated = filters.truth("is-automated")?;
        let stars = filters.values("stars").iter().map(|text| {
            text.parse::<u64>().map_err(|_invalid| {
                Error::new(Class::Invalid, format!("invalid filter stars={text}"))
                    .hint("write a number: stars=100")
            })
        });
        let stars = stars
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .max()
            .unwrap_or(0);
        let standard = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
        let layout = self.table.layout(standard)?;
        let named = match self.term.split_once('/') {
            Some((registry, _)) => format!("{registry}/image"),
            None => "image".to_owned(),
        };
        let access = access(context, &self.registry, [named])?;
        let limit = self.limit.unwrap_or(LIMIT);
        let found = context
            .engine()?
            .search(&self.term, limit, &access)?
            .into_iter();
        let found = found.filter(|found| {
            found.stars >= stars
                && official.is_none_or(|wanted| found.official == wanted)
                && automated.is_none_or(|wanted| found.automated == wanted)
        });
        layout.render(&COLUMNS, found.map(|found| self.record(&found)))
    }

    fn record(&self, found: &Found) -> Record {
        let mark = |is: bool| if is { "[OK]" } else { "" };
        let description = found.description.replace(['\n', '\r', '\t'], " ");
        let description = if self.no_trunc {
            description
        } else {
            human::ellipsis(&description, DESCRIPTION_WIDTH)
        };
        Record::new(json!({
            "Index": found.registry,
            "Name": found.name,
            "Description": description,
            "StarCount": found.stars,
            "IsOfficial": mark(found.official),
            "IsAutomated": mark(found.automated),
        }))
    }

    fn tags(&self, context: &Context) -> Result<String> {
        if !self.filter.is_empty() {
            return Err(
                Error::new(Class::Invalid, "tags cannot be filtered").hint("leave --filter away")
            );
        }
        let layout = self.table.layout("{{.Name}}\t{{.Tag}}")?;
        let access = access(context, &self.registry, [&self.term])?;
        let term = self.term.strip_prefix("docker://").unwrap_or(&self.term);
        let candidates = access.candidates(term)?;
        let repository = candidates
            .first()
            .cloned()
            .map_or_else(|| Reference::parse(term), Ok)?;
        let mut tags = context.engine()?.tags(&repository, &access)?;
        tags.sort_by(|left, right| version_order(left, right));
        tags.truncate(self.limit.unwrap_or(usize::MAX));
        let name = repository.familiar_name();
        let rows = tags
            .into_iter()
            .map(|tag| Record::new(json!({"Name": name, "Tag": tag})));
        layout.render(&COLUMNS, rows)
    }
}

/// Semantic versions in their order, missing parts counting as 0; then every other tag by its letters.
///
/// `1.2-alpine` comes after `1.2`: in tags a suffix is a variant, and only names such as `rc1` mean an
/// earlier time (semver.org, clause 11).
fn version_order(left: &str, right: &str) -> Ordering {
    match (Version::parse(left), Version::parse(right)) {
        (Some(one), Some(other)) => one.cmp(&other).then_with(|| left.cmp(right)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    }
}

/// A tag that is a version.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: Vec<u64>,
    /// Before the release, the release itself, or a variant of it.
    kind: u8,
    suffix: Vec<Part>,
}

/// A part of a suffix; numbers come before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Version {
    fn parse(tag: &str) -> Option<Self> {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let (core, suffix) = match text.split_once(['-', '+', '_']) {
            Some((core, suffix)) => (core, suffix),
            None => (text, ""),
        };
        let mut numbers = core
            .split('.')
            .map(|part| part.parse().ok())
            .collect::<Option<Vec<u64>>>()?;
        numbers.resize(numbers.len().max(3), 0);
        let suffix: Vec<Part> = parts(suffix).collect();
        let early = [
            "alpha", "beta", "rc", "pre", "preview", "dev", "snapshot", "a", "b",
        ];
        let kind = match suffix.first() {
            None => 1,
            Some(Part::Word(word)) if early.contains(&word.to_ascii_lowercase().as_str()) => 0,
            Some(_) => 2,
        };
        Some(Self {
            numbers,
            kind,
            suffix,
        })
    }
}

/// `rc12.1` is the word rc, 12 and 1.
fn parts(suffix: &str) -> impl Iterator<Item = Part> {
    let chunks = suffix.split(|character: char| !character.is_ascii_alphanumeric());
    let runs = chunks.flat_map(|chunk| {
        chunk
            .as_bytes()
            .chunk_by(|left, right| left.is_ascii_digit() == right.is_ascii_digit())
            .filter_map(|run| std::str::from_utf8(run).ok())
    });
    runs.map(|run| match run.parse() {
        Ok(number) => Part::Number(number),
        Err(_) => Part::Word(run.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_in_the_order_of_their_versions() {
        let sorted = [
            "v0.9",
            "1",
            "1.2.0-rc2",
            "1.2.0-rc10",
            "1.2.0",
            "1.2.0-alpine",
            "1.2.0-alpine3",
            "1.10",
            "1.10.1",
            "2.0.0-beta",
            "2.0.0",
            "10",
            "20240101",
            "edge",
            "latest",
        ];
        let mut tags = sorted.to_vec();
        tags.reverse();
        tags.sort_by(|left, right| version_order(left, right));
        assert_eq!(tags, sorted);
    }
}
