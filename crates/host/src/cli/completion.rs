//! `berth completion`: completions for shells, and the man pages, both from the tree of verbs.

use std::path::PathBuf;

use berth_contract::{Class, Error};
use clap_complete::Shell;

use super::{Arguments, Context, Group, Outcome, VERBS, Verb, help};

pub(crate) const VERB: Verb = Verb::new::<Completion>(
    "completion",
    Group::System,
    "Print the completions for a shell",
    "bash|zsh|fish",
)
.examples("berth completion bash > /etc/bash_completion.d/berth");

/// `berth __man DIR`, for `cargo xtask man` and packagers.
pub(crate) const MAN: Verb = Verb::new::<Man>("__man", Group::Hidden, "Write the man pages", "DIR");

/// The shells whose completions are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Known {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// The argument of `completion`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_name = "bash|zsh|fish", required = true)]
    shell: Known,
}

impl Arguments for Completion {
    fn run(self, context: &Context) -> Outcome {
        let shell = match self.shell {
            Known::Bash => Shell::Bash,
            Known::Zsh => Shell::Zsh,
            Known::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut help::tree(VERBS), "berth", &mut script);
        context.screen.bytes(&script)?;
        Ok(0)
    }
}

/// The argument of `__man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Where the pages are written
    #[arg(value_name = "DIR", required = true)]
    directory: PathBuf,
}

impl Arguments for Man {
    fn run(self, _context: &Context) -> Outcome {
        let failed = |error: std::io::Error| {
            let message = format!("cannot write man pages into {}", self.directory.display());
            Error::new(Class::Internal, message).caused_by(error)
        };
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        clap_mangen::generate_to(help::tree(VERBS), &self.directory).map_err(failed)?;
        Ok(0)
    }
}
