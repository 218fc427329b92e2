//! Checks of stages as wholes: their names, bases and platforms, and what stands in them twice.

use std::collections::{BTreeMap, BTreeSet};

use berth_image::Reference;

use super::{Inputs, Rule, Warning, suggestion, variables};
use crate::build::dockerfile::Dockerfile;
use crate::build::dockerfile::expand::expand;
use crate::build::dockerfile::instruction::{Command, From, Instruction};
use crate::build::dockerfile::position::Lines;
use crate::build::dockerfile::stage::{Base, Stage, Stages};

/// The names of stages.
pub(super) fn names(stages: &Stages, warnings: &mut Vec<Warning>) {
    let mut names = BTreeSet::new();
    for stage in &stages.stages {
        let Some(name) = &stage.name else { continue };
        let mut warn = |rule, detail| {
            warnings.push(Warning {
                rule,
                detail,
                lines: stage.lines,
            });
        };
        if !names.insert(name.clone()) {
            let detail = format!("Duplicate stage name {name:?}, stage names should be unique");
            warn(Rule::DuplicateStageName, detail);
        }
        if matches!(name.as_str(), "context" | "scratch") {
            let detail =
                format!("Stage name should not use the same name as reserved stage {name:?}");
            warn(Rule::ReservedStageName, detail);
        }
    }
}

/// What stages are made from, the last of which may be of no use.
pub(super) fn bases(
    file: &Dockerfile,
    stages: &Stages,
    inputs: &Inputs<'_>,
    warnings: &mut Vec<Warning>,
) {
    let mut warn = warner(warnings);
    for one in &file.instructions {
        if let Instruction::From(from) = &one.instruction {
            base(file, (from, one.lines), stages, inputs, &mut warn);
        }
    }
    for stage in &stages.stages {
        platform(file, stage, inputs, &mut warn);
    }
}

/// What stands in stages, taken together.
pub(super) fn steps(
    stages: &Stages,
    looked_at: &BTreeSet<usize>,
    inputs: &Inputs<'_>,
    warnings: &mut Vec<Warning>,
) {
    let mut warn = warner(warnings);
    for index in looked_at {
        let stage = &stages.stages[*index];
        commands(stage, stages, &mut warn);
        working_directory(stage, stages, &mut warn);
        base_platform(stage, inputs, &mut warn);
    }
}

fn warner(warnings: &mut Vec<Warning>) -> impl FnMut(Rule, String, Lines) {
    |rule, detail, lines| {
        warnings.push(Warning {
            rule,
            detail,
            lines,
        });
    }
}

/// An image that was chosen although it is for something else.
fn base_platform(stage: &Stage, inputs: &Inputs<'_>, warn: &mut Warn<'_>) {
    let Base::Image(name) = &stage.base else {
        return;
    };
    let known = inputs.images.get(name);
    let Some((own, wanted)) = known.and_then(|known| known.platforms.as_ref()) else {
        return;
    };
    let kind = |platform: &str| {
        platform
            .splitn(3, '/')
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    if kind(own) != kind(wanted) {
        let detail = format!(
            "Base image {name} was pulled with platform {own:?}, expected {wanted:?} for current build"
        );
        warn(Rule::InvalidBaseImagePlatform, detail, stage.lines);
    }
}

type Warn<'a> = dyn FnMut(Rule, String, Lines) + 'a;

fn base(
    file: &Dockerfile,
    (from, lines): (&From, Lines),
    stages: &Stages,
    inputs: &Inputs<'_>,
    warn: &mut Warn<'_>,
) {
    let escape = file.directives.escape;
    let mut texts = vec![from.base.as_str()];
    texts.extend(from.platform.as_deref());
    let known: BTreeSet<&str> = stages
        .declared
        .iter()
        .map(String::as_str)
        .chain(inputs.platform.keys().map(String::as_str))
        .collect();
    for name in texts.iter().flat_map(|text| variables(text, escape)) {
        if !known.contains(name.as_str()) {
            let near = suggestion(&name, "", known.iter().copied());
            let detail = format!("FROM argument '{name}' is not declared{near}");
            warn(Rule::UndefinedArgInFrom, detail, lines);
        }
    }
}

fn platform(file: &Dockerfile, stage: &Stage, inputs: &Inputs<'_>, warn: &mut Warn<'_>) {
    let (Some(text), Some(platform)) = (&stage.from.platform, &stage.platform) else {
        return;
    };
    let names = variables(text, file.directives.escape);
    if names == ["TARGETPLATFORM"] && inputs.platform.get("TARGETPLATFORM") == Some(platform) {
        let detail = format!(
            "Setting platform to predefined {text} in FROM is redundant as this is the default behavior"
        );
        warn(Rule::RedundantTargetPlatform, detail, stage.lines);
    }
    if names.is_empty() {
        // A stage that is named after its platform is meant to have that one.
        let name = stage.name.as_deref().unwrap_or_default();
        let named = platform
            .split('/')
            .any(|part| !part.is_empty() && name.contains(part));
        if !named {
            let detail = format!("FROM --platform flag should not use constant value {platform:?}");
            warn(Rule::FromPlatformFlagConstDisallowed, detail, stage.lines);
        }
    }
}

/// The shell form where signals matter, and instructions of which only the last counts.
fn commands(stage: &Stage, stages: &Stages, warn: &mut Warn<'_>) {
    let mut last: BTreeMap<&str, Lines> = BTreeMap::new();
    let mut has_shell = inherits(stage, stages, |one| matches!(one, Instruction::Shell(_)));
    for one in &stage.instructions {
        let name = one.instruction.name();
        match &one.instruction {
            Instruction::Shell(_) => has_shell = true,
            Instruction::Cmd(command) | Instruction::Entrypoint(command) => {
                if matches!(command, Command::Shell(_)) && !has_shell {
                    let detail = format!(
                        "JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
                    );
                    warn(Rule::JSONArgsRecommended, detail, one.lines);
                }
            }
            Instruction::Healthcheck(_) => {}
            _ => continue,
        }
        if name != "SHELL"
            && let Some(earlier) = last.insert(name, one.lines)
        {
            // It is the earlier one that has no effect.
            let detail = format!(
                "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            );
            warn(Rule::MultipleInstructionsDisallowed, detail, earlier);
        }
    }
}

fn working_directory(stage: &Stage, stages: &Stages, warn: &mut Warn<'_>) {
    let mut is_set = inherits(stage, stages, |one| matches!(one, Instruction::Workdir(_)));
    for one in &stage.instructions {
        let Instruction::Workdir(path) = &one.instruction else {
            continue;
        };
        // What a variable holds is not known here; it counts as a whole path.
        if !path.starts_with(['/', '$']) && !is_set {
            let detail = format!(
                "Relative workdir {path:?} can have unexpected results if the base image changes"
            );
            warn(Rule::WorkdirRelativePath, detail, one.lines);
        }
        // The first tells; what follows is mended with it.
        is_set = true;
    }
}

/// Whether one of the stages that a stage begins with has such an instruction.
fn inherits(stage: &Stage, stages: &Stages, is_meant: impl Fn(&Instruction) -> bool) -> bool {
    let mut base = &stage.base;
    while let Base::Stage(index) = base {
        let Some(stage) = stages.stages.get(*index) else {
            return false;
        };
        let mut instructions = stage.instructions.iter();
        if instructions.any(|one| is_meant(&one.instruction)) {
            return true;
        }
        base = &stage.base;
    }
    false
}

/// A file should build without any `--build-arg`.
pub(super) fn default_arguments(
    file: &Dockerfile,
    inputs: &Inputs<'_>,
    warnings: &mut Vec<Warning>,
) {
    let escape = file.directives.escape;
    let (stages, _) = Stages::so_far(file, &BTreeMap::new(), &inputs.platform);
    let mut values = inputs.platform.clone();
    values.extend(stages.globals);
    for one in &file.instructions {
        let Instruction::From(from) = &one.instruction else {
            continue;
        };
        let varies = !variables(&from.base, escape).is_empty();
        let Ok(expanded) = expand(&from.base, escape, &values) else {
            return;
        };
        if varies && Reference::parse(&expanded.text).is_err() {
            warnings.push(Warning {
                rule: Rule::InvalidDefaultArgInFrom,
                detail: format!(
                    "Default value for ARG {} results in empty or invalid base image name",
                    from.base
                ),
                lines: one.lines,
            });
        }
    }
}
