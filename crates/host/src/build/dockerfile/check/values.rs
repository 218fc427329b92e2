//! Checks of single instructions: values, descriptions, files that are not there.

use super::{Rule, Warning};
use crate::build::dockerfile::instruction::{Copy, Instruction, Located, Pairs};
use crate::build::ignore::{Patterns, clean};

/// Parts of a name, divided by `_`, that speak of a secret.
const SECRETS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// Parts that say that it holds none.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// What is told of an instruction as soon as it is read.
pub(super) fn read(one: &Located, warnings: &mut Vec<Warning>) {
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
        Instruction::Arg(arguments) => {
            let names = arguments.iter().map(|argument| argument.name.as_str());
            let names: Vec<&str> = names.collect();
            description("ARG", &names, &one.comments, &mut warn);
        }
        Instruction::From(from) => {
            // The names of stages are lower-case to everyone who looks for them.
            let name = from.alias.as_ref().map(|(name, _)| name.to_lowercase());
            let names: Vec<&str> = name.iter().map(String::as_str).collect();
            description("FROM", &names, &one.comments, &mut warn);
        }
        _ => {}
    }
}

/// What is told of an instruction of a stage.
pub(super) fn step(one: &Located, ignored: Option<&Patterns>, warnings: &mut Vec<Warning>) {
    let mut warn = |rule, detail| {
        warnings.push(Warning {
            rule,
            detail,
            lines: one.lines,
        });
    };
    match &one.instruction {
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
    if has(&SECRETS) && !has(&HARMLESS) {
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
        if source.contains("://") {
            continue;
        }
        let path = clean(source);
        let path = path.trim_start_matches('/');
        let is_root = matches!(path, "" | ".");
        let is_ignored = if is_root {
            patterns.ignores_everything()
        } else {
            patterns.matches(path) && !patterns.may_spare(path)
        };
        if is_ignored {
            let path = if is_root { "." } else { path };
            let verb = if copy.add { "Add" } else { "Copy" };
            let detail =
                format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
            warn(Rule::CopyIgnoredFile, detail);
        }
    }
}
