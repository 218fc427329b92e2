//! Verbs that print one document, or one for each name: as people read it, as JSON, or through a template.

use berth_contract::{Class, Error, Result};
use berth_host::format::listing::unparsable;
use berth_host::format::{Record, Template};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{Context, Outcome};

/// Docker's exit status for a `--format` that is no template.
const NO_TEMPLATE: u8 = 64;

/// `--format` of such a verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Format {
    /// Print json, or what a Go template makes of it
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
}

impl Format {
    /// The template, if one was given; a wrong one is told, and what is returned ends the verb.
    fn template(&self, context: &Context) -> std::result::Result<Option<Template>, u8> {
        match self.format.as_str() {
            "" | "json" => Ok(None),
            text => Template::parse(text).map(Some).map_err(|error| {
                context.screen.fail(&unparsable(text, error));
                NO_TEMPLATE
            }),
        }
    }

    /// Prints one document; `overview` is how people read it.
    ///
    /// # Errors
    /// The template names a field the document does not have.
    pub(crate) fn print(
        &self,
        context: &Context,
        document: Value,
        overview: impl FnOnce() -> String,
    ) -> Outcome {
        let template = match self.template(context) {
            Ok(template) => template,
            Err(status) => return Ok(status),
        };
        let text = match template {
            Some(template) => render(&template, document)?,
            None if self.format.is_empty() => overview(),
            None => format!("{document}\n"),
        };
        context.screen.data(&text)?;
        Ok(0)
    }

    /// Prints what is found by each name, tells what is not, and ends with 1 if anything is missing.
    ///
    /// # Errors
    /// Standard output takes no more.
    pub(crate) fn inspect(
        &self,
        context: &Context,
        names: &[String],
        find: impl Fn(&str) -> Result<Value>,
    ) -> Outcome {
        // A wrong template is told before anything is looked for.
        let template = match self.template(context) {
            Ok(template) => template,
            Err(status) => return Ok(status),
        };
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for name in names {
            match find(name) {
                Ok(value) => found.push(value),
                Err(error) => failures.push(error),
            }
        }
        let mut text = String::new();
        match &template {
            None => text = written(&Value::Array(found), self.format.is_empty())?,
            Some(template) => {
                for value in found {
                    match render(template, value) {
                        Ok(line) => text.push_str(&line),
                        Err(error) => failures.push(error),
                    }
                }
            }
        }
        context.screen.data(&text)?;
        for failure in &failures {
            context.screen.fail(failure);
        }
        Ok(u8::from(!failures.is_empty()))
    }
}

fn render(template: &Template, document: Value) -> Result<String> {
    let line = template.render(&Record::new(document)).map_err(|error| {
        Error::new(Class::Invalid, "cannot render the format")
            .caused_by(error)
            .hint("--format json shows every field")
    })?;
    Ok(line + "\n")
}

/// A document as JSON.
///
/// # Errors
/// It cannot be written as JSON.
pub(crate) fn as_value(document: &impl Serialize) -> Result<Value> {
    serde_json::to_value(document)
        .map_err(|error| Error::new(Class::Internal, "cannot write the document").caused_by(error))
}

/// JSON as Docker prints it: indented by four spaces, or in one line.
fn written(value: &Value, indented: bool) -> Result<String> {
    let mut bytes = Vec::new();
    let written = if indented {
        let formatter = PrettyFormatter::with_indent(b"    ");
        value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
    } else {
        serde_json::to_writer(&mut bytes, value)
    };
    written.map_err(|error| {
        Error::new(Class::Internal, "cannot write the document").caused_by(error)
    })?;
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_indented_as_dockers() {
        let value = json!([{"Id": "x", "List": [], "Map": {}, "State": {"Running": true}}]);
        assert_eq!(
            written(&value, true).unwrap(),
            "[\n    {\n        \"Id\": \"x\",\n        \"List\": [],\n        \"Map\": {},\n        \
             \"State\": {\n            \"Running\": true\n        }\n    }\n]\n"
        );
        assert_eq!(written(&json!([]), true).unwrap(), "[]\n");
        assert_eq!(written(&json!([{"a": 1}]), false).unwrap(), "[{\"a\":1}]\n");
    }
}
