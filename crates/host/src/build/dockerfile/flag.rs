//! The flags before an instruction's arguments: which there are, and their values.

use super::boolean;

/// The flags of each instruction that has some.
const KNOWN: [(&str, &[&str]); 5] = [
    ("FROM", &["platform"]),
    ("RUN", &["mount", "network", "security", "device"]),
    (
        "COPY",
        &["from", "chown", "chmod", "link", "parents", "exclude"],
    ),
    (
        "ADD",
        &[
            "chown",
            "chmod",
            "link",
            "exclude",
            "checksum",
            "unpack",
            "keep-git-dir",
            "parents",
        ],
    ),
    (
        "HEALTHCHECK",
        &[
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ],
    ),
];
/// Those that may be repeated.
const REPEATED: [&str; 3] = ["mount", "exclude", "device"];

/// The flags of one instruction; each is taken once.
#[derive(Debug)]
pub(super) struct Flags {
    given: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Checks the flags of the instruction `name`.
    pub(super) fn parse(name: &str, words: &[String]) -> Result<Self, String> {
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        let known = known.map_or(&[][..], |(_, flags)| flags);
        let mut given: Vec<(String, Option<String>)> = Vec::new();
        for word in words {
            let word = word.strip_prefix("--").unwrap_or(word);
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (word, None),
            };
            if !known.contains(&flag) {
                return Err(match super::nearest(flag, known.iter().copied()) {
                    Some(near) => format!("unknown flag: --{flag} (did you mean {near}?)"),
                    None => format!("unknown flag: --{flag}"),
                });
            }
            if !REPEATED.contains(&flag) && given.iter().any(|(other, _)| other == flag) {
                return Err(format!("the flag --{flag} is given twice"));
            }
            given.push((flag.to_owned(), value));
        }
        Ok(Self { given })
    }

    fn take(&mut self, flag: &str) -> Option<Option<String>> {
        let position = self.given.iter().position(|(given, _)| given == flag)?;
        Some(self.given.remove(position).1)
    }

    /// A flag with a text; an empty one counts as not given.
    pub(super) fn text(&mut self, flag: &str) -> Option<String> {
        // A flag without a value is put back, and `finish` says so.
        match self.take(flag)? {
            Some(value) => Some(value).filter(|value| !value.is_empty()),
            None => {
                self.given.push((flag.to_owned(), None));
                None
            }
        }
    }

    /// Every value of a flag that may be repeated.
    pub(super) fn all(&mut self, flag: &str) -> Vec<String> {
        std::iter::from_fn(|| self.text(flag)).collect()
    }

    /// A flag that is on or off.
    pub(super) fn flag(&mut self, flag: &str) -> Result<Option<bool>, String> {
        match self.take(flag) {
            None => Ok(None),
            Some(None) => Ok(Some(true)),
            Some(Some(value)) => boolean(&value)
                .map(Some)
                .ok_or_else(|| format!("expected a boolean for --{flag}, not {value:?}")),
        }
    }

    /// A flag with a duration in Go's notation, as nanoseconds.
    pub(super) fn duration(&mut self, flag: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.text(flag) else {
            return Ok(None);
        };
        let nanoseconds =
            duration(&text).ok_or_else(|| format!("invalid duration {text:?} for --{flag}"))?;
        match nanoseconds {
            0 => Ok(None),
            ..1_000_000 => Err(format!("the duration of --{flag} cannot be less than 1ms")),
            _ => Ok(Some(nanoseconds)),
        }
    }

    /// A flag with a number.
    pub(super) fn number(&mut self, flag: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.text(flag) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(0) => Ok(None),
            Ok(number) if number > 0 => Ok(Some(number)),
            Ok(_) => Err(format!("the value of --{flag} cannot be negative")),
            Err(_) => Err(format!("invalid number {text:?} for --{flag}")),
        }
    }

    /// Complains about what was not taken.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.given.first() {
            None => Ok(()),
            Some((flag, _)) => Err(format!("the flag --{flag} needs a value")),
        }
    }
}

/// `1h30m`, `1.5s`, `500ms`: Go's notation.
fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut sum = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let factor = match &rest[..unit_end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        sum += number * factor;
        rest = &rest[unit_end..];
    }
    let in_range = !text.is_empty() && sum <= 9e18;
    #[expect(clippy::cast_possible_truncation, reason = "it is in range")]
    in_range.then_some(sum.round() as i64)
}
