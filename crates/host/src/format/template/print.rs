//! How values look: Go's `%v`, and `printf`'s verbs.

use serde_json::Value;

use super::item::{Item, Nil};

/// The widest padding `printf` and `pad` accept.
pub(super) const MAXIMUM_WIDTH: usize = 10_000;

/// The value as an action prints it.
pub(super) fn display(item: &Item<'_>) -> String {
    if item.absent {
        return "<no value>".to_owned();
    }
    match item.nil {
        Some(Nil::Texts | Nil::Map) => return "map[]".to_owned(),
        Some(Nil::List) => return "[]".to_owned(),
        None => {}
    }
    let mut output = String::new();
    plain(&mut output, &item.value);
    output
}

/// Go's `%v` of a `float64`: the shortest digits, with an exponent beyond 21 of them.
fn float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, number) = match exponent.strip_prefix('-') {
                Some(number) => ('-', number),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{number:0>2}")
        }
        None => text,
    }
}

/// Go's name for a value's type, for error messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn plain(output: &mut String, value: &Value) {
    match value {
        Value::Null => output.push_str("<nil>"),
        Value::Bool(value) => output.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(value) => output.push_str(&float(value)),
            None => output.push_str(&number.to_string()),
        },
        Value::String(text) => output.push_str(text),
        Value::Array(list) => {
            output.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    output.push(' ');
                }
                plain(output, value);
            }
            output.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            output.push_str("map[");
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    output.push(' ');
                }
                output.push_str(key);
                output.push(':');
                plain(output, &map[key]);
            }
            output.push(']');
        }
    }
}

/// A text as Go's `%q` and `strconv.Quote` write it.
pub(super) fn quote(text: &str) -> String {
    let mut output = String::with_capacity(text.len() + 2);
    output.push('"');
    for character in text.chars() {
        match character {
            '"' => output.push_str("\\\""),
            '\\' => output.push_str("\\\\"),
            '\n' => output.push_str("\\n"),
            '\t' => output.push_str("\\t"),
            '\r' => output.push_str("\\r"),
            '\x07' => output.push_str("\\a"),
            '\x08' => output.push_str("\\b"),
            '\x0b' => output.push_str("\\v"),
            '\x0c' => output.push_str("\\f"),
            control if control.is_ascii_control() => {
                output.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            control if control.is_control() => {
                output.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => output.push(other),
        }
    }
    output.push('"');
    output
}

/// Flags, width and precision of one `printf` verb.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "printf's four flags")]
struct Directive {
    left: bool,
    zero: bool,
    plus: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// Go's `fmt.Sprintf`.
pub(super) fn printf(format: &str, arguments: &[Item<'_>]) -> Result<String, String> {
    let mut output = String::new();
    let mut remaining = arguments.iter();
    let mut characters = format.chars().peekable();
    while let Some(next) = characters.next() {
        if next != '%' {
            output.push(next);
            continue;
        }
        let mut directive = Directive::default();
        while let Some(flag) = characters.next_if(|flag| "-0+# ".contains(*flag)) {
            match flag {
                '-' => directive.left = true,
                '0' => directive.zero = true,
                '+' => directive.plus = true,
                '#' => directive.sharp = true,
                _ => {}
            }
        }
        directive.width = digits(&mut characters)?.unwrap_or(0);
        if characters.next_if_eq(&'.').is_some() {
            directive.precision = Some(digits(&mut characters)?.unwrap_or(0));
        }
        match characters.next() {
            None => output.push_str("%!(NOVERB)"),
            Some('%') => output.push('%'),
            Some(verb) => match remaining.next() {
                None => output.push_str(&format!("%!{verb}(MISSING)")),
                Some(item) => pad(&mut output, &directive, &verb_text(verb, &directive, item)),
            },
        }
    }
    let rest: Vec<String> = remaining
        .map(|item| format!("{}={}", kind(&item.value), display(item)))
        .collect();
    if !rest.is_empty() {
        output.push_str(&format!("%!(EXTRA {})", rest.join(", ")));
    }
    Ok(output)
}

fn digits(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Option<usize>, String> {
    let mut value = None;
    while let Some(digit) = characters.peek().and_then(|next| next.to_digit(10)) {
        characters.next();
        let next = value.unwrap_or(0) * 10 + usize::try_from(digit).unwrap_or(0);
        if next > MAXIMUM_WIDTH {
            return Err(format!("width is above {MAXIMUM_WIDTH}"));
        }
        value = Some(next);
    }
    Ok(value)
}

fn pad(output: &mut String, directive: &Directive, text: &str) {
    let missing = directive.width.saturating_sub(text.chars().count());
    if directive.left {
        output.push_str(text);
        output.push_str(&" ".repeat(missing));
    } else if directive.zero {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text),
        };
        output.push_str(sign);
        output.push_str(&"0".repeat(missing));
        output.push_str(digits);
    } else {
        output.push_str(&" ".repeat(missing));
        output.push_str(text);
    }
}

fn verb_text(verb: char, directive: &Directive, item: &Item<'_>) -> String {
    let value = item.value.as_ref();
    let truncated = |text: &str| match directive.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    let wrong = || format!("%!{verb}({}={})", kind(value), display(item));
    let signed = |number: i64, text: String| {
        if directive.plus && number >= 0 {
            format!("+{text}")
        } else {
            text
        }
    };
    match (verb, value) {
        ('v', Value::String(text)) if directive.sharp => quote(text),
        ('v', _) => display(item),
        ('T', _) => kind(value).to_owned(),
        ('s', Value::String(text)) => truncated(text),
        ('s', Value::Array(_) | Value::Object(_)) => display(item),
        ('s' | 'q' | 'd', Value::Null) if item.absent || verb == 's' => format!("%!{verb}(<nil>)"),
        ('q', Value::String(text)) => quote(&truncated(text)),
        ('q', Value::Array(list)) => {
            let parts: Vec<String> = list
                .iter()
                .map(|value| verb_text('q', directive, &Item::owned(value.clone())))
                .collect();
            format!("[{}]", parts.join(" "))
        }
        ('x' | 'X', Value::String(text)) => {
            let lower: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            if verb == 'X' {
                lower.to_uppercase()
            } else {
                lower
            }
        }
        ('t', Value::Bool(value)) => value.to_string(),
        ('d' | 'x' | 'X' | 'o' | 'b' | 'c', Value::Number(number)) => {
            let Some(number) = number.as_i64() else {
                return wrong();
            };
            let sign = if number < 0 { "-" } else { "" };
            let size = number.unsigned_abs();
            let text = match verb {
                'd' => format!("{sign}{size}"),
                'x' => format!("{sign}{size:x}"),
                'X' => format!("{sign}{size:X}"),
                'o' => format!("{sign}{size:o}"),
                'b' => format!("{sign}{size:b}"),
                _ => {
                    return u32::try_from(number)
                        .ok()
                        .and_then(char::from_u32)
                        .map_or_else(wrong, String::from);
                }
            };
            signed(number, text)
        }
        ('f' | 'F' | 'e' | 'g', Value::Number(number)) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(0.0);
            match verb {
                'e' => format!("{float:.*e}", directive.precision.unwrap_or(6)),
                'g' => float.to_string(),
                _ => format!("{float:.*}", directive.precision.unwrap_or(6)),
            }
        }
        _ => wrong(),
    }
}
