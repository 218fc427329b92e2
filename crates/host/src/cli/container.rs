//! `berth container …`: the same verbs as a family, and those that exist only here.

use berth_contract::Result;
use berth_host::Engine;
use berth_host::api::types::ContainerSummary;
use berth_host::format::{Filters, human, time};

use super::listing::exists;
use super::shared::confirm;
use super::{
    Arguments, Context, Group, Outcome, Verb, attach, create, exec, inspect, kill, logs, mount,
    pause, port, ps, rename, restart, rm, run, start, stop, top, unpause, wait,
};

pub(crate) const VERB: Verb =
    Verb::family("container", Group::Run, "Manage containers", VERBS).aliases(&["containers"]);

const VERBS: &[Verb] = &[
    run::VERB,
    create::VERB,
    start::VERB,
    stop::VERB,
    restart::VERB,
    kill::VERB,
    pause::VERB,
    unpause::VERB,
    attach::VERB,
    exec::VERB,
    wait::VERB,
    logs::VERB,
    ps::VERB.named("ls").aliases(&["list", "ps"]),
    inspect::CONTAINER,
    top::VERB,
    port::VERB,
    rename::VERB,
    rm::VERB,
    EXISTS,
    mount::MOUNT,
    mount::UNMOUNT,
    PRUNE,
];

const EXISTS: Verb = Verb::new::<Exists>(
    "exists",
    Group::Run,
    "Tell by the exit code whether a container exists",
    "CONTAINER",
)
.examples("berth container exists web && berth stop web");

/// The arguments of `container exists`.
#[derive(Debug, clap::Args)]
pub(crate) struct Exists {
    /// The container
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
}

impl Arguments for Exists {
    fn run(self, context: &Context) -> Outcome {
        exists(context.engine()?.find(&self.container))
    }
}

const PRUNE: Verb = Verb::new::<Prune>(
    "prune",
    Group::Run,
    "Remove all containers that do not run",
    "[OPTIONS]",
)
.examples("berth container prune -f\nberth container prune --filter until=24h");

/// The arguments of `container prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Do not ask first
    #[arg(short, long)]
    force: bool,

    /// Only those with until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE] (can be repeated)
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

impl Arguments for Prune {
    fn run(self, context: &Context) -> Outcome {
        let filters = Filters::parse(&self.filter, &["until", "label", "label!"])?;
        let until = until(context, &filters)?;
        let question = "All containers that do not run will be removed.";
        if !self.force && !confirm(context, question)? {
            return Ok(1);
        }
        prune(context, &context.engine()?, &filters, until)
    }
}

fn prune(context: &Context, engine: &Engine, filters: &Filters, until: Option<i64>) -> Outcome {
    let chosen = |container: &ContainerSummary| {
        filters.matches_labels(&container.labels)
            && until.is_none_or(|until| container.created < until)
    };
    let report = engine.prune(&chosen)?;
    let mut text = String::new();
    if !report.deleted.is_empty() {
        text.push_str("Deleted Containers:\n");
        for id in &report.deleted {
            text.push_str(id);
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(&format!(
        "Total reclaimed space: {}\n",
        human::size(report.space_reclaimed)
    ));
    context.screen.data(&text)?;
    Ok(0)
}

/// The moment of `until=…` in seconds since the Unix epoch.
fn until(context: &Context, filters: &Filters) -> Result<Option<i64>> {
    let Some(text) = filters.values("until").last() else {
        return Ok(None);
    };
    let zone = berth_host::zone::local(context.environment.text("TZ"));
    let moment = time::parse_moment(text, berth_sys::clock::realtime(), &zone)?;
    Ok(Some(
        i64::try_from(moment / 1_000_000_000).unwrap_or(i64::MAX),
    ))
}
