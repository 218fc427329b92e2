//! The checks of a Dockerfile: `BuildKit`'s 22, under its names and in its words.
//!
//! They look at the file alone, and at what is known of the images it begins with; nothing is built.
//!
//! ```text
//!  text ─► reading ─► names ─► bases ─► steps: a mistake in one is where the checks end, as BuildKit's do
//! ```

mod casing;
mod rule;
mod stage;
mod steps;
mod values;

pub use rule::Rule;
use std::collections::{BTreeMap, BTreeSet};

use berth_contract::{Class, Error};

use super::expand::NoVariables;
use super::position::{Lines, excerpt};
use super::stage::Stages;
use super::{CheckDirective, Dockerfile, Instruction, Located, Misread, check_directive};
use crate::build::ignore::Patterns;
use rule::Phase;

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

/// A base image that is here.
#[derive(Debug, Clone, Default)]
pub struct KnownImage {
    /// Its environment.
    pub environment: Vec<String>,
    /// Its platform, and that of the stage that begins with it.
    pub platforms: Option<(String, String)>,
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
    /// The images that are known; of others nothing is said about variables.
    pub images: BTreeMap<String, KnownImage>,
    /// The names of further contexts: what stands in a stage that one replaces is not looked at.
    pub contexts: Vec<String>,
    /// The stage that is built.
    pub target: Option<String>,
    /// Whether steps of stages that the target does not need are looked at, too.
    pub everything: bool,
}

/// What the checks came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// What they found, in the order of the file's lines.
    pub warnings: Vec<Warning>,
    /// The mistake that the file cannot be built because of.
    pub failure: Option<Failure>,
}

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub reason: String,
    /// Where, if it is in the file.
    pub lines: Option<Lines>,
    /// What was found before it, in the same phase up to the line.
    reached: (Phase, usize),
}

impl Failure {
    fn new(misread: Misread, phase: Phase, line: usize) -> Self {
        Self {
            reason: misread.reason,
            lines: Some(misread.lines),
            reached: (phase, line),
        }
    }

    /// What `error=true` makes of warnings.
    #[must_use]
    pub fn of_warnings(warnings: &[Warning], lines: Lines) -> Self {
        Self {
            reason: violation(warnings),
            lines: Some(lines),
            reached: (Phase::Steps, usize::MAX),
        }
    }

    /// The failure of a command.
    #[must_use]
    pub fn into_error(self, file: &Dockerfile) -> Error {
        match self.lines {
            Some(lines) => file.refuse(self.reason, lines),
            None => Error::new(Class::Invalid, self.reason),
        }
    }
}

/// Makes the checks that a file does not skip. `misread` is where reading it ended.
#[must_use]
pub fn check(
    file: &Dockerfile,
    misread: Option<Misread>,
    directive: &CheckDirective,
    inputs: &Inputs<'_>,
) -> Findings {
    let mut warnings = Vec::new();
    for line in &file.empty_continuations {
        warnings.push(Warning {
            rule: Rule::NoEmptyContinuation,
            detail: "Empty continuation line".to_owned(),
            lines: Lines::one(*line),
        });
    }
    for one in &file.instructions {
        casing::from(one, &mut warnings);
        values::read(one, &mut warnings);
    }
    let failure = match misread {
        Some(misread) => {
            let line = misread.lines.first;
            Some(Failure::new(misread, Phase::Reading, line))
        }
        None => within(file, inputs, &mut warnings),
    };
    let reached = failure.as_ref().map(|failure| failure.reached);
    warnings.retain(|warning| {
        let at = (warning.rule.phase(), warning.lines.first);
        reached.is_none_or(|reached| at <= reached) && is_wanted(file, directive, warning)
    });
    warnings.sort_by_key(|warning| (warning.lines.first, warning.rule));
    Findings { warnings, failure }
}

/// The checks of a file that could be read, and the mistake that ends them.
fn within(file: &Dockerfile, inputs: &Inputs<'_>, warnings: &mut Vec<Warning>) -> Option<Failure> {
    let (written, misread) = Stages::so_far(file, &inputs.arguments, &inputs.platform);
    let failure = misread.map(|misread| bases_end(file, misread));
    casing::instructions(file, warnings);
    stage::names(&written, warnings);
    stage::default_arguments(file, inputs, warnings);
    stage::bases(file, &written, inputs, warnings);
    if failure.is_some() {
        return failure;
    }
    let target = match written.target(inputs.target.as_deref()) {
        Ok(target) => target,
        Err(reason) => {
            return Some(Failure {
                reason,
                lines: None,
                reached: (Phase::Steps, 0),
            });
        }
    };
    let stages = written.with_contexts(&inputs.contexts);
    let looked_at: BTreeSet<usize> = if inputs.everything {
        (0..stages.stages.len()).collect()
    } else {
        stages.order(target).into_iter().collect()
    };
    stage::steps(&stages, &looked_at, inputs, warnings);
    let of_these = stages
        .stages
        .iter()
        .filter(|stage| looked_at.contains(&stage.index));
    for one in of_these.flat_map(|stage| &stage.instructions) {
        values::step(one, inputs.ignored, warnings);
    }
    steps::check(file, &stages, &looked_at, inputs, warnings)
}

/// How far the checks come when the stages cannot be told.
fn bases_end(file: &Dockerfile, misread: Misread) -> Failure {
    let line = misread.lines.first;
    let at = file
        .instructions
        .iter()
        .find(|one| one.lines == misread.lines);
    let from = |one: &&Located| matches!(one.instruction, Instruction::From(_));
    let first = file.instructions.iter().find(from);
    let first = first.map_or(usize::MAX, |from| from.lines.first);
    let (phase, line) = match at.map(|one| &one.instruction) {
        Some(Instruction::From(_)) => (Phase::Bases, line),
        Some(Instruction::Arg(_)) if line < first => (Phase::Bases, 0),
        Some(_) if line < first && first < usize::MAX => (Phase::Reading, line),
        // A stage by its number, which there is not.
        Some(_) if first < usize::MAX => (Phase::Steps, 0),
        _ => (Phase::Reading, usize::MAX),
    };
    Failure::new(misread, phase, line)
}

/// Whether neither the file nor the instruction itself leaves a check out.
fn is_wanted(file: &Dockerfile, directive: &CheckDirective, warning: &Warning) -> bool {
    let own = own_directive(file, warning.lines);
    let all = || std::iter::once(directive).chain(&own);
    let name = warning.rule.name();
    // What is asked for by its name is not left out with all.
    if warning.rule.is_experimental() {
        all().any(|directive| directive.experimental.contains(name))
    } else {
        !all().any(|directive| directive.skip.contains(name))
    }
}

/// `lint violation found for rules: …`: what `error=true` makes of warnings.
#[must_use]
pub fn violation(warnings: &[Warning]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for warning in warnings {
        let name = warning.rule.name();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    format!("lint violation found for rules: {}", names.join(", "))
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
pub fn report(file: &Dockerfile, warnings: &[Warning], has_failed: bool) -> String {
    let mut text = match warnings.len() {
        0 if has_failed => return String::new(),
        0 => return "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    for warning in warnings {
        let address = warning.rule.address();
        let address = address.map_or_else(String::new, |address| format!(" - {address}"));
        text.push_str(&format!(
            "\nWARNING: {}{address}\n{}\n{}",
            warning.rule.name(),
            warning.detail,
            excerpt(&file.name, &file.text, warning.lines)
        ));
    }
    text
}

/// The report as a document, in buildx's form.
#[must_use]
pub fn document(
    file: &Dockerfile,
    warnings: &[Warning],
    failure: Option<&Failure>,
) -> serde_json::Value {
    let warnings: Vec<serde_json::Value> = warnings
        .iter()
        .map(|warning| {
            serde_json::json!({
                "ruleName": warning.rule.name(),
                "description": warning.rule.description(),
                "url": warning.rule.address().unwrap_or_default(),
                "detail": warning.detail,
                "location": warning.lines,
            })
        })
        .collect();
    let mut document = serde_json::json!({
        "warnings": warnings,
        "sources": [{"fileName": file.name, "language": "Dockerfile", "data": file.encoded()}],
    });
    if let Some(failure) = failure {
        document["buildError"] = serde_json::json!({"message": failure.reason});
        if let Some(lines) = failure.lines {
            document["buildError"]["location"] = lines.location();
        }
    }
    document
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
