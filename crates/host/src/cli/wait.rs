//! `berth wait`: waits for containers to end and prints their exit codes.

use std::path::PathBuf;

use berth_contract::Class;
use berth_host::engine::WaitFor;

use super::shared::{answer_each, id_in};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Wait>(
    "wait",
    Group::Run,
    "Wait for containers to end and print their exit codes",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.examples("berth wait job\nberth wait --condition removed job");

/// The arguments of `wait`.
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// What to wait for: not-running, next-exit, removed
    #[arg(long, value_name = "WHAT", value_parser = condition, default_value = "not-running")]
    condition: WaitFor,

    /// Read a container's id from this file (can be repeated)
    #[arg(long, value_name = "FILE")]
    cidfile: Vec<PathBuf>,

    /// Do not mind containers that do not exist
    #[arg(short, long)]
    ignore: bool,

    /// The containers
    #[arg(
        value_name = "CONTAINER",
        required_unless_present = "cidfile",
        hide = true
    )]
    containers: Vec<String>,
}

impl Arguments for Wait {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let mut names = self.containers;
        for path in &self.cidfile {
            names.push(id_in("--cidfile", path)?);
        }
        answer_each(context, &names, |name| {
            let exit = engine
                .find(name)
                .and_then(|id| engine.wait(&id, self.condition));
            match exit {
                // Podman's answer for a container that is not there.
                Err(error) if self.ignore && error.class() == Class::NotFound => {
                    Ok(Some("-1".to_owned()))
                }
                exit => exit.map(|exit| Some(exit.status().to_string())),
            }
        })
    }
}

fn condition(text: &str) -> Result<WaitFor, String> {
    match text {
        "not-running" | "stopped" | "exited" => Ok(WaitFor::NotRunning),
        "next-exit" => Ok(WaitFor::NextExit),
        "removed" => Ok(WaitFor::Removed),
        _ => Err("it must be not-running, next-exit or removed".into()),
    }
}
