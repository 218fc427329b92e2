//! `berth artifact ls`: which artifacts there are.

use berth_host::format::time::go_time;
use berth_host::format::{Column, Record, human};
use berth_image::{Artifact, Reference};
use serde_json::json;

use crate::cli::failure::escape;
use crate::cli::listing::Table;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<List>("ls", Group::Images, "List artifacts", "[OPTIONS]")
    .aliases(&["list"])
    .examples("berth artifact ls\nberth artifact ls --format '{{.Repository}}:{{.Tag}} {{.Type}}'");

const TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.Created}}\t{{.Size}}";
const COLUMNS: [Column; 8] = [
    Column::new("Created", "CREATED"),
    Column::new("CreatedAt", "CREATED AT"),
    Column::new("Digest", "DIGEST"),
    Column::new("Repository", "REPOSITORY"),
    Column::new("Size", "SIZE"),
    Column::new("SizeBytes", "SIZE"),
    Column::new("Tag", "TAG"),
    Column::new("Type", "TYPE"),
];

/// The flags of `artifact ls`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Podman's flags")]
pub(crate) struct List {
    #[command(flatten)]
    table: Table,
    /// Print no titles
    #[arg(short, long)]
    noheading: bool,
    /// Do not shorten digests
    #[arg(long)]
    no_trunc: bool,
    /// Print digests alone
    #[arg(short, long)]
    quiet: bool,
}

impl Arguments for List {
    fn run(self, context: &Context) -> Outcome {
        let layout = self.table.layout_or_key(self.quiet, "{{.Digest}}", TABLE)?;
        let listing = context.engine()?.artifacts()?;
        let zone = berth_host::zone::local(context.environment.text("TZ"));
        let mut rows = Vec::new();
        for artifact in &listing.artifacts {
            let all = artifact.names.iter();
            // With digests alone, one with several names is one digest.
            for name in all.take(if self.quiet { 1 } else { usize::MAX }) {
                rows.push(row(artifact, name, (&zone, self.no_trunc)));
            }
        }
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

fn row(
    artifact: &Artifact,
    name: &Reference,
    (zone, whole): (&jiff::tz::TimeZone, bool),
) -> Record {
    let created = artifact
        .created()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let since = created.and_then(|created| u64::try_from(created.as_nanosecond()).ok());
    let now = berth_sys::clock::realtime();
    let digest = &artifact.digest;
    let config = &artifact.manifest.config.media_type;
    Record::new(json!({
        "Created": since.map_or_else(|| "N/A".to_owned(), |created| human::ago(created, now)),
        "CreatedAt": created.map_or_else(|| "N/A".to_owned(), |at| go_time(at.as_second(), zone)),
        "Digest": if whole { digest.hex() } else { digest.short() },
        "Repository": name.familiar_name(),
        "Size": human::size(artifact.size()),
        "SizeBytes": artifact.size(),
        "Tag": name.tag().unwrap_or("<none>"),
        "Type": escape(artifact.manifest.artifact_type.as_ref().unwrap_or(config)),
    }))
}
