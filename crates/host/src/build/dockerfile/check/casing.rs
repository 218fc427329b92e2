//! Checks of upper and lower case: instructions, `AS`, stage names.

use super::{Rule, Warning};
use crate::build::dockerfile::position::Lines;
use crate::build::dockerfile::{Dockerfile, Instruction, Located};

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

/// The name of a stage, and the word before it.
pub(super) fn from(one: &Located, warnings: &mut Vec<Warning>) {
    let Instruction::From(from) = &one.instruction else {
        return;
    };
    let Some((name, word)) = &from.alias else {
        return;
    };
    if !is_lower(name) {
        warnings.push(Warning {
            rule: Rule::StageNameCasing,
            detail: format!("Stage name '{name}' should be lowercase"),
            lines: one.lines,
        });
    }
    let from = &one.keyword;
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
            lines: one.lines,
        });
    }
}

/// What most instructions are written in is right; what stands before the first stage does not count.
pub(super) fn instructions(file: &Dockerfile, warnings: &mut Vec<Warning>) {
    let keywords = || {
        let all = file.instructions.iter();
        let stages = all.skip_while(|one| !matches!(one.instruction, Instruction::From(_)));
        stages.map(|one| (one.keyword.as_str(), one.lines))
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
