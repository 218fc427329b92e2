//! The functions a template may call: Go's own and the ones Docker adds.

use std::cmp::Ordering;

use serde_json::Value;

use super::item::{Item, Nil};
use super::print::{MAXIMUM_WIDTH, display, kind, printf};

/// A function's outcome; the error is what follows `error calling NAME:`.
type Answer<'a> = Result<Item<'a>, String>;

macro_rules! functions {
    ($($variant:ident $name:literal $least:literal $most:expr;)*) => {
        /// A function of the template language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Function { $($variant),* }

        impl Function {
            /// The function of that name.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// Its name in a template.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The least and the largest number of arguments.
            fn arity(self) -> (usize, usize) {
                match self { $(Self::$variant => ($least, $most)),* }
            }
        }
    };
}

const ANY: usize = usize::MAX;

functions! {
    And "and" 1 ANY;
    Or "or" 1 ANY;
    Not "not" 1 1;
    Eq "eq" 2 ANY;
    Ne "ne" 2 2;
    Lt "lt" 2 2;
    Le "le" 2 2;
    Gt "gt" 2 2;
    Ge "ge" 2 2;
    Len "len" 1 1;
    Index "index" 1 ANY;
    Slice "slice" 1 4;
    Print "print" 0 ANY;
    Println "println" 0 ANY;
    Printf "printf" 1 ANY;
    Html "html" 1 ANY;
    Urlquery "urlquery" 1 ANY;
    Json "json" 1 1;
    Split "split" 2 2;
    Join "join" 2 2;
    Title "title" 1 1;
    Lower "lower" 1 1;
    Upper "upper" 1 1;
    Pad "pad" 3 3;
    Truncate "truncate" 2 2;
}

impl Function {
    /// Go's complaint about a wrong number of arguments.
    pub(super) fn check_arity(self, given: usize) -> Result<(), String> {
        let (least, most) = self.arity();
        if given >= least && given <= most {
            return Ok(());
        }
        let name = self.name();
        let want = if most == ANY {
            format!("at least {least}")
        } else {
            least.to_string()
        };
        Err(format!(
            "wrong number of args for {name}: want {want} got {given}"
        ))
    }

    /// Whether a column title goes through unchanged.
    pub(super) fn passes_titles(self) -> bool {
        matches!(
            self,
            Self::Json
                | Self::Split
                | Self::Join
                | Self::Title
                | Self::Lower
                | Self::Upper
                | Self::Pad
                | Self::Truncate
        )
    }

    /// Calls it; the number of arguments was checked.
    pub(super) fn apply(self, mut arguments: Vec<Item<'_>>) -> Answer<'_> {
        match self {
            // An argument that decides was returned by the caller; what is left is the last one.
            Self::And | Self::Or => arguments.pop().ok_or_else(|| "missing argument".to_owned()),
            Self::Not => Ok(Item::owned(!arguments[0].is_true())),
            Self::Eq => equal_to_any(&arguments),
            Self::Ne => Ok(Item::owned(!equal(
                &arguments[0].value,
                &arguments[1].value,
            )?)),
            Self::Lt => ordered(&arguments, Ordering::is_lt),
            Self::Le => ordered(&arguments, Ordering::is_le),
            Self::Gt => ordered(&arguments, Ordering::is_gt),
            Self::Ge => ordered(&arguments, Ordering::is_ge),
            Self::Len => length(&arguments[0]),
            Self::Index => index(arguments),
            Self::Slice => slice(&arguments),
            Self::Print => Ok(Item::owned(print(&arguments))),
            Self::Println => {
                let words: Vec<String> = arguments.iter().map(display).collect();
                Ok(Item::owned(words.join(" ") + "\n"))
            }
            Self::Printf => printf(&text(&arguments[0])?, &arguments[1..]).map(Item::owned),
            Self::Html => Ok(Item::owned(escape_html(&print(&arguments)))),
            Self::Urlquery => Ok(Item::owned(escape_query(&print(&arguments)))),
            Self::Json => serde_json::to_string(&arguments[0].value)
                .map(Item::owned)
                .map_err(|error| error.to_string()),
            Self::Split => split(&arguments),
            Self::Join => join(&arguments),
            Self::Title => Ok(Item::owned(title(&text(&arguments[0])?))),
            Self::Lower => Ok(Item::owned(text(&arguments[0])?.to_lowercase())),
            Self::Upper => Ok(Item::owned(text(&arguments[0])?.to_uppercase())),
            Self::Pad => pad(&arguments),
            Self::Truncate => truncate(&arguments),
        }
    }
}

fn text(item: &Item<'_>) -> Result<String, String> {
    match item.value.as_ref() {
        Value::String(text) => Ok(text.clone()),
        other => Err(format!(
            "wrong type for value; expected string; got {}",
            kind(other)
        )),
    }
}

fn number(item: &Item<'_>) -> Result<usize, String> {
    let value = item.value.as_ref();
    match value.as_i64() {
        Some(number) => usize::try_from(number)
            .ok()
            .ok_or_else(|| format!("index out of range: {number}")),
        None => Err(format!(
            "wrong type for value; expected int; got {}",
            kind(value)
        )),
    }
}

fn width(item: &Item<'_>) -> Result<usize, String> {
    let width = number(item)?;
    if width > MAXIMUM_WIDTH {
        Err(format!("width is above {MAXIMUM_WIDTH}"))
    } else {
        Ok(width)
    }
}

fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    match (left, right) {
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            if left.is_null() || right.is_null() {
                return Ok(false);
            }
            Err(format!(
                "non-comparable type {}",
                kind(if left.is_array() { left } else { right })
            ))
        }
        (Value::Null, _) | (_, Value::Null) => Ok(left == right),
        (Value::Number(left), Value::Number(right)) => {
            Ok(left == right || (left.as_f64().is_some() && left.as_f64() == right.as_f64()))
        }
        _ if kind(left) == kind(right) => Ok(left == right),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn equal_to_any<'a>(arguments: &[Item<'_>]) -> Answer<'a> {
    for other in &arguments[1..] {
        if equal(&arguments[0].value, &other.value)? {
            return Ok(Item::owned(true));
        }
    }
    Ok(Item::owned(false))
}

fn ordered<'a>(arguments: &[Item<'_>], holds: fn(Ordering) -> bool) -> Answer<'a> {
    let (left, right) = (arguments[0].value.as_ref(), arguments[1].value.as_ref());
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64().partial_cmp(&right.as_f64()),
        },
        (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_)) => {
            return Err("incompatible types for comparison".to_owned());
        }
        _ => return Err("invalid type for comparison".to_owned()),
    };
    Ok(Item::owned(order.is_some_and(holds)))
}

fn length<'a>(item: &Item<'_>) -> Answer<'a> {
    let length = match item.value.as_ref() {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        Value::Null if item.nil.is_some() => 0,
        Value::Null => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", kind(other))),
    };
    Ok(Item::owned(length))
}

fn index(arguments: Vec<Item<'_>>) -> Answer<'_> {
    let mut arguments = arguments.into_iter();
    let Some(mut item) = arguments.next() else {
        return Err("missing argument".to_owned());
    };
    for key in arguments {
        let next = match item.value.as_ref() {
            Value::Array(list) => {
                let position = number(&key)?;
                let value = list.get(position);
                value
                    .cloned()
                    .ok_or_else(|| format!("index out of range: {position}"))?
            }
            Value::String(text) => {
                let position = number(&key)?;
                let byte = text.as_bytes().get(position);
                Value::from(*byte.ok_or_else(|| format!("index out of range: {position}"))?)
            }
            Value::Object(map) => {
                let name = text(&key)?;
                match map.get(&name) {
                    Some(value) => value.clone(),
                    // Go gives the zero value of the map's element type.
                    None if map.values().all(Value::is_string) => Value::from(""),
                    None => Value::Null,
                }
            }
            Value::Null => match item.nil {
                // Go gives the zero value of the map's element type.
                Some(Nil::Texts) => Value::from(""),
                Some(Nil::Map) => Value::Null,
                Some(Nil::List) => {
                    return Err(format!("index out of range: {}", number(&key)?));
                }
                None => return Err("index of untyped nil".to_owned()),
            },
            other => return Err(format!("can't index item of type {}", kind(other))),
        };
        item = Item::owned(next);
    }
    Ok(item)
}

fn slice<'a>(arguments: &[Item<'_>]) -> Answer<'a> {
    let whole = arguments[0].value.as_ref();
    let length = match whole {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", kind(other))),
    };
    let bound = |position: usize, default: usize| match arguments.get(position) {
        Some(item) => number(item),
        None => Ok(default),
    };
    let (start, end) = (bound(1, 0)?, bound(2, length)?);
    if end > length {
        return Err(format!("index out of range: {end}"));
    }
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    match whole {
        Value::Array(list) => Ok(Item::owned(list[start..end].to_vec())),
        other => {
            let bytes = &other.as_str().unwrap_or_default().as_bytes()[start..end];
            Ok(Item::owned(String::from_utf8_lossy(bytes).into_owned()))
        }
    }
}

/// Go's `fmt.Sprint`: a space between two operands when neither is a string.
fn print(arguments: &[Item<'_>]) -> String {
    let mut output = String::new();
    let mut previous_is_text = true;
    for (position, item) in arguments.iter().enumerate() {
        let is_text = item.value.is_string();
        if position > 0 && !is_text && !previous_is_text {
            output.push(' ');
        }
        output.push_str(&display(item));
        previous_is_text = is_text;
    }
    output
}

fn split<'a>(arguments: &[Item<'_>]) -> Answer<'a> {
    let (whole, separator) = (text(&arguments[0])?, text(&arguments[1])?);
    let parts: Vec<Value> = if separator.is_empty() {
        whole
            .chars()
            .map(|character| Value::from(character.to_string()))
            .collect()
    } else {
        whole.split(&separator).map(Value::from).collect()
    };
    Ok(Item::owned(parts))
}

fn join<'a>(arguments: &[Item<'_>]) -> Answer<'a> {
    let separator = text(&arguments[1])?;
    match arguments[0].value.as_ref() {
        Value::Null => Ok(Item::owned("")),
        Value::Array(list) => {
            let parts: Vec<String> = list
                .iter()
                .map(|value| display(&Item::owned(value.clone())))
                .collect();
            Ok(Item::owned(parts.join(&separator)))
        }
        other => Err(format!(
            "wrong type for value; expected []string; got {}",
            kind(other)
        )),
    }
}

fn title(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut within_word = false;
    for character in text.chars() {
        if within_word {
            output.push(character);
        } else {
            output.extend(character.to_uppercase());
        }
        within_word = character.is_alphanumeric() || character == '_' || character == '\'';
    }
    output
}

fn pad<'a>(arguments: &[Item<'_>]) -> Answer<'a> {
    let inner = text(&arguments[0])?;
    let (before, after) = (width(&arguments[1])?, width(&arguments[2])?);
    if inner.is_empty() {
        return Ok(Item::owned(inner));
    }
    Ok(Item::owned(format!(
        "{}{inner}{}",
        " ".repeat(before),
        " ".repeat(after)
    )))
}

fn truncate<'a>(arguments: &[Item<'_>]) -> Answer<'a> {
    let whole = text(&arguments[0])?;
    let length = number(&arguments[1])?;
    Ok(Item::owned(whole.chars().take(length).collect::<String>()))
}

fn escape_html(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => output.push_str("&lt;"),
            '>' => output.push_str("&gt;"),
            '&' => output.push_str("&amp;"),
            '"' => output.push_str("&#34;"),
            '\'' => output.push_str("&#39;"),
            other => output.push(other),
        }
    }
    output
}

/// A text as in a URL's query, as Go's `url.QueryEscape` writes it.
#[must_use]
pub fn escape_query(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => output.push('+'),
            b'-' | b'_' | b'.' | b'~' => output.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => output.push(char::from(byte)),
            _ => output.push_str(&format!("%{byte:02X}")),
        }
    }
    output
}
