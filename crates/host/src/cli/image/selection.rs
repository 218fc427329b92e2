//! `--filter` of `berth images`.

use berth_contract::{Error, Result};
use berth_host::api::types::ImageSummary;
use berth_host::format::filter::Filters;
use berth_host::format::time::parse_moment;
use jiff::tz::TimeZone;

use super::names::Names;

/// The checked filters of `images`.
#[derive(Debug)]
pub(super) struct Selection {
    filters: Filters,
    truths: Truths,
    /// In seconds since the Unix epoch.
    until: Option<i64>,
}

/// What is true of an image or not; without a word it does not matter.
#[derive(Debug)]
struct Truths {
    /// A container is made of it.
    containers: Option<bool>,
    /// It has no tag.
    dangling: Option<bool>,
    /// Only a step on the way to another; there are none here.
    intermediate: Option<bool>,
    /// A list for several platforms leads to it.
    manifest: Option<bool>,
    /// In a store that cannot be written; there is none.
    readonly: Option<bool>,
}

impl Truths {
    fn hold(&self, image: &ImageSummary) -> bool {
        let all = [
            (self.containers, image.containers > 0),
            (self.dangling, image.repo_tags.is_empty()),
            (self.intermediate, false),
            (self.manifest, image.is_listed),
            (self.readonly, false),
        ];
        all.iter()
            .all(|(wanted, is)| wanted.is_none_or(|wanted| wanted == *is))
    }
}

/// Creation times between which images must lie.
#[derive(Debug)]
pub(super) struct Bounds {
    before: Option<i64>,
    since: Option<i64>,
}

impl Selection {
    pub(super) fn parse(values: &[String], now: u64, zone: &TimeZone) -> Result<Self> {
        const KEYS: [&str; 13] = [
            "after",
            "before",
            "containers",
            "dangling",
            "id",
            "intermediate",
            "label",
            "label!",
            "manifest",
            "readonly",
            "reference",
            "since",
            "until",
        ];
        let filters = Filters::parse(values, &KEYS)?;
        let truths = Truths {
            containers: filters.truth("containers")?,
            dangling: filters.truth("dangling")?,
            intermediate: filters.truth("intermediate")?,
            manifest: filters.truth("manifest")?,
            readonly: filters.truth("readonly")?,
        };
        let moments = filters
            .values("until")
            .iter()
            .map(|text| parse_moment(text, now, zone));
        let until = moments.collect::<Result<Vec<_>>>()?.into_iter().min();
        let until = until.map(|moment| i64::try_from(moment / 1_000_000_000).unwrap_or(i64::MAX));
        Ok(Self {
            filters,
            truths,
            until,
        })
    }

    /// The times of the images that `before` and `since` name.
    pub(super) fn bounds(&self, images: &[ImageSummary]) -> Result<Bounds> {
        let times = |keys: &[&str]| -> Result<Vec<i64>> {
            let names = keys.iter().flat_map(|key| self.filters.values(key));
            names.map(|name| creation(images, name)).collect()
        };
        Ok(Bounds {
            before: times(&["before"])?.into_iter().min(),
            // Podman's word for it is the second.
            since: times(&["since", "after"])?.into_iter().max(),
        })
    }

    pub(super) fn matches(&self, image: &ImageSummary, bounds: &Bounds) -> bool {
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        let begins =
            |wanted: &str| id.starts_with(wanted.strip_prefix("sha256:").unwrap_or(wanted));
        self.truths.hold(image)
            && self.filters.any("id", begins)
            && self.filters.matches_labels(&image.labels)
            && bounds
                .before
                .is_none_or(|bound| image.created_nanoseconds < bound)
            && bounds
                .since
                .is_none_or(|bound| image.created_nanoseconds > bound)
            && self.until.is_none_or(|until| image.created <= until)
    }

    pub(super) fn names(&self, names: &Names) -> bool {
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
    let found = images.iter().find(is_named);
    let found = found.map(|image| image.created_nanoseconds);
    found.ok_or_else(|| {
        Error::new(
            berth_contract::Class::NotFound,
            format!("no image {name:?} to compare with"),
        )
        .hint("berth images lists those that are here")
    })
}
