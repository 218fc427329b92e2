//! Splitting an instruction's text: into flags, words, `name=value` pairs, or a JSON list.

/// The first word of a line and what follows it.
pub(super) fn first(line: &str) -> (&str, &str) {
    let line = line.trim();
    match line.find(char::is_whitespace) {
        Some(end) => (&line[..end], line[end..].trim_start()),
        None => (line, ""),
    }
}

/// The `--flags` that a text begins with, quotes taken off, and the rest; `--` alone ends them.
pub(super) fn flags(text: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (word, after) = unquoted_word(rest);
        rest = after.trim_start();
        if word == "--" {
            break;
        }
        flags.push(word);
    }
    (flags, rest)
}

/// One word without its quotes and escapes, and what follows it.
fn unquoted_word(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match (quote, character) {
            (None, space) if space.is_whitespace() => return (word, &text[index..]),
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (_, '\\') => word.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => word.push(character),
        }
    }
    (word, "")
}

/// The words of a text as they are written: white space within quotes or after an escape is part of one.
pub(super) fn quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, space) if space.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            // Within single quotes nothing is escaped.
            (open, found) if found == escape && open != Some('\'') => {
                word.push(found);
                word.extend(characters.next());
                continue;
            }
            _ => {}
        }
        word.push(character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A pair as it is written.
pub(super) type Pair = (String, String);

/// `name=value …`, or the old `name value` with the rest of the line as value; says whether it was that.
pub(super) fn pairs(
    text: &str,
    escape: char,
    instruction: &str,
) -> Result<(Vec<Pair>, bool), String> {
    let words = quoted(text, escape);
    let Some(head) = words.first() else {
        return Ok((Vec::new(), false));
    };
    if !head.contains('=') {
        let (name, value) = first(text);
        if value.is_empty() {
            return Err(format!("{instruction} must have two arguments"));
        }
        return Ok((vec![(name.to_owned(), value.trim_end().to_owned())], true));
    }
    let split = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(format!("{instruction} names can not be blank")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!(
            "can't find = in {word:?}: it must be of the form name=value"
        )),
    };
    Ok((words.iter().map(split).collect::<Result<_, _>>()?, false))
}

/// A JSON list of strings; `None` for what is no JSON list, which then is the shell form.
pub(super) fn json(text: &str) -> Result<Option<Vec<String>>, String> {
    let text = text.trim();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else {
        return Ok(None);
    };
    let string = |value| match value {
        serde_json::Value::String(text) => Ok(text),
        _ => Err("a JSON list must hold strings only".to_owned()),
    };
    values
        .into_iter()
        .map(string)
        .collect::<Result<_, _>>()
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_everything_else() {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (text, expected, rest) in [
            ("--a --b=c x --d", &["--a", "--b=c"][..], "x --d"),
            ("  x --a", &[], "x --a"),
            ("-- --a", &[], "--a"),
            ("--a='b c' \"d\"", &["--a=b c"], "\"d\""),
            ("--a=b\\ c d", &["--a=b c"], "d"),
            (
                "--mount=type=bind,target=/x",
                &["--mount=type=bind,target=/x"],
                "",
            ),
            ("", &[], ""),
        ] {
            assert_eq!(flags(text), (owned(expected), rest), "{text}");
        }
    }

    #[test]
    fn words_keep_their_quotes() {
        for (text, expected) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            ("a=\"b c\" d", &["a=\"b c\"", "d"]),
            ("a='b \\' c", &["a='b \\'", "c"]),
            ("a=b\\ c d", &["a=b\\ c", "d"]),
            ("a=\"b\\\" c\" d", &["a=\"b\\\" c\"", "d"]),
            ("\"unclosed x", &["\"unclosed x"]),
            ("", &[]),
        ] {
            assert_eq!(quoted(text, '\\'), expected, "{text}");
        }
        assert_eq!(quoted("a` b\\ c", '`'), ["a` b\\", "c"]);
    }

    #[test]
    fn pairs_are_written_in_two_ways() {
        let one = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (text, expected) in [
            ("a=b c=d", Ok((vec![one("a", "b"), one("c", "d")], false))),
            ("a=b=c", Ok((vec![one("a", "b=c")], false))),
            ("a=", Ok((vec![one("a", "")], false))),
            ("a b c=d", Ok((vec![one("a", "b c=d")], true))),
            ("a  \"b  c\" ", Ok((vec![one("a", "\"b  c\"")], true))),
            ("a", Err("ENV must have two arguments".to_owned())),
            ("=b", Err("ENV names can not be blank".to_owned())),
            (
                "a=b c",
                Err("can't find = in \"c\": it must be of the form name=value".to_owned()),
            ),
        ] {
            assert_eq!(pairs(text, '\\', "ENV"), expected, "{text}");
        }
    }

    #[test]
    fn json_lists_are_told_from_shell_commands() {
        let list = |words: &[&str]| Ok(Some(words.iter().map(ToString::to_string).collect()));
        for (text, expected) in [
            (r#"["a", "b c"]"#, list(&["a", "b c"])),
            ("[]", list(&[])),
            (r#" [ "\u0061\n" ] "#, list(&["a\n"])),
            ("[ -f x ] && y", Ok(None)),
            (r#"["a"] && b"#, Ok(None)),
            ("['a']", Ok(None)),
            ("a", Ok(None)),
            ("[1]", Err("a JSON list must hold strings only".to_owned())),
        ] {
            assert_eq!(json(text), expected, "{text}");
        }
    }

    #[test]
    fn absurd_nesting_ends() {
        assert_eq!(json(&"[".repeat(1 << 20)), Ok(None));
    }
}
