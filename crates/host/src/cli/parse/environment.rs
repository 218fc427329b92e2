//! Environment variables, labels, and the files that hold them.

use super::Parsed;

/// One line of an `--env-file` or `--label-file`, or one `-e`: a name, and its value if it has one.
pub(crate) type Entry = (String, Option<String>);

/// `NAME=value` or `NAME`.
pub(crate) fn entry(text: &str) -> Parsed<Entry> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("it has no name before the =".into());
    }
    if text.contains('\0') {
        return Err("it contains a NUL character".into());
    }
    Ok((name.to_owned(), value))
}

/// `key=value`.
pub(crate) fn pair(text: &str) -> Parsed<(String, String)> {
    match entry(text)? {
        (name, Some(value)) => Ok((name, value)),
        (name, None) => Err(format!("it has no value: write {name}=VALUE")),
    }
}

/// The entries of a file, one a line; empty lines and lines that begin with `#` are left out.
pub(crate) fn file(text: &str) -> Parsed<Vec<Entry>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = entry(line).map_err(|reason| format!("line {number}: {reason}"))?;
        let name = if value.is_none() {
            name.trim_end()
        } else {
            &name
        };
        if name.contains(char::is_whitespace) {
            return Err(format!(
                "line {number}: the name {name:?} contains white space"
            ));
        }
        entries.push((name.to_owned(), value));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(name: &str, value: Option<&str>) -> Entry {
        (name.to_owned(), value.map(str::to_owned))
    }

    #[test]
    fn entries_have_a_name_and_perhaps_a_value() {
        assert_eq!(entry("A=b=c"), Ok(owned("A", Some("b=c"))));
        assert_eq!(entry("A="), Ok(owned("A", Some(""))));
        assert_eq!(entry("A"), Ok(owned("A", None)));
        assert!(entry("=b").is_err());
        assert!(entry("").is_err());
        assert!(pair("net.ipv4.ip_forward").is_err());
    }

    #[test]
    fn files_follow_dockers_rules() {
        let text = "\u{feff}# comment\n\nA=1\n  B=two words \r\nC\nD=#kept\n";
        let expected = [
            owned("A", Some("1")),
            owned("B", Some("two words ")),
            owned("C", None),
            owned("D", Some("#kept")),
        ];
        assert_eq!(file(text).unwrap(), expected);
        assert_eq!(
            file("a b=c").unwrap_err(),
            "line 1: the name \"a b\" contains white space"
        );
        assert_eq!(
            file("A=1\n=2").unwrap_err(),
            "line 2: it has no name before the ="
        );
    }
}
