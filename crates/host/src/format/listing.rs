//! `--format` of a listing: a table, JSON lines, or a template for each row.

use berth_contract::{Class, Error, Result};
use serde_json::{Map, Value};

use super::table;
use super::template::{Record, Template, TemplateError};

/// One field of a row: its name in a template and its title in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The field's name: `ID`.
    pub field: &'static str,
    /// The title above it: `CONTAINER ID`.
    pub title: &'static str,
}

impl Column {
    /// The column of `field` under `title`.
    #[must_use]
    pub const fn new(field: &'static str, title: &'static str) -> Self {
        Self { field, title }
    }
}

/// A parsed `--format`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    template: Template,
    table: bool,
}

impl Layout {
    /// Parses `--format` of a listing; empty and `table` mean `standard`, which is a table's template.
    ///
    /// # Errors
    /// The text is not a template.
    pub fn parse(format: &str, standard: &str) -> Result<Self> {
        let (text, table) = match format.trim_start() {
            "" | "table" => (standard.to_owned(), true),
            "json" => ("{{json .}}".to_owned(), false),
            other => match other
                .strip_prefix("table")
                .filter(|rest| rest.starts_with([' ', '\t']))
            {
                Some(template) => (template.trim_start().to_owned(), true),
                None => (format.to_owned(), false),
            },
        };
        // Docker lets people write \t and \n in a shell's single quotes.
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let template = Template::parse(&text).map_err(|error| unparsable(format, error))?;
        Ok(Self { template, table })
    }

    /// Renders rows of `columns`; a table has its titles first even when there is no row.
    ///
    /// # Errors
    /// The template names a field the rows do not have.
    pub fn render(
        &self,
        columns: &[Column],
        rows: impl IntoIterator<Item = Record>,
    ) -> Result<String> {
        let mut text = String::new();
        if self.table {
            let titles = columns
                .iter()
                .map(|column| (column.field.to_owned(), Value::from(column.title)))
                .collect::<Map<_, _>>();
            let titles = Record {
                fields: Value::Object(titles),
                labels: Some([].into()),
            };
            text.push_str(
                &self
                    .template
                    .render_header(&titles)
                    .map_err(|error| unknown(columns, error))?,
            );
            text.push('\n');
        }
        for row in rows {
            text.push_str(
                &self
                    .template
                    .render(&row)
                    .map_err(|error| unknown(columns, error))?,
            );
            text.push('\n');
        }
        Ok(if self.table {
            table::align(&text)
        } else {
            text
        })
    }
}

/// The failure of a `--format` that is no template.
#[must_use]
pub fn unparsable(format: &str, error: TemplateError) -> Error {
    Error::new(
        Class::Invalid,
        format!("cannot parse the format {format:?}"),
    )
    .caused_by(error)
    .hint("--format json shows every field")
}

fn unknown(columns: &[Column], error: TemplateError) -> Error {
    let fields: Vec<String> = columns
        .iter()
        .map(|column| format!(".{}", column.field))
        .collect();
    Error::new(Class::Invalid, "cannot render the format")
        .caused_by(error)
        .hint(format!("the fields are {}", fields.join(" ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 2] = [
        Column::new("ID", "CONTAINER ID"),
        Column::new("Names", "NAMES"),
    ];

    fn show(format: &str) -> String {
        let row = Record {
            fields: json!({"ID": "abc", "Names": "web"}),
            labels: Some([].into()),
        };
        Layout::parse(format, "{{.ID}}\t{{.Names}}")
            .and_then(|layout| layout.render(&COLUMNS, [row]))
            .unwrap_or_else(|error| format!("! {error}: {:?}", std::error::Error::source(&error)))
    }

    #[test]
    fn formats_are_dockers() {
        for (format, expected) in [
            ("", "CONTAINER ID   NAMES\nabc            web\n"),
            ("table", "CONTAINER ID   NAMES\nabc            web\n"),
            (
                "table {{.Names}}\\t{{upper .ID}}",
                "NAMES     CONTAINER ID\nweb       ABC\n",
            ),
            ("json", "{\"ID\":\"abc\",\"Names\":\"web\"}\n"),
            ("{{.ID}}:\\t{{.Names}}", "abc:\tweb\n"),
            ("tablet {{.ID}}", "tablet abc\n"),
        ] {
            assert_eq!(show(format), expected, "{format}");
        }
        assert!(show("{{.Nope}}").starts_with("! cannot render the format"));
        assert!(show("{{.ID").starts_with("! cannot parse the format"));
    }
}
