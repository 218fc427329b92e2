//! Go's `text/template` as far as scripts use it with `--format`, over JSON values.
//!
//! ```text
//! text ──lex──► tokens ──parse──► nodes ──evaluate(record)──► text
//! ```
//!
//! Supported: fields, `if`/`else if`/`with`/`range`/`break`/`continue`, variables, pipelines,
//! parentheses, comments, `{{-` and `-}}`, Go's comparison and printing functions and Docker's own
//! (`json split join title lower upper pad truncate println`). `define`, `template` and `block` are
//! refused by name. Errors read as Go's do: `template: :1:2: executing "" at <.Foo>: …`.

mod evaluate;
mod function;
mod item;
mod lex;
mod parse;
mod print;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use self::evaluate::Evaluation;
pub use self::function::escape_query;
use self::parse::Node;

/// A template that was parsed once and is executed for each record.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
}

/// What a template is executed over: fields as JSON, and the labels behind `{{.Label "key"}}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The fields, with Docker's names.
    pub fields: Value,
    /// The labels that the method `.Label` looks up; `None` when the record has no such method.
    pub labels: Option<BTreeMap<String, String>>,
}

impl Record {
    /// A record without the `.Label` method.
    #[must_use]
    pub fn new(fields: Value) -> Self {
        Self {
            fields,
            labels: None,
        }
    }
}

/// Why a template could not be parsed or executed, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError(String);

impl std::fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The text is not a template, or uses a function that does not exist.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let nodes = parse::parse(text)?;
        Ok(Self {
            text: text.to_owned(),
            nodes,
        })
    }

    /// Executes the template over one record.
    ///
    /// # Errors
    /// A field does not exist, or a function was given what it cannot take.
    pub fn render(&self, record: &Record) -> Result<String, TemplateError> {
        Evaluation::new(&self.text, record, false).run(&self.nodes)
    }

    /// Executes the template over column titles: Docker's functions pass their input through.
    ///
    /// # Errors
    /// As for [`Template::render`].
    pub fn render_header(&self, titles: &Record) -> Result<String, TemplateError> {
        Evaluation::new(&self.text, titles, true).run(&self.nodes)
    }
}
