//! `berth top`: a container's processes.

use berth_host::format::table;

use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Top>(
    "top",
    Group::Run,
    "List a container's processes",
    "CONTAINER [ps OPTIONS]",
)
.examples(
    "berth top web\n\
     berth top web aux\n\
     berth top web -o pid,user,args",
);

/// The arguments of `top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    name: String,
    /// Options of ps that choose the columns
    #[arg(
        value_name = "ps OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    options: Vec<String>,
}

impl Arguments for Top {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let id = engine.find(&self.name)?;
        let top = engine.top(&id, &self.options)?;
        let mut text = top.titles.join("\t") + "\n";
        for process in &top.processes {
            // A tab within an argument would begin a new column.
            let cells: Vec<String> = process
                .iter()
                .map(|cell| super::failure::escape(&cell.replace('\t', " ")))
                .collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        context.screen.data(&table::align_with(&text, 20, 3))?;
        Ok(0)
    }
}
