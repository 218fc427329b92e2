//! What registries want people to know beside their answers (distribution-spec, "Warnings").

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use reqwest::header::{HeaderMap, WARNING};

use crate::progress::{Event, Progress};

/// More than a registry may send with one answer.
const LIMIT: usize = 4096;
/// Nobody reads more of them.
const NUMBER: usize = 20;

/// The warnings that were told already; each is told once.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<BTreeSet<String>>);

impl Warnings {
    /// Tells what is new. Nothing else may ever depend on it.
    pub(super) fn heed(&self, headers: &HeaderMap, registry: &str, progress: &dyn Progress) {
        let mut left = LIMIT;
        for value in headers.get_all(WARNING) {
            let Some(rest) = left.checked_sub(value.len()) else {
                return;
            };
            left = rest;
            for text in texts(&String::from_utf8_lossy(value.as_bytes())) {
                let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let new = told.len() < NUMBER && told.insert(text.clone());
                drop(told);
                if new {
                    let text = &text;
                    progress.event(&Event::Warned { registry, text });
                }
            }
        }
    }
}

/// The texts of `299 - "text"`, of which a header may have several; other codes are of caches.
fn texts(header: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = header;
    while let Some((code, quoted)) = rest.split_once('"') {
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        let mut end = quoted.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        rest = &quoted[end..];
        let words: Vec<&str> = code
            .trim_start_matches([',', ' '])
            .split_whitespace()
            .collect();
        // It goes to a terminal.
        text.retain(|character| !character.is_control());
        if words == ["299", "-"] && !text.trim().is_empty() {
            texts.push(text.trim().to_owned());
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_specification() {
        for (header, expected) in [
            (
                r#"299 - "Your auth token will expire in 30 seconds.""#,
                &["Your auth token will expire in 30 seconds."][..],
            ),
            (
                r#"299 - "one, two", 299 - "a \"b\" \\ c""#,
                &["one, two", r#"a "b" \ c"#],
            ),
            (r#"110 cache "stale", 299 - "kept""#, &["kept"]),
            (r#"299 agent "not the one""#, &[]),
            ("299 - \"\u{9b}31mred\u{7}\"", &["31mred"]),
            (r#"299 - "never ends"#, &["never ends"]),
            (r#"299 - """#, &[]),
            (r#"299 - "\"#, &[]),
            ("nothing", &[]),
            ("", &[]),
        ] {
            assert_eq!(texts(header), expected, "{header}");
        }
    }
}
