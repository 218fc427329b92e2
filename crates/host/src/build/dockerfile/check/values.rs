//! Checks of single instructions: values, variables, descriptions, files that are not there.

use std::collections::BTreeSet;

use super::{Inputs, Rule, Warning, suggestion, variables};
use crate::build::dockerfile::Dockerfile;
use crate::build::dockerfile::expand::{NoVariables, Variables as _, expand, expand_raw};
use crate::build::dockerfile::instruction::{Argument, Copy, Instruction, Located, Pairs};
use crate::build::dockerfile::stage::{Base, Stage, Stages};
use crate::build::ignore::{Patterns, clean};
use crate::build::scope::{PATH, Scope};

/// Parts of a name, divided by `_`, that speak of a secret.
const SECRETS: [&str; 11] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "secrets",
    "token",
];

pub(super) fn check(one: &Located, ignored: Option<&Patterns>, warnings: &mut Vec<Warning>) {
    let mut warn = |rule, detail| {
        warnings.push(Warning {
            rule,
            detail,
            lines: one.lines,
        });
    };
    match &one.instruction {
        Instruction::Maintainer(_) => warn(
            Rule::MaintainerDeprecated,
            "Maintainer instruction is deprecated in favor of using label".to_owned(),
        ),
        Instruction::Env(pairs) => {
            legacy(pairs, "ENV", &mut warn);
            for (name, _) in &pairs.pairs {
                secret("ENV", name, &mut warn);
            }
        }
        Instruction::Label(pairs) => legacy(pairs, "LABEL", &mut warn),
        Instruction::Arg(arguments) => {
            for argument in arguments {
                secret("ARG", &argument.name, &mut warn);
            }
            let names: Vec<&str> = arguments
                .iter()
                .map(|argument| argument.name.as_str())
                .collect();
            description("ARG", &names, &one.comments, &mut warn);
        }
        Instruction::From(from) => {
            // The names of stages are lower-case to everyone who looks for them.
            let name = from.alias.as_ref().map(|(name, _)| name.to_lowercase());
            let names: Vec<&str> = name.iter().map(String::as_str).collect();
            description("FROM", &names, &one.comments, &mut warn);
        }
        Instruction::Expose(ports) => expose(ports, &mut warn),
        Instruction::Copy(copy) => ignored_sources(copy, ignored, &mut warn),
        _ => {}
    }
}

type Warn<'a> = dyn FnMut(Rule, String) + 'a;

fn legacy(pairs: &Pairs, name: &str, warn: &mut Warn<'_>) {
    if pairs.legacy {
        let detail = format!(
            "\"{name} key=value\" should be used instead of legacy \"{name} key value\" format"
        );
        warn(Rule::LegacyKeyValueFormat, detail);
    }
}

fn secret(instruction: &str, name: &str, warn: &mut Warn<'_>) {
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(&SECRETS) && !has(&["public"]) {
        let detail = format!(
            "Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})"
        );
        warn(Rule::SecretsUsedInArgOrEnv, detail);
    }
}

fn description(instruction: &str, names: &[&str], comments: &[String], warn: &mut Warn<'_>) {
    let (Some(comment), [first, rest @ ..]) = (comments.last(), names) else {
        return;
    };
    let word = comment.split(' ').next().unwrap_or_default();
    if comment.is_empty() || names.contains(&word) {
        return;
    }
    let example = if rest.is_empty() { first } else { "<arg_key>" };
    let detail =
        format!("Comment for {instruction} should follow the format: `# {example} <description>`");
    warn(Rule::InvalidDefinitionDescription, detail);
}

fn expose(ports: &[String], warn: &mut Warn<'_>) {
    for port in ports {
        let (number, protocol) = port.split_once('/').unwrap_or((port, ""));
        if protocol != protocol.to_lowercase() {
            let detail =
                format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
            warn(Rule::ExposeProtoCasing, detail);
        }
        if number.contains(':') && !number.contains('$') {
            let detail = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            );
            warn(Rule::ExposeInvalidFormat, detail);
        }
    }
}

fn ignored_sources(copy: &Copy, ignored: Option<&Patterns>, warn: &mut Warn<'_>) {
    let Some(patterns) = ignored.filter(|_| copy.from.is_none()) else {
        return;
    };
    for source in &copy.sources {
        let path = clean(source);
        let path = path.trim_start_matches('/');
        if path != "." && !source.contains("://") && patterns.matches(path) {
            let verb = if copy.add { "Add" } else { "Copy" };
            let detail =
                format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
            warn(Rule::CopyIgnoredFile, detail);
        }
    }
}

/// Goes through the stages with what is set at each point.
pub(super) fn check_variables(
    file: &Dockerfile,
    stages: &Stages,
    inputs: &Inputs<'_>,
    warnings: &mut Vec<Warning>,
) {
    let mut scopes: Vec<Option<Scope>> = Vec::new();
    for stage in &stages.stages {
        let mut scope = match &stage.base {
            Base::Scratch => Some(Scope::of_environment(&[format!("PATH={PATH}")])),
            Base::Stage(index) => scopes.get(*index).cloned().flatten(),
            Base::Image(name) => inputs
                .environments
                .get(name)
                .map(|known| Scope::of_environment(known)),
        };
        if let Some(scope) = &mut scope {
            stage_variables(file, stage, (stages, inputs, scope), warnings);
        }
        scopes.push(scope);
    }
}

fn stage_variables(
    file: &Dockerfile,
    stage: &Stage,
    (stages, inputs, scope): (&Stages, &Inputs<'_>, &mut Scope),
    warnings: &mut Vec<Warning>,
) {
    let escape = file.directives.escape;
    for one in &stage.instructions {
        let mut missing = BTreeSet::new();
        for text in texts(&one.instruction) {
            missing.extend(variables(text, escape));
        }
        if let Instruction::Copy(copy) = &one.instruction {
            for heredoc in copy.heredocs.iter().filter(|heredoc| heredoc.expands) {
                let expanded = expand_raw(&heredoc.content, &NoVariables).unwrap_or_default();
                missing.extend(expanded.missing);
            }
        }
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
        match &one.instruction {
            Instruction::Env(pairs) => {
                let before = scope.clone();
                for (name, value) in &pairs.pairs {
                    let value = expand(value, escape, &before).map(|value| value.text);
                    scope.set(name, &value.unwrap_or_default());
                }
            }
            Instruction::Arg(arguments) => arguments
                .iter()
                .for_each(|argument| declare(argument, (stages, inputs, escape), scope)),
            _ => {}
        }
    }
}

fn declare(
    argument: &Argument,
    (stages, inputs, escape): (&Stages, &Inputs<'_>, char),
    scope: &mut Scope,
) {
    let name = &argument.name;
    let default = argument.default.as_ref();
    let default = default.and_then(|default| expand(default, escape, scope).ok());
    let value = inputs
        .arguments
        .get(name)
        .cloned()
        .or_else(|| default.map(|default| default.text))
        .or_else(|| stages.globals.get(name).cloned())
        .or_else(|| inputs.platform.get(name).cloned());
    scope.declare(name, value);
}

/// The texts of an instruction in which variables are expanded.
fn texts(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Env(pairs) | Instruction::Label(pairs) => pairs
            .pairs
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value.as_str()])
            .collect(),
        Instruction::Copy(copy) => {
            let flags = [&copy.chown, &copy.chmod, &copy.from];
            let flags = flags.into_iter().filter_map(|flag| flag.as_deref());
            let words = copy.sources.iter().map(String::as_str);
            flags
                .chain(words)
                .chain([copy.destination.as_str()])
                .collect()
        }
        Instruction::Expose(words) | Instruction::Volume(words) => {
            words.iter().map(String::as_str).collect()
        }
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
