//! `berth ps`: which containers there are.

mod order;
mod row;
mod select;

use berth_contract::Result;
use berth_host::Engine;
use berth_host::api::types::ContainerSummary;

use self::order::Order;
pub(crate) use self::row::short_id;
use self::row::{COLUMNS, Shown, record};
pub(crate) use self::select::Selection;
use super::listing::Table;
use super::{Arguments, Context, Group, Outcome, Verb};

const TABLE: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

pub(crate) const VERB: Verb = Verb::new::<Ps>("ps", Group::Run, "List containers", "[OPTIONS]")
    .aliases(&["ls", "list"])
    .examples(
        "berth ps -a\n\
         berth ps -q --filter status=exited\n\
         berth ps --format '{{.Names}}: {{.Status}}'",
    );

/// The flags of `ps`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's flags")]
pub(crate) struct Ps {
    /// Show all containers, not just running ones
    #[arg(short, long)]
    all: bool,
    /// Show only containers that match: id, name, label, status, exited, ancestor, before, since,
    /// volume, network, publish, expose, health (can be repeated)
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    #[command(flatten)]
    table: Table,
    /// Show the last NUMBER created containers, whatever their state
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value = "-1",
        hide_default_value = true
    )]
    last: i64,
    /// Show the latest created container, whatever its state
    #[arg(short, long)]
    latest: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Show how much the containers occupy
    #[arg(short, long)]
    size: bool,
    /// Show them in the order of this, in place of the newest first
    #[arg(long, value_name = "KEY")]
    sort: Option<Order>,
}

impl Arguments for Ps {
    fn run(self, context: &Context) -> Outcome {
        let selection = Selection::parse(&self.filter)?;
        let standard = if self.size {
            format!("{TABLE}\t{{{{.Size}}}}")
        } else {
            TABLE.to_owned()
        };
        let layout = self.table.layout_or_key(self.quiet, "{{.ID}}", &standard)?;
        let engine = context.engine()?;
        let listing = engine.list()?;
        for damage in &listing.damaged {
            context.screen.fail(damage);
        }
        let last = if self.latest { 1 } else { self.last };
        let everything = self.all || last > 0 || selection.implies_all();
        let chosen = selection.choose(&engine, &listing.containers, everything)?;
        let limit = usize::try_from(last)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX);
        let mut chosen: Vec<ContainerSummary> = chosen.into_iter().take(limit).cloned().collect();
        let by_size = matches!(self.sort, Some(Order::Size));
        if self.size || by_size || self.table.text().contains(".Size") {
            measure(&engine, &mut chosen)?;
        }
        if let Some(order) = self.sort {
            order.sort(&mut chosen);
        }
        let shown = Shown {
            truncated: !self.no_trunc,
            now: berth_sys::clock::realtime(),
            zone: berth_host::zone::local(context.environment.text("TZ")),
        };
        let rows = chosen.iter().map(|summary| record(summary, &shown));
        let text = layout.render(&COLUMNS, rows)?;
        context.screen.data(&text)?;
        Ok(u8::from(!listing.damaged.is_empty()))
    }
}

/// Fills in how much each container occupies.
fn measure(engine: &Engine, containers: &mut [ContainerSummary]) -> Result<()> {
    for summary in containers {
        let inspected = engine.inspect(&summary.id.parse()?, true)?;
        summary.size_rw = inspected.size_rw;
        summary.size_root_fs = inspected.size_root_fs;
    }
    Ok(())
}
