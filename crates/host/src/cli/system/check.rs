//! `berth system check`: looks for what is missing or damaged.

use berth_image::CheckOptions;

use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Check>(
    "check",
    Group::System,
    "Look for images, containers and names that are damaged or left over",
    "[OPTIONS]",
)
.examples("berth system check\nberth system check --repair")
.refusing(&[
    (
        "--force",
        "nothing is removed that can be fetched or unpacked again; use --repair",
    ),
    (
        "--max",
        "what nothing leads to is removed whatever its age; use --repair",
    ),
]);

/// The flags of `system check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Do not read every byte of every blob
    #[arg(short, long)]
    quick: bool,
    /// Put right what can be, and remove what is left over
    #[arg(short, long)]
    repair: bool,
}

impl Arguments for Check {
    fn run(self, context: &Context) -> Outcome {
        let findings = context.engine()?.check(CheckOptions {
            quick: self.quick,
            repair: self.repair,
        })?;
        let mut open = 0;
        for finding in &findings {
            match finding.repaired {
                Some(repair) => {
                    let text = format!("{}: {repair}\n", finding.problem);
                    context.screen.data(&text)?;
                }
                None => {
                    context.screen.fail(&finding.problem);
                    open += 1;
                }
            }
        }
        if open == 0 {
            context.screen.say("everything is as it should be");
        }
        Ok(u8::from(open > 0))
    }
}
