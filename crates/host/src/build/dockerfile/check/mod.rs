//! The checks of a Dockerfile: `BuildKit`'s 21, under its names and in its words.
//!
//! They look at the file alone, and at what is known of the images it begins with; nothing is built.

mod casing;
mod rule;
mod stage;
mod values;

pub use rule::Rule;
use std::collections::BTreeMap;

use super::expand::NoVariables;
use super::position::{Lines, excerpt};
use super::stage::Stages;
use super::{CheckDirective, Dockerfile, Instruction, Located, check_directive};
use crate::build::ignore::Patterns;

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Which check.
    pub rule: Rule,
    /// What it found.
    pub detail: String,
    /// Where.
    pub lines: Lines,
}

/// What the checks need to know beside the file.
#[derive(Debug, Default)]
pub struct Inputs<'a> {
    /// The build's arguments.
    pub arguments: BTreeMap<String, String>,
    /// The predefined arguments of platforms.
    pub platform: BTreeMap<String, String>,
    /// What the context leaves out.
    pub ignored: Option<&'a Patterns>,
    /// The environments of images that are known; of others nothing is said about variables.
    pub environments: BTreeMap<String, Vec<String>>,
    /// The names of further contexts: what stands in a stage that one replaces is not looked at.
    pub contexts: Vec<String>,
}

/// Makes the checks that a file does not skip, in the order of its lines.
#[must_use]
pub fn check(file: &Dockerfile, directive: &CheckDirective, inputs: &Inputs<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for line in &file.empty_continuations {
        warnings.push(Warning {
            rule: Rule::NoEmptyContinuation,
            detail: "Empty continuation line".to_owned(),
            lines: Lines::one(*line),
        });
    }
    if let Ok(written) = Stages::of(file, &inputs.arguments, &inputs.platform) {
        casing::check(&written, &mut warnings);
        let stages = written.with_contexts(&inputs.contexts);
        stage::check(file, &stages, inputs, &mut warnings);
        let first = stages.stages.first().map_or(0, |stage| stage.lines.first);
        let global = file.instructions.iter();
        let global = global.take_while(|one| one.lines.first < first);
        let bases = file.instructions.iter();
        let bases = bases.filter(|one| matches!(one.instruction, Instruction::From(_)));
        let within = stages.stages.iter().flat_map(|stage| &stage.instructions);
        for one in global.chain(bases).chain(within) {
            values::check(one, inputs.ignored, &mut warnings);
        }
        values::check_variables(file, &stages, inputs, &mut warnings);
    }
    warnings.retain(|warning| {
        let own = own_directive(file, warning.lines);
        let all = || std::iter::once(directive).chain(&own);
        let name = warning.rule.name();
        // What is asked for by its name is not left out with all.
        if warning.rule.is_experimental() {
            all().any(|directive| directive.experimental.contains(name))
        } else {
            !all().any(|directive| directive.skip.contains(name))
        }
    });
    warnings.sort_by_key(|warning| (warning.lines.first, warning.rule));
    warnings
}

/// What the comments right above an instruction say of its checks: `# check=skip=…`.
fn own_directive(file: &Dockerfile, lines: Lines) -> Vec<CheckDirective> {
    let contains = |one: &&Located| one.lines.contains(lines.first);
    let Some(one) = file.instructions.iter().find(contains) else {
        return Vec::new();
    };
    let values = one.comments.iter().filter_map(|comment| {
        let (key, value) = comment.split_once('=')?;
        key.trim().eq_ignore_ascii_case("check").then_some(value)
    });
    // What is no directive is a comment.
    values
        .filter_map(|value| check_directive(value).ok())
        .collect()
}

/// The report of `--check`.
#[must_use]
pub fn report(file: &Dockerfile, warnings: &[Warning]) -> String {
    let mut text = match warnings.len() {
        0 => return "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    for warning in warnings {
        text.push_str(&format!(
            "\nWARNING: {} - {}\n{}\n{}",
            warning.rule.name(),
            warning.rule.address(),
            warning.detail,
            excerpt(&file.name, &file.text, warning.lines)
        ));
    }
    text
}

/// One line for each warning, as a build ends with them.
#[must_use]
pub fn summary(warnings: &[Warning]) -> String {
    let mut text = match warnings.len() {
        0 => return String::new(),
        1 => " 1 warning found (use --check to expand):\n".to_owned(),
        count => format!(" {count} warnings found (use --check to expand):\n"),
    };
    for warning in warnings {
        text.push_str(&format!(
            " - {}: {} (line {})\n",
            warning.rule.name(),
            warning.detail,
            warning.lines.first
        ));
    }
    text
}

/// The names of the variables in a text.
fn variables(text: &str, escape: char) -> Vec<String> {
    super::expand::expand(text, escape, &NoVariables)
        .map(|expanded| expanded.missing.into_iter().collect())
        .unwrap_or_default()
}

/// ` (did you mean …?)`, if something near is known.
fn suggestion<'a>(word: &str, sign: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match super::nearest(word, names) {
        Some(near) => format!(" (did you mean {sign}{near}?)"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
