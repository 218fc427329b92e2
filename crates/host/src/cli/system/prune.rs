//! `berth system prune`: removes what nothing uses, of every kind.

use berth_contract::{Class, Error};
use berth_host::build::CachePruning;
use berth_host::engine::PruneWish;
use berth_host::format::{Filters, human};

use crate::cli::image::prune::{listed, moment, warn_of_hold};
use crate::cli::shared::confirm;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Prune>(
    "prune",
    Group::System,
    "Remove containers, networks, images and build cache that nothing uses",
    "[OPTIONS]",
)
.examples(
    "berth system prune\nberth system prune -a --volumes -f\nberth system prune --filter until=24h",
);

/// The flags of `system prune`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's flags")]
pub(crate) struct Prune {
    /// Remove every image that no container uses, not just those without a name
    #[arg(short, long)]
    all: bool,
    /// Remove only what matches: until, label (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove volumes that nobody named and no container mounts
    #[arg(long)]
    volumes: bool,
}

impl Arguments for Prune {
    fn run(self, context: &Context) -> Outcome {
        let filters = Filters::parse(&self.filter, &["until", "label", "label!"])?;
        if self.volumes && filters.has("until") {
            return Err(Error::new(
                Class::Invalid,
                "the filter until cannot be used together with --volumes",
            )
            .hint("volumes have no age that counts: leave one of the two away"));
        }
        let until = moment(context, filters.values("until"))?;
        if !self.force && !confirm(context, &self.question())? {
            return Ok(0);
        }
        let moment = until.unwrap_or(u64::MAX);
        let until = i64::try_from(until.unwrap_or(u64::MAX) / 1_000_000_000).unwrap_or(i64::MAX);
        let engine = context.engine()?;
        let containers = engine.prune(&|container| {
            container.created <= until && filters.matches_labels(&container.labels)
        })?;
        let mut text = section("Deleted Containers", &containers.deleted);
        let mut reclaimed = containers.space_reclaimed;
        // The default network has neither age nor labels.
        if !filters.has("until") && !filters.has("label") {
            text.push_str(&section(
                "Deleted Networks",
                &engine.prune_networks()?.deleted,
            ));
        }
        if self.volumes {
            let volumes = engine.prune_volumes(&|entry| {
                entry.anonymous && filters.matches_labels(&entry.volume.labels)
            })?;
            reclaimed = reclaimed.saturating_add(volumes.space_reclaimed);
            text.push_str(&section("Deleted Volumes", &volumes.deleted));
        }
        let images = engine.prune_images(&PruneWish {
            all: self.all,
            chosen: &|image| image.created <= until && filters.matches_labels(&image.labels),
            keep_last: None,
            unused_since: None,
        })?;
        text.push_str(&listed(&images));
        reclaimed = reclaimed.saturating_add(images.space_reclaimed);
        // Steps that are kept for builds have no labels.
        if !filters.has("label") && !filters.has("label!") {
            let (removed, freed) = engine.prune_build_cache(&CachePruning {
                all: self.all,
                chosen: &|entry| entry.used <= moment,
                keep: None,
            })?;
            let ids: Vec<String> = removed.into_iter().map(|entry| entry.id).collect();
            text.push_str(&section("Deleted build cache objects", &ids));
            reclaimed = reclaimed.saturating_add(freed);
        }
        engine.empty_trash_later();
        text.push_str(&format!(
            "Total reclaimed space: {}\n",
            human::size(reclaimed)
        ));
        context.screen.data(&text)?;
        warn_of_hold(context, &images);
        Ok(0)
    }
}

impl Prune {
    /// What would be removed, in Docker's words.
    fn question(&self) -> String {
        let mut text = String::from(
            "This will remove:\n  - all containers that do not run\n  \
             - the default network's bridge, unless a running container is on it\n",
        );
        if self.volumes {
            text.push_str("  - all volumes that nobody named and no container mounts\n");
        }
        text.push_str(match self.all {
            true => "  - all images that no container uses\n",
            false => "  - all images without a name that no container uses\n",
        });
        text.push_str(match self.all {
            true => "  - all build cache\n",
            false => "  - all build cache that no image has\n",
        });
        for filter in &self.filter {
            text.push_str(&format!("  of these, only what matches {filter}\n"));
        }
        text
    }
}

fn section(title: &str, names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("{title}:\n{}\n\n", names.join("\n")),
    }
}
