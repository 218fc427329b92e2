//! What several verbs have in common: naming containers, and going on after a failure.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use berth_contract::{Class, ContainerId, Error, Result};
use berth_host::Engine;
use berth_host::api::types::ContainerSummary;
use berth_sys::error::Explain as _;

use super::ps::Selection;
use super::request::read_text;
use super::{Context, Outcome};

/// So many containers are waited for at the same time, as in Docker.
const AT_ONCE: usize = 50;

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
    fn names(&self, verb: &str, engine: &Engine, states: &[&str]) -> Result<Vec<String>> {
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

    /// As [`Targets::names`], without those that do not exist when they are to be passed over.
    ///
    /// # Errors
    /// As for [`Targets::names`].
    pub(crate) fn chosen(
        &self,
        verb: &str,
        engine: &Engine,
        states: &[&str],
    ) -> Result<Vec<String>> {
        let mut names = self.names(verb, engine, states)?;
        if self.ignore {
            retain_existing(engine, &mut names);
        }
        Ok(names)
    }
}

/// Passes over the names that no container has.
pub(crate) fn retain_existing(engine: &Engine, names: &mut Vec<String>) {
    names.retain(|name| match engine.find(name) {
        Err(error) => error.class() != Class::NotFound,
        Ok(_) => true,
    });
}

/// The id that a file holds.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn id_in(flag: &str, path: &Path) -> Result<String> {
    Ok(read_text(flag, path)?.trim().to_owned())
}

/// What is named one by one or, with `--all`, everything there is.
///
/// # Errors
/// Neither or both were said; what there is cannot be listed.
pub(crate) fn named_or_all(
    (verb, noun): (&str, &str),
    names: Vec<String>,
    all: bool,
    every: impl FnOnce() -> Result<Vec<String>>,
) -> Result<Vec<String>> {
    match (all, names.is_empty()) {
        (true, true) => every(),
        (true, false) => Err(beside_names("--all")),
        (false, true) => Err(
            Error::new(Class::Invalid, format!("berth {verb} needs {noun}"))
                .hint(format!("usage: berth {verb} [OPTIONS] {noun} [{noun}...]")),
        ),
        (false, false) => Ok(names),
    }
}

fn beside_names(flag: &str) -> Error {
    let sentence = format!("{flag} and names cannot be used together");
    Error::new(Class::Invalid, sentence).hint(format!("leave {flag} or the names away"))
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
        return Err(beside_names(if all { "--all" } else { "--filter" }));
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

/// Acts on each container in turn and says its name when it is done; goes on after a failure and ends
/// with 1.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn each(
    context: &Context,
    engine: &Engine,
    names: &[String],
    mut act: impl FnMut(&ContainerId) -> Result<()>,
) -> Outcome {
    answer_each(context, names, |name| {
        let id = engine.find(name)?;
        act(&id).map(|()| Some(name.to_owned()))
    })
}

/// Prints the answer for each name, if there is one; goes on after a failure and ends with 1.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn answer_each(
    context: &Context,
    names: &[String],
    mut answer: impl FnMut(&str) -> Result<Option<String>>,
) -> Outcome {
    let mut status = 0;
    for name in names {
        match answer(name) {
            Ok(Some(line)) => context.screen.data(&format!("{line}\n"))?,
            Ok(None) => {}
            Err(error) => {
                context.screen.fail(&error);
                status = 1;
            }
        }
    }
    Ok(status)
}

/// As [`each`], on many containers at once: who waits for one that ends slowly need not wait for the next.
///
/// # Errors
/// As for [`each`].
pub(crate) fn each_at_once(
    context: &Context,
    engine: &Engine,
    names: &[String],
    act: impl Fn(&ContainerId) -> Result<()> + Sync,
) -> Outcome {
    let one = |name: &String| engine.find(name).and_then(|id| act(&id));
    if let [name] = names {
        return tell(context, name, one(name));
    }
    let (next, (sender, receiver)) = (AtomicUsize::new(0), mpsc::channel());
    std::thread::scope(|scope| {
        for _worker in 0..names.len().min(AT_ONCE) {
            let (sender, next, one) = (sender.clone(), &next, &one);
            scope.spawn(move || {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = names.get(turn) else { break };
                    // Nobody listens any more once standard output takes nothing.
                    drop(sender.send((turn, one(name))));
                }
            });
        }
        drop(sender);
        // Told in the order of the arguments, as Docker does, whoever ends first.
        let (mut status, mut told, mut ended) = (0, 0, BTreeMap::new());
        for (turn, done) in receiver {
            ended.insert(turn, done);
            while let Some(done) = ended.remove(&told) {
                status |= tell(context, &names[told], done)?;
                told += 1;
            }
        }
        Ok(status)
    })
}

/// Says a container's name, or what failed; the status that this adds.
fn tell(context: &Context, name: &str, done: Result<()>) -> Outcome {
    match done {
        Ok(()) => context.screen.data(&format!("{name}\n")).map(|()| 0),
        Err(error) => {
            context.screen.fail(&error);
            Ok(1)
        }
    }
}

/// Warns, asks, and says whether the answer is yes; without a terminal there is nobody to ask.
///
/// # Errors
/// Standard input is no terminal, or cannot be read.
pub(crate) fn confirm(context: &Context, warning: &str) -> Result<bool> {
    if !berth_sys::terminal::is_terminal(io::stdin()) {
        return Err(Error::new(Class::Invalid, "nobody is there to confirm")
            .caused_by("standard input is not a terminal")
            .hint("add --force"));
    }
    context.warn(warning);
    context.screen.ask("Continue? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| {
        Error::new(Class::Unavailable, "cannot read the answer").caused_by(error)
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

/// Has an archive written to a file, or to standard output, unless that is a terminal.
///
/// # Errors
/// It is one; the file cannot be made; whatever `write` fails of.
pub(crate) fn write_archive(
    output: Option<&Path>,
    hint: &str,
    write: impl FnOnce(&mut dyn io::Write) -> Result<()>,
) -> Result<()> {
    let Some(path) = output else {
        if berth_sys::terminal::is_terminal(io::stdout()) {
            return Err(
                Error::new(Class::Invalid, "an archive is nothing to look at")
                    .caused_by("standard output is a terminal")
                    .hint(hint),
            );
        }
        return write(&mut io::stdout().lock());
    };
    let explain = || format!("cannot write {}", path.display());
    let mut file = io::BufWriter::new(File::create(path).explain(explain)?);
    write(&mut file)?;
    file.flush().explain(explain)
}
