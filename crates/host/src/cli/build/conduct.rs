//! The flags about how a build goes on: what is shown, how much at once, and what a failure leads to.

use std::io;

use berth_contract::{Class, Error, Result};
use berth_host::build::OnFailure;
use berth_sys::terminal::is_terminal;

use super::progress::Style;
use crate::cli::{Environment, Screen};

/// How a build goes on.
#[derive(Debug, clap::Args)]
pub(super) struct ConductFlags {
    /// Print the image's id alone
    #[arg(short, long)]
    quiet: bool,

    /// How to show the progress; the variable `BUILDKIT_PROGRESS` does the same
    #[arg(long, value_name = "STYLE", value_enum)]
    progress: Option<Style>,

    /// So many steps at once at most; 0 for any number
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    jobs: usize,

    /// What a failing command leads to: end, or a shell where it failed before that
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    on_failure: Wish,
}

/// What a failing command leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Wish {
    /// The build ends
    #[default]
    End,
    /// A shell is opened first
    Shell,
}

/// How a build goes on, once that is settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conduct {
    pub(super) style: Style,
    pub(super) jobs: usize,
    pub(super) on_failure: OnFailure,
}

impl ConductFlags {
    /// What the flags come to on this screen.
    ///
    /// # Errors
    /// A terminal is needed that is not there.
    pub(super) fn settled(&self, screen: Screen, environment: &Environment) -> Result<Conduct> {
        let on_failure = match self.on_failure {
            Wish::End => OnFailure::End,
            Wish::Shell => {
                if !is_terminal(io::stdin()) || !is_terminal(io::stdout()) {
                    let message = "cannot open a shell when a command fails";
                    return Err(Error::new(Class::Invalid, message)
                        .caused_by("standard input and output must be a terminal for it"));
                }
                OnFailure::Shell
            }
        };
        Ok(Conduct {
            style: self.style(screen, environment)?,
            jobs: self.jobs,
            on_failure,
        })
    }

    fn style(&self, screen: Screen, environment: &Environment) -> Result<Style> {
        if self.quiet {
            return Ok(Style::Quiet);
        }
        let named = environment.text("BUILDKIT_PROGRESS");
        // Docker, too, takes no notice of what it does not know there.
        let named = named.and_then(|name| clap::ValueEnum::from_str(name, true).ok());
        match self.progress.or(named).unwrap_or_default() {
            Style::Auto if screen.redraws() => Ok(Style::Tty),
            Style::Auto => Ok(Style::Plain),
            Style::Tty if !screen.talks_to_terminal() => {
                let message = "cannot show the progress as on a terminal";
                Err(Error::new(Class::Invalid, message)
                    .caused_by("standard error is none")
                    .hint("leave --progress away, or use --progress plain"))
            }
            style => Ok(style),
        }
    }
}
