//! `berth inspect`: everything about containers and images, in Docker's shape.

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_host::format::listing::unparsable;
use berth_host::format::{Record, Template};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Inspect>(
    "inspect",
    Group::Run,
    "Print everything about containers or images",
    "[OPTIONS] NAME|ID [NAME|ID...]",
)
.examples(
    "berth inspect web\n\
     berth inspect -f '{{.State.Status}} {{.State.ExitCode}}' web\n\
     berth inspect -f '{{json .NetworkSettings.Ports}}' web",
);

pub(crate) const CONTAINER: Verb = Verb::new::<InspectContainer>(
    "inspect",
    Group::Run,
    "Print everything about containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
);

pub(crate) const IMAGE: Verb = Verb::new::<InspectImage>(
    "inspect",
    Group::Images,
    "Print everything about images",
    "[OPTIONS] IMAGE [IMAGE...]",
);

/// What is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Containers.
    Container,
    /// Images.
    Image,
}

/// The flags of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The objects, by name or id
    #[arg(value_name = "NAME|ID", required = true, hide = true)]
    names: Vec<String>,
    /// Print json, or what a Go template makes of it
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Measure how much containers occupy
    #[arg(short, long)]
    size: bool,
    /// Look only for this kind of object
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<Kind>,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        inspect(context, &self.names, &self.format, |name| match self.kind {
            Some(Kind::Container) => container(&engine, name, self.size),
            Some(Kind::Image) => image(&engine, name, None),
            None => either(&engine, name, self.size),
        })
    }
}

/// The flags of `container inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectContainer {
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    names: Vec<String>,
    /// Print json, or what a Go template makes of it
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Measure how much they occupy
    #[arg(short, long)]
    size: bool,
}

impl Arguments for InspectContainer {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        inspect(context, &self.names, &self.format, |name| {
            container(&engine, name, self.size)
        })
    }
}

/// The flags of `image inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectImage {
    /// The images, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    names: Vec<String>,
    /// Print json, or what a Go template makes of it
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Look at the image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
}

impl Arguments for InspectImage {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let platform = self.platform.as_deref();
        inspect(context, &self.names, &self.format, |name| {
            image(&engine, name, platform)
        })
    }
}

fn container(engine: &Engine, name: &str, size: bool) -> Result<Value> {
    let id = engine.find(name)?;
    as_value(&engine.inspect(&id, size)?)
}

fn image(engine: &Engine, name: &str, platform: Option<&str>) -> Result<Value> {
    as_value(&engine.image(name, platform)?)
}

fn either(engine: &Engine, name: &str, size: bool) -> Result<Value> {
    let missing = |error: &Error| matches!(error.class(), Class::NotFound | Class::Invalid);
    match container(engine, name, size) {
        Err(error) if missing(&error) => {}
        found_or_failed => return found_or_failed,
    }
    match image(engine, name, None) {
        Err(error) if missing(&error) => Err(Error::new(
            Class::NotFound,
            format!("no such object: {name}"),
        )
        .hint("berth ps -a lists the containers, berth images the images")),
        found_or_failed => found_or_failed,
    }
}

pub(crate) fn as_value(document: &impl Serialize) -> Result<Value> {
    serde_json::to_value(document)
        .map_err(|error| Error::new(Class::Internal, "cannot write the document").caused_by(error))
}

/// Prints what was found, tells what was not, and ends with 1 if anything was missing.
pub(crate) fn inspect(
    context: &Context,
    names: &[String],
    format: &str,
    find: impl Fn(&str) -> Result<Value>,
) -> Outcome {
    // A wrong template is told before anything is looked for.
    let template = match format {
        "" | "json" => None,
        text => Some(Template::parse(text).map_err(|error| unparsable(text, error))?),
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
        None => text = document(&Value::Array(found), format.is_empty())?,
        Some(template) => {
            for value in found {
                match template.render(&Record::new(value)) {
                    Ok(line) => {
                        text.push_str(&line);
                        text.push('\n');
                    }
                    Err(error) => failures.push(
                        Error::new(Class::Invalid, "cannot render the format")
                            .caused_by(error)
                            .hint("leave --format away to see every field"),
                    ),
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

/// JSON as Docker prints it: indented by four spaces, or in one line.
fn document(value: &Value, indented: bool) -> Result<String> {
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
            document(&value, true).unwrap(),
            "[\n    {\n        \"Id\": \"x\",\n        \"List\": [],\n        \"Map\": {},\n        \
             \"State\": {\n            \"Running\": true\n        }\n    }\n]\n"
        );
        assert_eq!(document(&json!([]), true).unwrap(), "[]\n");
        assert_eq!(
            document(&json!([{"a": 1}]), false).unwrap(),
            "[{\"a\":1}]\n"
        );
    }
}
