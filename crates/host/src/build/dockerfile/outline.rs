//! What a Dockerfile can be asked for: its targets, and what one of them takes (`--call`).
//!
//! Descriptions are comments directly above that begin with the name they are about, as in
//! `# release the image that is published`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::expand::{NoVariables, Variables, expand};
use super::instruction::{Instruction, Located};
use super::mount::MountKind;
use super::position::Lines;
use super::stage::{Base, Stages};

/// A stage that can be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its name; empty for one that has none.
    pub name: String,
    /// Whether it is built when no target is asked for.
    pub default: bool,
    /// What it is good for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is made from.
    pub base: String,
    /// What it is for, as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Where it begins.
    pub location: Lines,
}

/// What a target takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outline {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it is good for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The build arguments that are declared on the way to it.
    pub args: Vec<OutlineArgument>,
    /// The secrets that commands are given.
    pub secrets: Vec<Wanted>,
    /// The ssh agents that commands are given.
    pub ssh: Vec<Wanted>,
}

/// A build argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutlineArgument {
    /// Its name.
    pub name: String,
    /// What it is good for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its value in this build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where it is declared.
    pub location: Lines,
}

/// A secret or an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// Its id.
    pub name: String,
    /// Whether the build fails without it.
    pub required: bool,
    /// Where it is asked for first.
    pub location: Lines,
}

/// The rest of the comment that begins with a name.
fn description(name: &str, comments: &[String]) -> String {
    let about = comments.iter().find_map(|comment| {
        let (first, rest) = comment.trim().split_once(char::is_whitespace)?;
        first
            .eq_ignore_ascii_case(name)
            .then(|| rest.trim().to_owned())
    });
    about.unwrap_or_default()
}

/// The stages that can be built.
#[must_use]
pub fn targets(stages: &Stages) -> Vec<Target> {
    let target = |stage: &super::Stage| {
        let name = stage.name.clone().unwrap_or_default();
        Target {
            description: description(&name, &stage.comments),
            default: stage.index + 1 == stages.stages.len(),
            base: match &stage.base {
                Base::Scratch => "scratch".to_owned(),
                Base::Stage(_) | Base::Image(_) => stage.base_name.clone(),
            },
            platform: stage.from.platform.clone(),
            location: stage.lines,
            name,
        }
    };
    stages.stages.iter().map(target).collect()
}

/// Values that are known without building anything.
struct Known<'a>(&'a [OutlineArgument], &'a BTreeMap<String, String>);

impl Variables for Known<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let argument = self.0.iter().find(|argument| argument.name == name);
        let argument = argument.and_then(|argument| argument.value.clone());
        self.1.get(name).cloned().or(argument)
    }
}

/// What a target takes. `given` are the build's arguments.
#[must_use]
pub fn outline(
    file: &super::Dockerfile,
    stages: &Stages,
    target: usize,
    given: &BTreeMap<String, String>,
) -> Outline {
    let mut outline = Outline::default();
    if let Some(stage) = stages.stages.get(target) {
        outline.name = stage.name.clone().unwrap_or_default();
        outline.description = description(&outline.name, &stage.comments);
    }
    let order = stages.order(target);
    let global = global(file);
    let used = used(file, order.iter().map(|index| &stages.stages[*index]));
    let escape = file.directives.escape;
    let mut environments: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
    let none = [];
    let parts = std::iter::once((None, &none[..])).chain(order.iter().map(|index| {
        let stage = &stages.stages[*index];
        (Some(stage), &stage.instructions[..])
    }));
    for (stage, instructions) in parts {
        let mut environment = match stage.map(|stage| &stage.base) {
            Some(Base::Stage(below)) => environments.get(below).cloned().unwrap_or_default(),
            _ => BTreeMap::new(),
        };
        let of_file = global.iter().copied().filter(|_| stage.is_none());
        for one in of_file.chain(instructions) {
            let text = |written: &str, outline: &Outline, environment: &BTreeMap<_, _>| {
                let known = Known(&outline.args, environment);
                let expanded = expand(written, escape, &known);
                expanded.map_or_else(|_unknown| written.to_owned(), |expanded| expanded.text)
            };
            match &one.instruction {
                Instruction::Arg(arguments) => {
                    for argument in arguments {
                        let unused = stage.is_none() && !used.contains(&argument.name);
                        if unused || outline.args.iter().any(|known| known.name == argument.name) {
                            continue;
                        }
                        let written = argument.default.as_ref();
                        let written = written.map(|value| text(value, &outline, &environment));
                        outline.args.push(OutlineArgument {
                            name: argument.name.clone(),
                            description: description(&argument.name, &one.comments),
                            value: given.get(&argument.name).cloned().or(written),
                            location: one.lines,
                        });
                    }
                }
                Instruction::Env(pairs) => {
                    let values = pairs.pairs.iter();
                    let values: Vec<_> = values
                        .map(|(name, value)| (name.clone(), text(value, &outline, &environment)))
                        .collect();
                    environment.extend(values);
                }
                Instruction::Run(run) => {
                    for mount in &run.mounts {
                        match MountKind::parse(&text(&mount.text, &outline, &environment)) {
                            Ok(MountKind::Secret { id, required, .. }) => {
                                want(&mut outline.secrets, (id, required), one.lines);
                            }
                            Ok(MountKind::Ssh { id, required, .. }) => {
                                want(&mut outline.ssh, (id, required), one.lines);
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if let Some(stage) = stage {
            environments.insert(stage.index, environment);
        }
    }
    outline
}

/// The instructions ahead of the first stage.
fn global(file: &super::Dockerfile) -> Vec<&Located> {
    let before = |one: &&Located| !matches!(one.instruction, Instruction::From(_));
    file.instructions.iter().take_while(before).collect()
}

/// The names that stages declare or are made from, and what these are made of.
fn used<'a>(
    file: &super::Dockerfile,
    stages: impl Iterator<Item = &'a super::Stage>,
) -> BTreeSet<String> {
    let names = |text: &str| {
        let expanded = expand(text, file.directives.escape, &NoVariables);
        expanded
            .map(|expanded| expanded.missing)
            .unwrap_or_default()
    };
    let mut used = BTreeSet::new();
    for stage in stages {
        used.extend(names(&stage.from.base));
        used.extend(stage.from.platform.iter().flat_map(|text| names(text)));
        for one in &stage.instructions {
            if let Instruction::Arg(arguments) = &one.instruction {
                used.extend(arguments.iter().map(|argument| argument.name.clone()));
            }
        }
    }
    // What an argument is made of stands ahead of it.
    let arguments = global(file)
        .into_iter()
        .filter_map(|one| match &one.instruction {
            Instruction::Arg(arguments) => Some(arguments),
            _ => None,
        });
    let arguments: Vec<_> = arguments.flatten().collect();
    for argument in arguments.iter().rev() {
        if used.contains(&argument.name) {
            used.extend(argument.default.iter().flat_map(|text| names(text)));
        }
    }
    used
}

fn want(list: &mut Vec<Wanted>, (name, required): (String, bool), location: Lines) {
    match list.iter_mut().find(|known| known.name == name) {
        Some(known) => known.required |= required,
        None => list.push(Wanted {
            name,
            required,
            location,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dockerfile;
    use super::*;

    #[test]
    fn targets_and_what_they_take() {
        let text = "# VERSION which one\nARG VERSION=1\n# build compiles it\nFROM a AS build\nARG VERSION\nARG MODE=m-$VERSION\n\
                    RUN --mount=type=secret,id=key --mount=type=ssh x\nFROM b AS other\nARG NOT\n\
                    # not this\nFROM build AS final\nRUN --mount=type=secret,id=key,required=true y\n";
        let file = Dockerfile::parse("Dockerfile", text.to_owned()).unwrap();
        let stages = Stages::of(&file, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        let found = targets(&stages);
        let names: Vec<_> = found
            .iter()
            .map(|target| {
                (
                    target.name.as_str(),
                    target.default,
                    target.description.as_str(),
                )
            })
            .collect();
        assert_eq!(
            names,
            [
                ("build", false, "compiles it"),
                ("other", false, ""),
                ("final", true, "")
            ]
        );
        let given = BTreeMap::from([("MODE".to_owned(), "given".to_owned())]);
        let outline = outline(&file, &stages, 2, &given);
        let args: Vec<_> = outline
            .args
            .iter()
            .map(|one| {
                (
                    one.name.as_str(),
                    one.value.as_deref(),
                    one.description.as_str(),
                )
            })
            .collect();
        assert_eq!(
            args,
            [
                ("VERSION", Some("1"), "which one"),
                ("MODE", Some("given"), "")
            ]
        );
        let own = super::outline(&file, &stages, 0, &BTreeMap::new());
        assert_eq!(own.args[1].value.as_deref(), Some("m-1"));
        assert_eq!(
            outline.secrets,
            [Wanted {
                name: "key".into(),
                required: true,
                location: Lines::one(7),
            }]
        );
        assert_eq!(
            outline.ssh,
            [Wanted {
                name: "default".into(),
                required: false,
                location: Lines::one(7),
            }]
        );
    }

    #[test]
    fn only_what_reaches_the_target_is_told() {
        let text = "ARG kept=box\nARG other=box2\nARG unused=abc${other}\nARG suffix=\"usy${kept}\"\nARG again=1\n\
                    FROM b${suffix} AS first\nARG again\nENV E=env\nFROM alpine${unused} AS second\n\
                    FROM first AS target\nARG BAR=2\n\
                    RUN --mount=type=secret,id=second${BAR}$E --mount=type=ssh,id=x$nothing y\n";
        let file = Dockerfile::parse("Dockerfile", text.to_owned()).unwrap();
        let stages = Stages::of(&file, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        let outline = outline(&file, &stages, 2, &BTreeMap::new());
        let args: Vec<_> = outline.args.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(args, ["kept", "suffix", "again", "BAR"]);
        assert_eq!(outline.secrets[0].name, "second2env");
        assert_eq!(outline.ssh[0].name, "x");
    }
}
