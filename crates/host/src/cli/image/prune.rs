//! `berth image prune`: removes images that nothing uses.

use berth_contract::Result;
use berth_host::engine::{PruneWish, PrunedImages};
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
    /// Keep this many images of each repository, the newest ones
    #[arg(long, value_name = "NUMBER")]
    keep_last: Option<usize>,
    /// Remove only images that no container was made from for so long, as in 720h
    #[arg(long, value_name = "DURATION")]
    unused_for: Option<String>,
}

impl Arguments for Prune {
    fn run(self, context: &Context) -> Outcome {
        let filters = Filters::parse(&self.filter, &["until", "label", "label!"])?;
        let until = moment(context, filters.values("until"))?;
        let unused_since = moment(context, self.unused_for.as_slice())?;
        let question = if self.all {
            "This will remove all images that no container uses."
        } else {
            "This will remove all images without a name that no container uses."
        };
        if !self.force && !confirm(context, question)? {
            return Ok(0);
        }
        let engine = context.engine()?;
        let seconds = i64::try_from(until.unwrap_or(u64::MAX) / 1_000_000_000);
        let until = seconds.unwrap_or(i64::MAX);
        let pruned = engine.prune_images(&PruneWish {
            all: self.all,
            chosen: &|image| image.created <= until && filters.matches_labels(&image.labels),
            keep_last: self.keep_last,
            unused_since,
        })?;
        engine.empty_trash_later();
        let text = format!(
            "{}Total reclaimed space: {}\n",
            listed(&pruned),
            human::size(pruned.space_reclaimed)
        );
        context.screen.data(&text)?;
        warn_of_hold(context, &pruned);
        Ok(0)
    }
}

/// Tells why less is free than was removed.
pub(crate) fn warn_of_hold(context: &Context, pruned: &PrunedImages) {
    if pruned.held {
        context.warn(
            "what nothing needs stays on the disk for now: an image is being pulled, pushed, built, or \
             was pushed to `serve registry` a moment ago",
        );
    }
}

/// The images that were removed, as Docker prints them.
pub(crate) fn listed(pruned: &PrunedImages) -> String {
    match pruned.deleted.as_slice() {
        [] => String::new(),
        deleted => format!("Deleted Images:\n{}\n", crate::cli::rmi::lines(deleted)),
    }
}

/// The earliest of some moments or durations.
pub(crate) fn moment(context: &Context, values: &[String]) -> Result<Option<u64>> {
    let now = berth_sys::clock::realtime();
    let zone = berth_host::zone::local(context.environment.text("TZ"));
    let moments = values.iter().map(|text| parse_moment(text, now, &zone));
    Ok(moments.collect::<Result<Vec<_>>>()?.into_iter().min())
}
