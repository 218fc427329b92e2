//! What several verbs have in common: naming containers, and going on after a failure.

use std::path::{Path, PathBuf};

use berth_contract::{Class, ContainerId, Error, Result};
use berth_host::Engine;
use berth_host::api::types::ContainerSummary;

use super::ps::Selection;
use super::request::read_text;
use super::{Context, Outcome};

/// The states of containers that run, frozen or waiting to be started again.
pub(crate) const LIVE: &[&str] = &["running", "paused", "restarting"];

/// Containers named one by one, in files, or all at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Targets {
    /// The containers, by name, by id, or by the beginning of an id
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// Take every container that is in a state for it
    #[arg(short, long)]
    all: bool,

    /// Take the containers that match, as berth ps has it (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// Read a container's id from this file (can be repeated)
    #[arg(long, value_name = "FILE")]
    cidfile: Vec<PathBuf>,

    /// Do not mind containers that do not exist
    #[arg(short, long)]
    ignore: bool,
}

impl Targets {
    /// The names that were given; with `--all` and `--filter`, the ids of the containers that match and
    /// whose state is one of `states`.
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
            names.push(id_in("--cidfile", path)?);
        }
        if self.all || !self.filter.is_empty() {
            return chosen(engine, self.all, &self.filter, &names, states);
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

/// The id that a file holds.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn id_in(flag: &str, path: &Path) -> Result<String> {
    Ok(read_text(flag, path)?.trim().to_owned())
}

/// The ids of the containers that `--all` or `--filter` means, beside which nothing may be named.
///
/// # Errors
/// Containers are named as well, or a filter is none.
pub(crate) fn chosen(
    engine: &Engine,
    all: bool,
    filter: &[String],
    names: &[String],
    states: &[&str],
) -> Result<Vec<String>> {
    if !names.is_empty() {
        let flag = if all { "--all" } else { "--filter" };
        return Err(Error::new(
            Class::Invalid,
            format!("{flag} and names cannot be used together"),
        )
        .hint(format!("leave {flag} or the names away")));
    }
    of_states(engine, &Selection::parse(filter)?, states)
}

/// The ids of the selected containers whose state is one of `states`, or of all of them when that is
/// empty.
///
/// # Errors
/// The containers cannot be listed, or the selection names one that does not exist.
pub(crate) fn of_states(
    engine: &Engine,
    selection: &Selection,
    states: &[&str],
) -> Result<Vec<String>> {
    let listing = engine.list()?;
    let selected = selection.choose(engine, &listing.containers, true)?;
    let fits = |container: &&ContainerSummary| {
        states.is_empty() || states.contains(&container.state.as_str())
    };
    Ok(selected
        .into_iter()
        .filter(fits)
        .map(|container| container.id.clone())
        .collect())
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
