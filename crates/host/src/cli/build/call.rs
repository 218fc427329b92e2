//! `--call`: questions about a Dockerfile that are answered without building it.

use std::collections::BTreeMap;

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_host::build::dockerfile::outline::{Outline, Target, outline, targets};
use berth_host::build::dockerfile::{Dockerfile, Stages, check};
use berth_host::build::ignore::Patterns;
use berth_host::build::scope::predefined_arguments;
use berth_host::build::{BuildRequest, check_directive_of};
use berth_image::Platform;

use crate::cli::{Context, Outcome};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Nothing: build.
    Build,
    /// Whether there are mistakes.
    Check,
    /// What the target takes.
    Outline,
    /// What can be built.
    Targets,
}

/// A question, and whether the answer is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    question: Question,
    json: bool,
}

impl Call {
    /// `--check`.
    pub(super) const CHECK: Self = Self {
        question: Question::Check,
        json: false,
    };

    /// `build`, `check`, `outline` or `targets`, each with `,format=json` but the first.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, format) = text.split_once(',').unwrap_or((text, ""));
        let json = match format {
            "" | "format=text" => false,
            "format=json" => true,
            other => return Err(format!("unexpected {other:?}; format=json is there")),
        };
        let question = match name {
            "" | "build" => Question::Build,
            "check" | "lint" => Question::Check,
            "outline" => Question::Outline,
            "targets" => Question::Targets,
            _ => return Err("use build, check, outline or targets".to_owned()),
        };
        Ok(Self { question, json })
    }

    /// Whether there is something to answer instead of building.
    pub(super) fn asks(&self) -> bool {
        self.question != Question::Build
    }

    /// Answers on standard output.
    pub(super) fn answer(
        self,
        context: &Context,
        engine: &Engine,
        request: &BuildRequest,
    ) -> Outcome {
        let name = &request.dockerfile_name;
        if self.question == Question::Check {
            return self.report_checks(context, engine, request);
        }
        let file = Dockerfile::parse(name, request.dockerfile.clone())?;
        let file = file.with_base(request.base.as_deref());
        let platform = predefined(&file, request);
        let stages = Stages::of(&file, &request.arguments, &platform)
            .map_err(|misread| file.refuse(misread.reason, misread.lines))?;
        let text = if self.question == Question::Targets {
            let found = targets(&stages);
            if self.json {
                pretty(&serde_json::json!({ "targets": found, "sources": [file.encoded()] }))
            } else {
                targets_text(&found)
            }
        } else {
            let target = stages
                .target(request.target.as_deref())
                .map_err(|reason| Error::new(Class::Invalid, reason))?;
            let stages = stages.with_contexts(request.contexts.keys());
            let found = outline(&file, &stages, target, &request.arguments);
            if self.json {
                let mut document = serde_json::json!(found);
                document["sources"] = serde_json::json!([file.encoded()]);
                pretty(&document)
            } else {
                outline_text(&found)
            }
        };
        context.screen.data(&text)?;
        Ok(0)
    }

    /// `--check`: 1 when something was found.
    fn report_checks(self, context: &Context, engine: &Engine, request: &BuildRequest) -> Outcome {
        let (file, misread) =
            Dockerfile::read_so_far(&request.dockerfile_name, &request.dockerfile);
        let file = file.with_base(request.base.as_deref());
        let directive = check_directive_of(&file, request)?;
        let ignored = Patterns::from_file(&request.ignore).map_err(|reason| {
            Error::new(Class::Invalid, "cannot use the ignore file").caused_by(reason)
        })?;
        let everything = request.target.is_none();
        let place = (request, &ignored);
        let found = engine.check_dockerfile((&file, misread), place, &directive, everything);
        let mut failure = found.failure.clone();
        let first = found.warnings.first();
        if let (None, true, Some(first)) = (&failure, directive.error, first) {
            failure = Some(check::Failure::of_warnings(&found.warnings, first.lines));
        }
        let text = if self.json {
            pretty(&check::document(&file, &found.warnings, failure.as_ref()))
        } else {
            check::report(&file, &found.warnings, failure.is_some())
        };
        context.screen.data(&text)?;
        match failure {
            Some(failure) => Err(failure.into_error(&file)),
            None => Ok(u8::from(!found.warnings.is_empty())),
        }
    }
}

fn predefined(file: &Dockerfile, request: &BuildRequest) -> BTreeMap<String, String> {
    let host = Platform::host();
    let target = request.platforms.first().unwrap_or(&host);
    predefined_arguments((target, &host), file.stage_name(request.target.as_deref()))
}

fn pretty(document: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// Columns as wide as what they hold; the last one is not filled up.
fn table(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max();
            let width = width.unwrap_or(0) + 3;
            line.push_str(&format!("{cell:<width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn targets_text(targets: &[Target]) -> String {
    let mut rows = vec![row(&["TARGET", "DESCRIPTION"])];
    for target in targets {
        let name = match (target.name.as_str(), target.default) {
            ("", true) => "(default)".to_owned(),
            ("", false) => "(unnamed)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        };
        rows.push(vec![name, target.description.clone()]);
    }
    table(&rows)
}

fn outline_text(outline: &Outline) -> String {
    let name = match outline.name.as_str() {
        "" => "(default)",
        name => name,
    };
    let mut head = vec![row(&["TARGET:", name])];
    if !outline.description.is_empty() {
        head.push(row(&["DESCRIPTION:", &outline.description]));
    }
    let mut parts = vec![table(&head)];
    if !outline.args.is_empty() {
        let mut rows = vec![row(&["BUILD ARG", "VALUE", "DESCRIPTION"])];
        for argument in &outline.args {
            let value = argument.value.as_deref().unwrap_or_default();
            rows.push(row(&[&argument.name, value, &argument.description]));
        }
        parts.push(table(&rows));
    }
    for (title, wanted) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        if wanted.is_empty() {
            continue;
        }
        let mut rows = vec![row(&[title, "REQUIRED"])];
        for one in wanted {
            rows.push(row(&[&one.name, if one.required { "true" } else { "" }]));
        }
        parts.push(table(&rows));
    }
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_from_builds() {
        for (text, expected) in [
            ("build", Some((Question::Build, false))),
            ("check", Some((Question::Check, false))),
            ("lint", Some((Question::Check, false))),
            ("outline", Some((Question::Outline, false))),
            ("targets,format=json", Some((Question::Targets, true))),
            ("check,format=json", Some((Question::Check, true))),
            ("list", None),
            ("outline,x=y", None),
        ] {
            let found = Call::parse(text).ok();
            let found = found.map(|call| (call.question, call.json));
            assert_eq!(found, expected, "{text}");
        }
    }
}
