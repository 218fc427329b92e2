//! Parser directives: the comments above everything else that say how to read the file.
//!
//! ```text
//! # syntax=docker/dockerfile:1
//! # escape=`
//! # check=skip=JSONArgsRecommended;error=true
//! ```

use std::collections::BTreeSet;

/// What the directives say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The frontend that is asked for, as it is written.
    pub syntax: Option<String>,
    /// What escapes a character and continues a line.
    pub escape: char,
    /// How the checks are to behave.
    pub check: CheckDirective,
}

/// `# check=…`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckDirective {
    /// Checks that are left out; all of them with `skip=all`.
    pub skip: Skip,
    /// Whether a warning ends the build.
    pub error: bool,
    /// Experimental checks that are made as well.
    pub experimental: Skip,
}

/// A set of checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Skip {
    /// None.
    #[default]
    None,
    /// Every one.
    All,
    /// These.
    Named(BTreeSet<String>),
}

impl Skip {
    /// Whether a check is in the set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }

    fn parse(text: &str) -> Self {
        if text.trim() == "all" {
            return Self::All;
        }
        let names = text.split(',').map(str::trim);
        Self::Named(
            names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            syntax: None,
            escape: '\\',
            check: CheckDirective::default(),
        }
    }
}

/// Reads directives line by line until something else is met.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) directives: Directives,
    seen: BTreeSet<String>,
    done: bool,
}

impl Reader {
    /// Looks at one line of the file's head; says whether it is a directive.
    pub(super) fn line(&mut self, line: &str) -> Result<bool, String> {
        if self.done {
            return Ok(false);
        }
        let Some((key, value)) = key_and_value(line) else {
            self.done = true;
            return Ok(false);
        };
        let key = key.to_ascii_lowercase();
        if !matches!(key.as_str(), "syntax" | "escape" | "check") {
            self.done = true;
            return Ok(false);
        }
        if !self.seen.insert(key.clone()) {
            return Err(format!("only one {key} parser directive can be used"));
        }
        match key.as_str() {
            "syntax" => self.directives.syntax = Some(value.to_owned()),
            "escape" => match value {
                "\\" => self.directives.escape = '\\',
                "`" => self.directives.escape = '`',
                _ => {
                    return Err(format!(
                        "invalid escape token '{value}' does not match ` or \\"
                    ));
                }
            },
            _ => self.directives.check = check(value)?,
        }
        Ok(true)
    }
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_word = key.starts_with(|first: char| first.is_ascii_alphabetic())
        && key
            .chars()
            .all(|character| character.is_ascii_alphanumeric());
    (is_word && !value.is_empty()).then_some((key, value))
}

/// Reads the value of `# check=` or of the build argument `BUILDKIT_DOCKERFILE_CHECK`.
///
/// # Errors
/// It is not `skip=…`, `error=…` or `experimental=…`.
pub fn check(value: &str) -> Result<CheckDirective, String> {
    let mut directive = CheckDirective::default();
    // What follows is a comment: `skip=all // as it is generated`.
    let value = value.split("//").next().unwrap_or_default();
    for part in value.split(';').filter(|part| !part.trim().is_empty()) {
        let Some((key, value)) = part.split_once('=') else {
            return Err(format!("invalid check option {part:?}"));
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "skip" => directive.skip = Skip::parse(value),
            "experimental" => directive.experimental = Skip::parse(value),
            "error" => {
                directive.error = match value.trim() {
                    "true" | "1" | "t" | "T" | "TRUE" | "True" => true,
                    "false" | "0" | "f" | "F" | "FALSE" | "False" => false,
                    other => return Err(format!("invalid value {other:?} of check option error")),
                };
            }
            other => return Err(format!("invalid check option {other:?}")),
        }
    }
    Ok(directive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Directives, String> {
        let mut reader = Reader::default();
        for line in lines {
            reader.line(line)?;
        }
        Ok(reader.directives)
    }

    #[test]
    fn directives_end_at_the_first_other_line() {
        let read = |lines: &[&str]| read(lines).map(|found| (found.syntax, found.escape));
        let syntax = |text: &str| Some(text.to_owned());
        for (lines, expected) in [
            (
                &["# syntax=docker/dockerfile:1"][..],
                Ok((syntax("docker/dockerfile:1"), '\\')),
            ),
            (&["#SYNTAX = a", "#  eScApE\t=\t` "], Ok((syntax("a"), '`'))),
            (&["# a comment", "# escape=`"], Ok((None, '\\'))),
            (&["", "# escape=`"], Ok((None, '\\'))),
            (&["# unknown=1", "# escape=`"], Ok((None, '\\'))),
            (&["FROM x", "# escape=`"], Ok((None, '\\'))),
            (
                &["# escape=x"],
                Err("invalid escape token 'x' does not match ` or \\".to_owned()),
            ),
            (
                &["# escape=`", "# Escape=`"],
                Err("only one escape parser directive can be used".to_owned()),
            ),
        ] {
            assert_eq!(read(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_check_directive_skips_and_fails() {
        let found = read(&["# check=skip=A, B;error=true;experimental=C"])
            .unwrap()
            .check;
        assert!(found.error && found.skip.contains("A") && found.skip.contains("B"));
        assert!(!found.skip.contains("C") && found.experimental.contains("C"));
        for text in ["#check=skip=all", "# check=skip=all // because"] {
            assert_eq!(read(&[text]).unwrap().check.skip, Skip::All);
        }
        assert!(read(&["# check=error=maybe"]).is_err());
        assert!(read(&["# check=what"]).is_err());
    }
}
