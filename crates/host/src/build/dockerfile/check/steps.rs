//! What the instructions of stages come to: variables that are not set, and the first mistake.

use std::collections::{BTreeMap, BTreeSet};

use berth_image::Platform;

use super::rule::Phase;
use super::{Failure, Inputs, Rule, Warning, suggestion, variables};
use crate::build::configure::{Given, Values, apply};
use crate::build::copy::mode_change;
use crate::build::dockerfile::expand::{NoVariables, Variables as _, expand, expand_raw};
use crate::build::dockerfile::instruction::{Instruction, Located};
use crate::build::dockerfile::stage::{Base, Stage, Stages};
use crate::build::dockerfile::{Dockerfile, Misread, MountKind};
use crate::build::scope::Scope;
use crate::build::state::State;

/// A stage at one point, as far as it can be told.
#[derive(Clone)]
struct Point {
    state: State,
    /// Whether the environment of its base is known.
    is_known: bool,
}

/// What all steps need.
struct Context<'a> {
    file: &'a Dockerfile,
    stages: &'a Stages,
    inputs: &'a Inputs<'a>,
}

/// Goes through the stages with what is set at each point; the first mistake ends it.
pub(super) fn check(
    file: &Dockerfile,
    stages: &Stages,
    looked_at: &BTreeSet<usize>,
    inputs: &Inputs<'_>,
    warnings: &mut Vec<Warning>,
) -> Option<Failure> {
    let context = Context {
        file,
        stages,
        inputs,
    };
    let mut points: BTreeMap<usize, Point> = BTreeMap::new();
    for index in looked_at {
        let stage = &stages.stages[*index];
        let mut point = begin(stage, &points, inputs);
        for one in &stage.instructions {
            context.undefined(one, &point, warnings);
            if let Err(reason) = context.carry_out(stage, one, &mut point) {
                let misread = Misread::new(reason, one.lines);
                return Some(Failure::new(misread, Phase::Steps, one.lines.first));
            }
        }
        points.insert(*index, point);
    }
    None
}

/// A stage before its first instruction.
fn begin(stage: &Stage, points: &BTreeMap<usize, Point>, inputs: &Inputs<'_>) -> Point {
    let platform = stage.platform.as_deref();
    let platform = platform.or(inputs.platform.get("TARGETPLATFORM").map(String::as_str));
    let platform = platform.and_then(|platform| platform.parse().ok());
    let mut state = State::scratch(platform.unwrap_or_else(Platform::host));
    let is_known = match &stage.base {
        Base::Scratch => true,
        Base::Stage(index) => {
            let Some(base) = points.get(index) else {
                return Point {
                    state,
                    is_known: false,
                };
            };
            state = base.state.derived();
            base.is_known
        }
        Base::Image(name) => match inputs.images.get(name) {
            Some(known) => {
                state.config.env.clone_from(&known.environment);
                state.scope = Scope::of_environment(&known.environment);
                true
            }
            None => false,
        },
    };
    Point { state, is_known }
}

impl Context<'_> {
    /// Names the variables that are used and not set.
    fn undefined(&self, one: &Located, point: &Point, warnings: &mut Vec<Warning>) {
        if !point.is_known {
            return;
        }
        let scope = &point.state.scope;
        let mut missing = used(one, self.file.directives.escape);
        missing.retain(|name| {
            scope.value(name).is_none() && !scope.declared().contains(name.as_str())
        });
        missing.remove("PATH");
        for name in missing {
            let near = suggestion(&name, "$", scope.names());
            warnings.push(Warning {
                rule: Rule::UndefinedVar,
                detail: format!("Usage of undefined variable '${name}'{near}"),
                lines: one.lines,
            });
        }
    }

    /// Does what an instruction does to the config, and looks at what it says of files.
    fn carry_out(&self, stage: &Stage, one: &Located, point: &mut Point) -> Result<(), String> {
        let done = self.config_or_files(stage, one, &mut point.state);
        // What depends on the environment of an image that is not here is not known.
        let varies = || has_variables(&one.instruction);
        match done {
            Err(_) if !point.is_known && varies() => Ok(()),
            done => done,
        }
    }

    fn config_or_files(
        &self,
        stage: &Stage,
        one: &Located,
        state: &mut State,
    ) -> Result<(), String> {
        let arguments = |name: &str| Values {
            given: self.inputs.arguments.get(name).cloned(),
            global: self
                .stages
                .globals
                .get(name)
                .or_else(|| self.inputs.platform.get(name))
                .cloned(),
        };
        let escape = self.file.directives.escape;
        let given = Given {
            escape,
            arguments: &arguments,
            created: None,
        };
        if apply(&one.instruction, state, given)? {
            return Ok(());
        }
        for text in texts(&one.instruction) {
            expand(text, escape, &state.scope)?;
        }
        match &one.instruction {
            Instruction::Copy(copy) => {
                if let Some(mode) = &copy.chmod {
                    mode_change(&expand(mode, escape, &state.scope)?.text)?;
                }
                self.is_earlier(copy.from.as_deref(), stage)
            }
            Instruction::Run(run) => {
                for mount in &run.mounts {
                    let text = expand(&mount.text, escape, &state.scope)?.text;
                    MountKind::parse(&text)?;
                    self.is_earlier(mount.from().as_deref(), stage)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether files come from a stage that is built before.
    fn is_earlier(&self, from: Option<&str>, stage: &Stage) -> Result<(), String> {
        let all = self.stages.stages.len();
        let Some(name) = from.filter(|name| !self.stages.is_context(name)) else {
            return Ok(());
        };
        let is_stage = self.stages.find(name, all).is_some();
        if is_stage && self.stages.find(name, stage.index).is_none() {
            return Err(format!(
                "cannot use files of the stage {name:?}: it needs to be defined before the current stage"
            ));
        }
        Ok(())
    }
}

/// The variables that an instruction uses.
fn used(one: &Located, escape: char) -> BTreeSet<String> {
    let texts = texts(&one.instruction);
    let mut used: BTreeSet<String> = texts
        .into_iter()
        .flat_map(|text| variables(text, escape))
        .collect();
    if let Instruction::Copy(copy) = &one.instruction {
        for heredoc in copy.heredocs.iter().filter(|heredoc| heredoc.expands) {
            let expanded = expand_raw(&heredoc.content, &NoVariables).unwrap_or_default();
            used.extend(expanded.missing);
        }
    }
    used
}

/// Whether an instruction says anything that depends on variables, also one that must be set.
fn has_variables(instruction: &Instruction) -> bool {
    let here_documents = match instruction {
        Instruction::Copy(copy) => copy.heredocs.as_slice(),
        _ => &[],
    };
    let mut expanded = here_documents.iter().filter(|one| one.expands);
    texts(instruction).iter().any(|text| text.contains('$'))
        || expanded.any(|one| one.content.contains('$'))
}

/// The texts of an instruction in which variables are expanded, but for the ports of `EXPOSE`, of which `BuildKit`
/// says nothing.
fn texts(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Env(pairs) | Instruction::Label(pairs) => pairs
            .pairs
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value.as_str()])
            .collect(),
        Instruction::Copy(copy) => {
            let flags = [&copy.chown, &copy.chmod, &copy.checksum];
            let flags = flags.into_iter().filter_map(|flag| flag.as_deref());
            let words = copy.exclude.iter().chain(&copy.sources);
            flags
                .chain(words.map(String::as_str))
                .chain([copy.destination.as_str()])
                .collect()
        }
        Instruction::Run(run) => run.mounts.iter().map(|mount| mount.text.as_str()).collect(),
        Instruction::Volume(words) => words.iter().map(String::as_str).collect(),
        Instruction::User(text) | Instruction::Workdir(text) | Instruction::StopSignal(text) => {
            vec![text]
        }
        Instruction::Arg(arguments) => arguments
            .iter()
            .filter_map(|argument| argument.default.as_deref())
            .collect(),
        _ => Vec::new(),
    }
}
