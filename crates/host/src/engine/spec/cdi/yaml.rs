//! YAML as the JSON document it stands for: what CDI files are written in unless they are JSON.
//!
//! Plain words are what Go's YAML makes of them, which those files are written and read by: numbers may be
//! octal. What refers to another place (aliases) is refused, for it can make a small file endless.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The one document of a text; the failure is a sentence for a person.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    // The parser bounds how deep things nest.
    let events = Parser::new_from_str(text).map(|event| match event {
        Ok((event, _)) => Ok(event),
        Err(error) => Err(error.to_string()),
    });
    let mut events = Events(Box::new(events));
    let mut document = None;
    loop {
        match events.next()? {
            Event::StreamEnd => return document.ok_or_else(|| "it is empty".to_owned()),
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if document.is_some() => return Err("it holds several documents".to_owned()),
            event => document = Some(events.value(event)?),
        }
    }
}

struct Events<'text>(Box<dyn Iterator<Item = Result<Event<'text>, String>> + 'text>);

impl<'text> Events<'text> {
    fn next(&mut self) -> Result<Event<'text>, String> {
        self.0.next().unwrap_or(Ok(Event::StreamEnd))
    }

    /// What an event begins.
    fn value(&mut self, event: Event<'text>) -> Result<Value, String> {
        match event {
            Event::Scalar(word, ScalarStyle::Plain, _, None) => Ok(plain(&word)),
            Event::Scalar(word, ..) => Ok(word.into_owned().into()),
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(list.into()),
                        event => list.push(self.value(event)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => return Ok(map.into()),
                        Event::Scalar(word, ..) => word.into_owned(),
                        _ => return Err("a key is no word".to_owned()),
                    };
                    let event = self.next()?;
                    let value = self.value(event)?;
                    if map.insert(key.clone(), value).is_some() {
                        return Err(format!("{key:?} is there twice"));
                    }
                }
            }
            Event::Alias(_) => Err("it has aliases".to_owned()),
            _ => Err("it ends too early".to_owned()),
        }
    }
}

/// A word without quotes.
fn plain(word: &str) -> Value {
    let octal = word.strip_prefix("0o").or(word.strip_prefix('0'));
    let number = match octal.filter(|digits| !digits.is_empty()) {
        Some(digits) => i64::from_str_radix(digits, 8).ok(),
        None => word.parse().ok(),
    };
    match (word, number) {
        (_, Some(number)) => number.into(),
        ("" | "~" | "null", _) => Value::Null,
        ("true", _) => true.into(),
        ("false", _) => false.into(),
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_what_they_stand_for() {
        for (text, expected) in [
            (
                "a: 1\nb: [x, 'y z', \"1\"]\n",
                json!({"a": 1, "b": ["x", "y z", "1"]}),
            ),
            (
                "---\na:\n  - b: ~\n    c: true\n  - 0660\n",
                json!({"a": [{"b": null, "c": true}, 432]}),
            ),
            (
                "v: 0.6.0\nm: 0o17\nn: 0\nneg: -3\n",
                json!({"v": "0.6.0", "m": 15, "n": 0, "neg": -3}),
            ),
            ("{}", json!({})),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_damaged_or_endless_is_refused() {
        let deep = "[".repeat(100_000);
        for (text, reason) in [
            ("", "empty"),
            ("a: &x [1]\nb: *x\n", "aliases"),
            ("a: 1\na: 2\n", "twice"),
            ("a\n---\nb\n", "several"),
            ("[a, b", ""),
            (&deep, ""),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(reason) && !told.contains('\n'), "{told}");
        }
    }
}
