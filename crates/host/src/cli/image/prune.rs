//! `berth image prune`: removes images that nothing uses.

use berth_contract::Result;
use berth_host::api::types::ImageSummary;
use berth_host::format::time::parse_moment;
use berth_host::format::{Filters, human};

use crate::cli::shared::confirm;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Prune>(
    "prune",
    Group::Images,
    "Remove images that have no name, or that no container uses",
    "[OPTIONS]",
);

/// The flags of `image prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove every image that no container uses, not just those without a name
    #[arg(short, long)]
    all: bool,
    /// Remove only images that match: until, label (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Arguments for Prune {
    fn run(self, context: &Context) -> Outcome {
        let filters = Filters::parse(&self.filter, &["until", "label", "label!"])?;
        let now = berth_sys::clock::realtime();
        let zone = berth_host::zone::local(context.environment.text("TZ"));
        let moments = filters
            .values("until")
            .iter()
            .map(|text| parse_moment(text, now, &zone));
        let until = moments.collect::<Result<Vec<_>>>()?.into_iter().min();
        let question = if self.all {
            "This will remove all images that no container uses."
        } else {
            "This will remove all images without a name that no container uses."
        };
        if !self.force && !confirm(context, question)? {
            return Ok(0);
        }
        let engine = context.engine()?;
        let pruned = engine.prune_images(&|image: &ImageSummary| {
            let nameless = image.repo_tags.is_empty() && image.repo_digests.is_empty();
            let seconds = i64::try_from(until.unwrap_or(u64::MAX) / 1_000_000_000);
            (self.all || nameless)
                && image.created <= seconds.unwrap_or(i64::MAX)
                && filters.matches_labels(&image.labels)
        })?;
        let mut text = String::new();
        if !pruned.deleted.is_empty() {
            text.push_str("Deleted Images:\n");
            text.push_str(&crate::cli::rmi::lines(&pruned.deleted));
            text.push('\n');
        }
        text.push_str(&format!(
            "Total reclaimed space: {}\n",
            human::size(pruned.space_reclaimed)
        ));
        context.screen.data(&text)?;
        Ok(0)
    }
}
