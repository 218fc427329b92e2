//! `--filter KEY=VALUE`: values of one key are alternatives, different keys must all hold.

use std::collections::BTreeMap;

use berth_contract::{Class, Error, Result};

/// The filters of one command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Parses the values of `--filter`, of which only the `known` keys are accepted.
    ///
    /// # Errors
    /// A value without `=`, or an unknown key.
    pub fn parse(values: &[String], known: &[&str]) -> Result<Self> {
        let mut filters = BTreeMap::<String, Vec<String>>::new();
        for written in values {
            let Some((key, value)) = written.split_once('=') else {
                return Err(
                    Error::new(Class::Invalid, format!("invalid filter {written:?}"))
                        .caused_by("it must be KEY=VALUE")
                        .hint(format!("the keys are {}", known.join(", "))),
                );
            };
            let key = key.trim().to_ascii_lowercase();
            if !known.contains(&key.as_str()) {
                return Err(
                    Error::new(Class::Invalid, format!("invalid filter {key:?}"))
                        .hint(format!("the keys are {}", known.join(", "))),
                );
            }
            filters
                .entry(key)
                .or_default()
                .push(value.trim().to_owned());
        }
        Ok(Self(filters))
    }

    /// The values given for a key.
    #[must_use]
    pub fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether the key was given at all.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether the key is absent or one of its values satisfies `holds`.
    pub fn any(&self, key: &str, holds: impl Fn(&str) -> bool) -> bool {
        self.0
            .get(key)
            .is_none_or(|values| values.iter().any(|value| holds(value)))
    }

    /// Whether labels have every `label=KEY` and `label=KEY=VALUE` asked for, and no `label!`.
    #[must_use]
    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").iter().all(has) && !self.values("label!").iter().any(has)
    }

    /// A key whose value is a truth value, as Go spells them.
    ///
    /// # Errors
    /// The value is not a truth value.
    pub fn truth(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.values(key).last() else {
            return Ok(None);
        };
        match value.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(Error::new(
                Class::Invalid,
                format!("invalid filter {:?}", format!("{key}={value}")),
            )
            .caused_by("the value must be true or false")),
        }
    }
}

/// Whether a text matches the `name` filter of Docker: a part of it, or anchored with `^` and `$`.
///
/// Docker takes a regular expression; the anchors, `.*` and literal text are what scripts use.
#[must_use]
pub fn matches_name(name: &str, pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    let (from_start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest.strip_prefix('/').unwrap_or(rest)),
        None => (false, pattern),
    };
    let (to_end, rest) = match rest.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut wildcards = rest.replace(".*", "*");
    if !from_start {
        wildcards.insert(0, '*');
    }
    if !to_end {
        wildcards.push('*');
    }
    matches_wildcard(name, &wildcards.replace("\\.", "."))
}

/// Whether a text matches a pattern in which `*` stands for anything and `?` for one character.
#[must_use]
pub fn matches_wildcard(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last `*` stands, and how much of the text it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((star_at, swallowed)) = star else {
                    return false;
                };
                in_pattern = star_at + 1;
                at = swallowed + 1;
                star = Some((star_at, swallowed + 1));
            }
        }
    }
    pattern[in_pattern..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(values: &[&str]) -> Result<Filters> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        Filters::parse(&values, &["label", "label!", "name", "dangling"])
    }

    #[test]
    fn one_key_is_or_and_labels_are_and() {
        let filters = filters(&["name=a", "name=b", "label=x", "label=y=1"]).unwrap();
        assert!(filters.any("name", |value| value == "b"));
        assert!(!filters.any("name", |value| value == "c"));
        assert!(filters.any("dangling", |_| false));
        let labels = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        assert!(filters.matches_labels(&labels(&[("x", ""), ("y", "1")])));
        assert!(!filters.matches_labels(&labels(&[("x", ""), ("y", "2")])));
        assert!(!filters.matches_labels(&labels(&[("y", "1")])));
    }

    #[test]
    fn wrong_filters_are_refused() {
        assert_eq!(
            filters(&["name"]).unwrap_err().to_string(),
            "invalid filter \"name\""
        );
        assert_eq!(
            filters(&["nmae=x"]).unwrap_err().to_string(),
            "invalid filter \"nmae\""
        );
        assert!(
            filters(&["dangling=maybe"])
                .unwrap()
                .truth("dangling")
                .is_err()
        );
        assert_eq!(
            filters(&["dangling=1"]).unwrap().truth("dangling").unwrap(),
            Some(true)
        );
    }

    #[test]
    fn names_match_in_part_or_anchored() {
        for (name, pattern, expected) in [
            ("web-1", "web", true),
            ("web-1", "eb-", true),
            ("web-1", "^web$", false),
            ("web", "^web$", true),
            ("web", "^/web$", true),
            ("web", "/web", true),
            ("my-web", "^web", false),
            ("web-1", "^web.*1$", true),
            ("web", "", true),
        ] {
            assert_eq!(matches_name(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn wildcards_match() {
        for (text, pattern, expected) in [
            ("busybox:latest", "busybox*", true),
            ("busybox:latest", "*:latest", true),
            ("busybox", "b?sybox", true),
            ("busybox", "b?", false),
            ("", "*", true),
            ("", "", true),
            ("aab", "*ab", true),
        ] {
            assert_eq!(
                matches_wildcard(text, pattern),
                expected,
                "{text} {pattern}"
            );
        }
    }
}
