//! Checks of upper and lower case: instructions, `AS`, stage names.

use super::{Rule, Warning};
use crate::build::dockerfile::position::Lines;
use crate::build::dockerfile::stage::{Stage, Stages};

pub(super) fn check(stages: &Stages, warnings: &mut Vec<Warning>) {
    for stage in &stages.stages {
        stage_name(stage, warnings);
    }
    instructions(stages, warnings);
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

fn stage_name(stage: &Stage, warnings: &mut Vec<Warning>) {
    let Some((name, word)) = &stage.from.alias else {
        return;
    };
    if !is_lower(name) {
        warnings.push(Warning {
            rule: Rule::StageNameCasing,
            detail: format!("Stage name '{name}' should be lowercase"),
            lines: stage.lines,
        });
    }
    let from = &stage.keyword;
    let fits = if is_lower(from) {
        is_lower(word)
    } else {
        is_upper(word)
    };
    // A `From` is another check's business.
    if (is_lower(from) || is_upper(from)) && !fits {
        warnings.push(Warning {
            rule: Rule::FromAsCasing,
            detail: format!("'{word}' and '{from}' keywords' casing do not match"),
            lines: stage.lines,
        });
    }
}

/// What most instructions are written in is right.
fn instructions(stages: &Stages, warnings: &mut Vec<Warning>) {
    let keywords = || {
        stages.stages.iter().flat_map(|stage| {
            let inner = stage.instructions.iter();
            let inner = inner.map(|one| (one.keyword.as_str(), one.lines));
            std::iter::once((stage.keyword.as_str(), stage.lines)).chain(inner)
        })
    };
    let lower = keywords().filter(|(word, _)| is_lower(word)).count();
    let upper = keywords().filter(|(word, _)| is_upper(word)).count();
    let mut complain = |word: &str, casing: &str, lines: Lines| {
        warnings.push(Warning {
            rule: Rule::ConsistentInstructionCasing,
            detail: format!(
                "Command '{word}' should match the case of the command majority ({casing})"
            ),
            lines,
        });
    };
    for (word, lines) in keywords() {
        if lower > upper && !is_lower(word) {
            complain(word, "lowercase", lines);
        } else if lower <= upper && !is_upper(word) {
            complain(word, "uppercase", lines);
        }
    }
}
