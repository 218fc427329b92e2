//! What listings and the families of named things have in common: `--format`, removing each, and telling
//! whether one exists.

use std::collections::BTreeMap;

use berth_contract::{Class, Result};
use berth_host::format::Layout;

use super::shared::answer_each;
use super::{Context, Outcome};

/// `--format` of a listing.
#[derive(Debug, clap::Args)]
pub(crate) struct Table {
    /// Print as a table, as json, or with a Go template
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
}

impl Table {
    /// What was asked for; nothing and `table` mean the template `standard`.
    ///
    /// # Errors
    /// The format is no template.
    pub(crate) fn layout(&self, standard: &str) -> Result<Layout> {
        Layout::parse(&self.format, standard)
    }

    /// As [`Table::layout`]; with `--quiet` each row is its `key` alone unless another format was asked for.
    ///
    /// # Errors
    /// As for [`Table::layout`].
    pub(crate) fn layout_or_key(&self, quiet: bool, key: &str, standard: &str) -> Result<Layout> {
        match self.format.as_str() {
            "" | "table" if quiet => Layout::parse(key, ""),
            _ => self.layout(standard),
        }
    }

    /// Whether it is a table, which has titles.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.format.split_whitespace().next(), None | Some("table"))
    }

    /// A listing without the titles of its columns, if it has any.
    pub(crate) fn without_titles(&self, quiet: bool, text: String) -> String {
        match text.split_once('\n') {
            Some((_, rows)) if self.is_table() && !quiet => rows.to_owned(),
            _ => text,
        }
    }

    /// The format as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.format
    }
}

/// Labels in one cell: `key=value,key=value`.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> String {
    let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// Removes each by its name and says it; goes on after a failure and ends with 1. Those that do not exist
/// are passed over with `force`.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn remove_each(
    context: &Context,
    names: &[String],
    force: bool,
    remove: impl Fn(&str) -> Result<()>,
) -> Outcome {
    answer_each(context, names, |name| match remove(name) {
        Err(error) if force && error.class() == Class::NotFound => Ok(None),
        removed => removed.map(|()| Some(name.to_owned())),
    })
}

/// The exit status that tells whether something was found: 0, or 1 if there is no such thing.
///
/// # Errors
/// It could not be looked for.
pub(crate) fn exists<T>(found: Result<T>) -> Outcome {
    match found {
        Ok(_) => Ok(0),
        Err(error) if error.class() == Class::NotFound => Ok(1),
        Err(error) => Err(error),
    }
}
