//! `berth builder …` and `berth buildx …`: the build cache, and the words that editors and scripts use.

use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_host::build::{CacheEntry, CachePruning};
use berth_host::format::time::parse_moment;
use berth_host::format::{Filters, human};
use berth_image::Platform;

use super::parse::size;
use super::shared::{confirm, write_archive};
use super::{Arguments, Context, Group, Outcome, Verb, build, imagetools};

pub(crate) const VERB: Verb =
    Verb::family("builder", Group::Images, "Manage the build cache", VERBS);

const VERBS: &[Verb] = &[build::VERB, DU, EXPORT, PRUNE];

/// What tools made for Docker call it.
pub(crate) const BUILDX: Verb = Verb::family(
    "buildx",
    Group::Hidden,
    "Build as with Docker's buildx",
    BUILDX_VERBS,
);

const BUILDX_VERBS: &[Verb] = &[
    build::VERB,
    VERSION,
    INSPECT,
    LS,
    DU,
    PRUNE,
    imagetools::VERB,
];

const DU: Verb = Verb::new::<Du>(
    "du",
    Group::Images,
    "Print what the build cache takes",
    "[OPTIONS]",
)
.examples("berth builder du");

const EXPORT: Verb = Verb::new::<Export>(
    "export",
    Group::Images,
    "Write a cache mount's files as a tar",
    "[OPTIONS] MOUNT",
)
.examples(
    "berth builder du --filter type=exec.cachemount --verbose\n\
     berth builder export -o pip.tar /root/.cache/pip",
);

const PRUNE: Verb =
    Verb::new::<Prune>("prune", Group::Images, "Empty the build cache", "[OPTIONS]")
        .examples("berth builder prune\nberth builder prune -af --filter until=72h")
        .refusing(&[(
            "--min-free-space",
            "use --reserved-space to say how much may stay",
        )]);

const VERSION: Verb =
    Verb::new::<Version>("version", Group::Images, "Print the builder's version", "");
const INSPECT: Verb = Verb::new::<Inspect>(
    "inspect",
    Group::Images,
    "Print what the builder can do",
    "[NAME]",
);
const LS: Verb =
    Verb::new::<Ls>("ls", Group::Images, "List the builders: there is one", "").aliases(&["list"]);

/// The keys of `--filter`.
const KEYS: [&str; 4] = ["until", "id", "type", "description"];

/// The flags of `builder du`.
#[derive(Debug, clap::Args)]
pub(crate) struct Du {
    /// Print only what matches: until, id, type, description (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print what made each entry too
    #[arg(long)]
    verbose: bool,
}

impl Arguments for Du {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let chosen = chosen(context, &self.filter)?;
        let now = berth_sys::clock::realtime();
        let mut text = String::from("ID            RECLAIMABLE   SIZE       LAST ACCESSED\n");
        let (mut total, mut shared, mut in_use) = (0, 0, 0);
        for entry in engine.build_cache()?.iter().filter(|entry| chosen(entry)) {
            total += entry.size;
            shared += if entry.shared { entry.size } else { 0 };
            in_use += if entry.in_use { entry.size } else { 0 };
            let id: String = entry.id.chars().take(12).collect();
            text.push_str(&format!(
                "{id:<13} {:<13} {:<10} {}\n",
                !entry.in_use,
                human::size(entry.size),
                human::ago(entry.used, now)
            ));
            if self.verbose {
                text.push_str(&format!("  {}: {}\n", entry.kind, entry.description));
            }
        }
        text.push_str(&format!(
            "Shared:       {}\nReclaimable:  {}\nTotal:        {}\n",
            human::size(shared),
            human::size(total - in_use),
            human::size(total)
        ));
        context.screen.data(&text)?;
        Ok(0)
    }
}

/// The arguments of `builder export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Write to this file in place of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The cache mount: its id (its target where it has none), or the beginning of what du calls it
    #[arg(value_name = "MOUNT", required = true, hide = true)]
    mount: String,
}

impl Arguments for Export {
    fn run(self, context: &Context) -> Outcome {
        // Found before a file is made for nothing.
        let mount = context.engine()?.cache_mount(&self.mount)?;
        let hint = "berth builder export -o FILE MOUNT";
        write_archive(self.output.as_deref(), hint, |sink| mount.export(sink))?;
        Ok(0)
    }
}

/// The flags of `builder prune`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Prune {
    /// Take out everything, not just what no image has
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Take out only what matches: until, id, type, description (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Keep so much of what was used last, as in 10g
    #[arg(long, value_name = "BYTES", value_parser = size::bytes, visible_aliases = ["keep-storage", "max-used-space"])]
    reserved_space: Option<i64>,
    /// Print what made each entry too
    #[arg(long)]
    verbose: bool,
}

impl Arguments for Prune {
    fn run(self, context: &Context) -> Outcome {
        let chosen = chosen(context, &self.filter)?;
        let question = if self.all {
            "This will remove all build cache."
        } else {
            "This will remove all build cache that no image has."
        };
        if !self.force && !confirm(context, question)? {
            return Ok(0);
        }
        let engine = context.engine()?;
        let (removed, reclaimed) = engine.prune_build_cache(&CachePruning {
            all: self.all,
            chosen: &chosen,
            keep: self
                .reserved_space
                .map(|keep| u64::try_from(keep).unwrap_or(0)),
        })?;
        engine.empty_trash_later();
        let mut text = String::new();
        for entry in &removed {
            text.push_str(&entry.id);
            if self.verbose {
                text.push_str(&format!("  {}", entry.description));
            }
            text.push('\n');
        }
        text.push_str(&format!("Total:  {}\n", human::size(reclaimed)));
        context.screen.data(&text)?;
        Ok(0)
    }
}

fn chosen(context: &Context, texts: &[String]) -> Result<impl Fn(&CacheEntry) -> bool> {
    let filters = Filters::parse(texts, &KEYS)?;
    let now = berth_sys::clock::realtime();
    let zone = berth_host::zone::local(context.environment.text("TZ"));
    let moments = filters.values("until").iter();
    let until = moments
        .map(|text| parse_moment(text, now, &zone))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .min()
        .unwrap_or(u64::MAX);
    Ok(move |entry: &CacheEntry| {
        entry.used <= until
            && filters.any("id", |id| entry.id.starts_with(id))
            && filters.any("type", |kind| entry.kind == kind)
            && filters.any("description", |text| entry.description.contains(text))
    })
}

/// `buildx version` takes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Version {}

impl Arguments for Version {
    fn run(self, context: &Context) -> Outcome {
        // Tools read a version of buildx out of the second word (devcontainers asks for 0.8 or later).
        let own = env!("CARGO_PKG_VERSION");
        context
            .screen
            .data(&format!("berth/buildx v0.30.0 berth-{own}\n"))?;
        Ok(0)
    }
}

/// The arguments of `buildx inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The builder
    #[arg(value_name = "NAME", hide = true)]
    name: Option<String>,
    /// For scripts: the builder is always there
    #[arg(long)]
    bootstrap: bool,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        if let Some(name) = self.name.filter(|name| name != "default") {
            return Err(
                Error::new(Class::NotFound, format!("no builder {name:?} found"))
                    .hint("there is one builder, default"),
            );
        }
        context.screen.data(&format!(
            "Name:          default\nDriver:        berth\n\nNodes:\nName:             default\nEndpoint:         default\n\
             Status:           running\nBuildKit version: v{}\nPlatforms:        {}, wasi/wasm\n",
            env!("CARGO_PKG_VERSION"),
            Platform::host()
        ))?;
        Ok(0)
    }
}

/// `buildx ls` takes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {}

impl Arguments for Ls {
    fn run(self, context: &Context) -> Outcome {
        context.screen.data(&format!(
            "NAME/NODE     DRIVER/ENDPOINT   STATUS    BUILDKIT   PLATFORMS\ndefault*      berth\n \\_ default   \\_ default        running   v{:<7}   {}, wasi/wasm\n",
            env!("CARGO_PKG_VERSION"),
            Platform::host()
        ))?;
        Ok(0)
    }
}
