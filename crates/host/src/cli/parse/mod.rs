//! The grammars of flag values: text in, value or reason out. No files, no environment.
//!
//! Every function is a clap value parser: its reason appears below `invalid value … for --flag`.

pub(crate) mod device;
pub(crate) mod environment;
pub(crate) mod limit;
pub(crate) mod mount;
pub(crate) mod name;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod size;

use std::collections::BTreeMap;

use berth_contract::{Class, Error};

/// A value, or why the text is none.
pub(crate) type Parsed<T> = Result<T, String>;

/// Splits one record of comma-separated values; a value with commas stands in double quotes.
pub(crate) fn fields(record: &str) -> Parsed<Vec<String>> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = record.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if quoted {
        return Err("a double quote is not closed".into());
    }
    fields.push(field);
    Ok(fields)
}

/// Annotations, each written as KEY=VALUE.
///
/// # Errors
/// One has no `=`.
pub(crate) fn annotations(texts: Vec<String>) -> Result<BTreeMap<String, String>, Error> {
    let mut annotations = BTreeMap::new();
    for text in texts {
        let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            let message = format!("invalid annotation {text:?}");
            return Err(Error::new(Class::Invalid, message).hint("write it as KEY=VALUE"));
        };
        annotations.insert(key.to_owned(), value.to_owned());
    }
    Ok(annotations)
}

/// Go's spellings of a truth value.
pub(crate) fn truth(text: &str) -> Parsed<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it must be true or false".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_commas_outside_quotes() {
        for (record, expected) in [
            ("a,b", &["a", "b"][..]),
            ("a", &["a"]),
            ("", &[""]),
            ("a,\"b,c\",d", &["a", "b,c", "d"]),
            ("\"say \"\"hi\"\"\"", &["say \"hi\""]),
            ("a=\"b", &["a=\"b"]),
        ] {
            assert_eq!(fields(record).unwrap(), expected, "{record}");
        }
        assert!(fields("\"a").is_err());
    }
}
