//! `berth history`: how an image was made.

use berth_host::format::time::rfc3339;
use berth_host::format::{Column, Record, human};
use serde_json::{Map, Value};

use crate::cli::listing::Table;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

const TABLE: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const TABLE_WITH_TIMES: &str = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

pub(crate) const VERB: Verb = Verb::new::<History>(
    "history",
    Group::Images,
    "Print how an image was made",
    "[OPTIONS] IMAGE",
);

const COLUMNS: [Column; 6] = [
    Column::new("Comment", "COMMENT"),
    Column::new("CreatedAt", "CREATED AT"),
    Column::new("CreatedBy", "CREATED BY"),
    Column::new("CreatedSince", "CREATED"),
    Column::new("ID", "IMAGE"),
    Column::new("Size", "SIZE"),
];

/// The flags of `history`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's flags")]
pub(crate) struct History {
    /// The image, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    name: String,
    #[command(flatten)]
    table: Table,
    /// Print sizes and times for people (false: bytes and dates)
    #[arg(short = 'H', long, action = clap::ArgAction::SetFalse)]
    human: bool,
    /// Do not shorten ids and instructions
    #[arg(long)]
    no_trunc: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Look at the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
}

impl Arguments for History {
    fn run(self, context: &Context) -> Outcome {
        let standard = if self.human { TABLE } else { TABLE_WITH_TIMES };
        let layout = self.table.layout_or_key(self.quiet, "{{.ID}}", standard)?;
        let now = berth_sys::clock::realtime();
        let steps = context
            .engine()?
            .history(&self.name, self.platform.as_deref())?;
        let rows = steps.iter().map(|step| {
            let id = step.id.strip_prefix("sha256:").unwrap_or(&step.id);
            let created = u64::try_from(step.created)
                .unwrap_or(0)
                .saturating_mul(1_000_000_000);
            let size = u64::try_from(step.size).unwrap_or(0);
            let by = step.created_by.replace(['\t', '\n'], " ");
            let value = |column: &Column| -> Value {
                match column.field {
                    "Comment" => step.comment.as_str().into(),
                    "CreatedAt" => rfc3339(created).replace(".000000000", "").into(),
                    "CreatedBy" if self.no_trunc => by.as_str().into(),
                    "CreatedBy" => human::ellipsis(&by, 45).into(),
                    "CreatedSince" if created == 0 => "N/A".into(),
                    "CreatedSince" => human::ago(created, now).into(),
                    "ID" if self.no_trunc => step.id.as_str().into(),
                    "ID" if id.starts_with('<') => id.into(),
                    "ID" => id.get(..12).unwrap_or(id).into(),
                    _ if self.human => human::size(size).into(),
                    _ => size.to_string().into(),
                }
            };
            let fields: Map<String, Value> = COLUMNS
                .iter()
                .map(|column| (column.field.to_owned(), value(column)))
                .collect();
            Record::new(Value::Object(fields))
        });
        context.screen.data(&layout.render(&COLUMNS, rows)?)?;
        Ok(0)
    }
}
