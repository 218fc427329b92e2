//! What several verbs have in common: naming containers, and going on after a failure.

use std::path::PathBuf;

use berth_contract::{Class, ContainerId, Error, Result};
use berth_host::Engine;

use super::request::read_text;
use super::{Context, Outcome};

/// Containers named one by one, in files, or all at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Targets {
    /// The containers, by name, by id, or by the beginning of an id
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// Take every container that is in a state for it
    #[arg(short, long)]
    all: bool,

    /// Read a container's id from this file (can be repeated)
    #[arg(long, value_name = "FILE")]
    cidfile: Vec<PathBuf>,

    /// Do not mind containers that do not exist
    #[arg(short, long)]
    ignore: bool,
}

impl Targets {
    /// The names that were given; with `--all`, the ids of the containers whose state is one of
    /// `states`.
    ///
    /// # Errors
    /// None was given, or a file cannot be read.
    pub(crate) fn names(
        &self,
        verb: &str,
        engine: &Engine,
        states: &[&str],
    ) -> Result<Vec<String>> {
        let mut names = self.containers.clone();
        for path in &self.cidfile {
            names.push(read_text("--cidfile", path)?.trim().to_owned());
        }
        if self.all {
            if !names.is_empty() {
                return Err(
                    Error::new(Class::Invalid, "--all and names cannot be used together")
                        .hint("leave --all or the names away"),
                );
            }
            return of_states(engine, states);
        }
        if names.is_empty() {
            return Err(needs_container(verb));
        }
        Ok(names)
    }

    /// Whether a container that does not exist is no failure.
    pub(crate) fn ignores_missing(&self) -> bool {
        self.ignore
    }
}

/// The ids of the containers whose state is one of `states`; of all containers when it is empty.
///
/// # Errors
/// The containers cannot be listed.
pub(crate) fn of_states(engine: &Engine, states: &[&str]) -> Result<Vec<String>> {
    let containers = engine.list()?.containers.into_iter();
    let chosen = containers
        .filter(|container| states.is_empty() || states.contains(&container.state.as_str()));
    Ok(chosen.map(|container| container.id).collect())
}

/// The failure of a verb that was given no container.
pub(crate) fn needs_container(verb: &str) -> Error {
    Error::new(Class::Invalid, format!("berth {verb} needs a container"))
        .hint(format!(
            "usage: berth {verb} [OPTIONS] CONTAINER [CONTAINER...]"
        ))
        .hint("berth ps -a lists the containers")
}

/// Acts on each container and says its name when it is done; goes on after a failure and ends with 1.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn each(
    context: &Context,
    engine: &Engine,
    names: &[String],
    mut act: impl FnMut(&ContainerId) -> Result<()>,
) -> Outcome {
    let mut status = 0;
    for name in names {
        match engine.find(name).and_then(|id| act(&id)) {
            Ok(()) => context.screen.data(&format!("{name}\n"))?,
            Err(error) => {
                context.screen.fail(&error);
                status = 1;
            }
        }
    }
    Ok(status)
}

/// As [`each`], except that containers that do not exist are passed over without a word.
///
/// # Errors
/// As for [`each`].
pub(crate) fn each_existing(
    context: &Context,
    engine: &Engine,
    names: Vec<String>,
    act: impl FnMut(&ContainerId) -> Result<()>,
) -> Outcome {
    let exists = |name: &String| match engine.find(name) {
        Err(error) => error.class() != Class::NotFound,
        Ok(_) => true,
    };
    let names: Vec<String> = names.into_iter().filter(exists).collect();
    each(context, engine, &names, act)
}

/// Warns, asks, and says whether the answer is yes; without a terminal there is nobody to ask.
///
/// # Errors
/// Standard input is no terminal, or cannot be read.
pub(crate) fn confirm(context: &Context, warning: &str) -> Result<bool> {
    if !berth_sys::terminal::is_terminal(std::io::stdin()) {
        return Err(Error::new(Class::Invalid, "nobody is there to confirm")
            .caused_by("standard input is not a terminal")
            .hint("add --force"));
    }
    context.warn(warning);
    context.screen.ask("Continue? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| {
        Error::new(Class::Unavailable, "cannot read the answer").caused_by(error)
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}
